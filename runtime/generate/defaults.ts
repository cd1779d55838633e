/**
 * The defaults that a checkpoint brings along: generation_config.json, read as transformers reads it.
 *
 *     { do_sample: true, temperature: 0.8, top_k: 40 }  →  { temperature: 0.8, topK: 40 }
 *     { temperature: 0.8 }                              →  { temperature: 0 }      without do_sample nothing is drawn
 *     { do_sample: true, top_k: -1, top_p: null }       →  { temperature: 1, topK: 0 }   what means "off" is off
 *     { do_sample: "true" }                             →  WeftError, for a text is neither true nor false
 *
 * Fields that would choose other tokens and are not read, penalties among them, are named by `unheeded`, so that nobody misses them in silence.
 */
import { WeftError } from "../errors.js"
import { hostText } from "../host.js"
import type { Checkpoint } from "../weights/checkpoint.js"
import { type GenerateDefaults, inRange, type ranges } from "./options.js"

type Config = Checkpoint["generationConfig"]
type Option = keyof GenerateDefaults & keyof typeof ranges

const file = "generation_config.json"

/** Values by which a field says that it does nothing, and what the option has for that. */
const off: Readonly<Record<Option, (value: number) => number | undefined>> = {
  maxTokens: (value) => (value === -1 || value === Infinity ? undefined : value),
  temperature: (value) => value,
  topK: (value) => (value === -1 || value === Infinity ? 0 : value),
  // transformers cuts off nothing from 1 on.
  topP: (value) => (value >= 1 || value === -1 ? 1 : value),
  minP: (value) => (value === -1 ? 0 : value),
}

/** @throws WeftError `generate/range` naming the field when a value has another type, or is used and out of the option's range */
export function defaultsOf(config: Config): GenerateDefaults {
  const sampling = flag(config, "do_sample")
  const field = (name: string, option: Option, used: boolean): number | undefined => {
    const value = config?.[name] ?? undefined
    if (value === undefined) return undefined
    if (typeof value !== "number") return inRange(option, value, `${file}: ${name}`)
    const meant = used ? off[option](value) : undefined
    return meant === undefined ? undefined : inRange(option, meant, `${file}: ${name}`)
  }
  const maxTokens = field("max_new_tokens", "maxTokens", true)
  const drawn = {
    temperature: field("temperature", "temperature", sampling) ?? 1,
    topK: field("top_k", "topK", sampling),
    topP: field("top_p", "topP", sampling),
    minP: field("min_p", "minP", sampling),
  }
  return sampling ? { maxTokens, ...drawn } : { maxTokens, temperature: 0 }
}

const drawing: Readonly<Record<string, Option>> = {
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
}

/** What is out of an option's range in fields that count for nothing, for without do_sample nothing is drawn: no error, but a mistake of whoever wrote it. */
export function unusedMistakes(config: Config): readonly string[] {
  if (flag(config, "do_sample")) return []
  return Object.entries(drawing).flatMap(([name, option]) => {
    const value = config?.[name]
    if (typeof value !== "number") return []
    try {
      inRange(option, off[option](value), name)
      return []
    } catch (error) {
      if (error instanceof WeftError) return [error.reason]
      throw error
    }
  })
}

/** Fields by which transformers chooses other tokens, with the values by which they do nothing, besides null, false and empty lists. */
const choosing: Readonly<Record<string, readonly unknown[]>> = {
  repetition_penalty: [1],
  encoder_repetition_penalty: [1],
  no_repeat_ngram_size: [0],
  encoder_no_repeat_ngram_size: [0],
  length_penalty: [0, 1],
  num_beams: [1],
  num_beam_groups: [1],
  diversity_penalty: [0],
  penalty_alpha: [0],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [1],
  guidance_scale: [1],
  min_length: [0],
  min_new_tokens: [0],
  bad_words_ids: [],
  force_words_ids: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  sequence_bias: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  exponential_decay_length_penalty: [],
  stop_strings: [],
  watermarking_config: [],
}

/** The fields of generation_config.json that say something and are not read: answers would be others with them. */
export function unheeded(config: Config): readonly string[] {
  const isOff = (name: string, value: unknown) =>
    value === undefined ||
    value === null ||
    value === false ||
    (Array.isArray(value) && value.length === 0) ||
    choosing[name]!.includes(value)
  return Object.keys(choosing).filter((name) => !isOff(name, config?.[name]))
}

/**
 * The tokens that end an answer: one number or a list in generation_config.json; `undefined` when it names none.
 *
 * @param vocabulary the number of logits, when it is known
 * @throws WeftError `generate/range` when the field holds something else than tokens of the vocabulary
 */
export function endTokensOf(config: Config, vocabulary = 2 ** 31): readonly number[] | undefined {
  const value = config?.eos_token_id ?? undefined
  if (value === undefined) return undefined
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  const isToken = (id: unknown): id is number =>
    typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocabulary
  if (!list.every(isToken))
    throw new WeftError(
      "generate/range",
      `${file}: eos_token_id is ${hostText(value)}; it is a token or a list of tokens, whole numbers from 0 to ${vocabulary - 1}`,
      { hint: "correct the field, or take it out: then config.json's counts" },
    )
  return list.length === 0 ? undefined : list
}

function flag(config: Config, name: string): boolean {
  const value = config?.[name] ?? false
  if (typeof value === "boolean") return value
  throw new WeftError("generate/range", `${file}: ${name} is ${hostText(value)}; it is true or false`, {
    hint: "correct the field, or take it out",
  })
}
