/**
 * What a caller may ask of one generation, and the checks that stand before it.
 *
 *     settingsOf({ temperature: 0.8, seed: 7 }, { topK: 40 })  →  { temperature: 0.8, topK: 40, seed: 7, … }
 *     settingsOf({ temperature: -1 }, {})                      →  WeftError: temperature is -1; it is a number from 0 to 100
 */
import { printable, WeftError } from "../errors.js"
import { fromHost, hostSignal, hostText } from "../host.js"

export interface GenerateOptions {
  /** Tokens to generate at most: a whole number from 1. The context may end the text earlier. */
  readonly maxTokens?: number | undefined
  /** 0 takes the likeliest token each time; larger values, up to 100, flatten the chances. */
  readonly temperature?: number | undefined
  /** Keep the k likeliest tokens: a whole number; 0 keeps all. */
  readonly topK?: number | undefined
  /** Keep the likeliest tokens that together have this chance: 0 to 1; 1 keeps all. */
  readonly topP?: number | undefined
  /** Keep the tokens with at least this share of the likeliest one's chance: 0 to 1; 0 keeps all. */
  readonly minP?: number | undefined
  /** The same seed draws the same tokens on one device: a whole number from 0 to 2^53 − 1. Random when left out; see the result. */
  readonly seed?: number | undefined
  /**
   * The text ends before the first of these strings: at most 64, each of 1 to 1,000 characters. One that names a special token, as
   * `<|im_end|>`, is met by the token and by its letters. Strings need a tokenizer.
   */
  readonly stop?: string | readonly string[] | undefined
  /** Do not end at the model's end tokens. */
  readonly ignoreEos?: boolean | undefined
  /** Ends the generation at once, or after the step that this thread computes; the result is what there is by then. */
  readonly signal?: AbortSignal | undefined
}

/** What takes the place of an option that is left out. */
export type GenerateDefaults = Pick<GenerateOptions, "maxTokens" | "temperature" | "topK" | "topP" | "minP">

/** Options with every value in place. */
export interface Settings {
  readonly maxTokens: number
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly minP: number
  readonly seed: number
  readonly stop: readonly string[]
  readonly ignoreEos: boolean
  readonly signal: AbortSignal | undefined
}

interface Range {
  readonly least: number
  readonly most: number
  readonly whole: boolean
}

const largestCount = 2 ** 31 - 1
export const ranges = {
  maxTokens: { least: 1, most: largestCount, whole: true },
  temperature: { least: 0, most: 100, whole: false },
  topK: { least: 0, most: largestCount, whole: true },
  topP: { least: 0, most: 1, whole: false },
  minP: { least: 0, most: 1, whole: false },
  seed: { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true },
} as const satisfies Record<string, Range>

const mostStops = 64
const longestStop = 1000
const known: readonly string[] = [...Object.keys(ranges), "stop", "ignoreEos", "signal"]

/**
 * Checks `options` and fills them up with `defaults`.
 *
 * @throws WeftError `generate/option` for an unknown name or an option that cannot be read, `generate/range` for a value out of its range,
 * with the range
 */
export function settingsOf(options: GenerateOptions, defaults: GenerateDefaults): Settings {
  return fromHost("generate/option", "the options cannot be read", () => readSettings(options, defaults))
}

function readSettings(options: GenerateOptions, defaults: GenerateDefaults): Settings {
  if (typeof options !== "object" || options === null) refuse("options", options, "an object")
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new WeftError("generate/option", `there is no option ${printable(name)}`, {
      hint: `the options are ${known.join(", ")}`,
    })
  }
  const number = (name: keyof typeof ranges, otherwise: number): number => {
    const value = options[name]
    if (value !== undefined) return inRange(name, value)
    return (name === "seed" ? undefined : defaults[name]) ?? otherwise
  }
  const { stop = [], ignoreEos = false, signal } = options
  if (typeof ignoreEos !== "boolean") refuse("ignoreEos", ignoreEos, "true or false")
  if (signal !== undefined && typeof signal?.aborted !== "boolean") refuse("signal", signal, "an AbortSignal")
  return {
    maxTokens: number("maxTokens", largestCount),
    temperature: number("temperature", 0),
    topK: number("topK", 0),
    topP: number("topP", 1),
    minP: number("minP", 0),
    seed: number("seed", randomSeed()),
    stop: stopStrings(stop),
    ignoreEos,
    signal: signal === undefined ? undefined : hostSignal(signal),
  }
}

/**
 * Defaults that a host gives, each value in its option's range.
 *
 * @throws WeftError `generate/option`, `generate/range`
 */
export function checkedDefaults(given: GenerateDefaults): GenerateDefaults {
  return fromHost("generate/option", "the defaults cannot be read", () => {
    if (typeof given !== "object" || given === null) refuse("defaults", given, "an object")
    const names = ["maxTokens", "temperature", "topK", "topP", "minP"] as const
    const checked = names.map((name) => {
      const value = given[name] ?? undefined
      return [name, value === undefined ? undefined : inRange(name, value, `defaults: ${name}`)] as const
    })
    return Object.fromEntries(checked)
  })
}

/** @throws WeftError `generate/range` when something is no token of the vocabulary, and so could never end an answer */
export function checkedEndTokens(given: readonly number[], vocabulary: number): readonly number[] {
  const isToken = (id: unknown) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabulary
  if (Array.isArray(given) && given.every(isToken)) return given
  return refuse("endTokens", given, `a list of whole numbers from 0 to ${vocabulary - 1}`)
}

/** @throws WeftError `generate/range` */
export function inRange(name: keyof typeof ranges, value: unknown, shown: string = name): number {
  const { least, most, whole } = ranges[name]
  const fits = typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value))
  return fits ? value : refuse(shown, value, `a ${whole ? "whole number" : "number"} from ${least} to ${most}`)
}

function stopStrings(stop: string | readonly string[]): readonly string[] {
  // Copied, for the caller's array may be another before it is looked at.
  const strings = typeof stop === "string" ? [stop] : Array.isArray(stop) && stop.length <= mostStops ? [...stop] : stop
  const fits = (text: unknown) =>
    typeof text === "string" && text.length >= 1 && text.length <= longestStop && !/\p{Surrogate}/u.test(text)
  const few = Array.isArray(strings) && strings.length <= mostStops
  if (few && strings.every(fits)) return strings
  const wrong = few ? strings.find((text) => !fits(text)) : strings
  return refuse("stop", wrong, `at most ${mostStops} strings of 1 to ${longestStop} whole characters`)
}

function refuse(name: string, value: unknown, range: string): never {
  throw new WeftError("generate/range", `${name} is ${hostText(value)}; it is ${range}`)
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!
}
