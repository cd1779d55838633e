/**
 * How positions turn, as a file says it, in the words of a config.
 *
 *     rope.freq_base 1e6, rope.scaling {type "yarn", factor 4, original_context_length 32768}
 *       →   { rope_theta: 1e6, rope_type: "yarn", factor: 4, original_max_position_embeddings: 32768 }
 *     rope_freqs.weight [1, 1, …, 2.3, …, 8, 8]
 *       →   { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }
 *
 * Files of Llama 3.1 hold what each frequency is divided by. The largest is the factor; how far the others lie between 1 and it says how often
 * their channels turn in the original context, which is found again, and with it the very numbers of the config that the file was made of.
 */
import type { Fields } from "./fields.js"

export type Rope = Readonly<Record<string, unknown>>

/** What would have to be other than this to change the result, and is not computed. */
const neutral: Readonly<Record<string, number>> = {
  "rope.scaling.attn_factor": 1,
  "rope.scaling.yarn_ext_factor": 1,
  "rope.scaling.yarn_log_multiplier": 0,
}

/**
 * @param divisors those of `rope_freqs.weight`, where the file has it
 * @param dim the channels that turn
 * @throws WeftError `checkpoint/metadata`
 */
export function ropeOf(fields: Fields, dim: number, divisors: Float32Array | undefined): Rope {
  const theta = fields.number("rope.freq_base") ?? 10_000
  for (const [key, value] of Object.entries(neutral))
    if ((fields.number(key) ?? value) !== value)
      fields.refuse(key, `is ${fields.number(key)}, which is not supported; ${value} is`)
  const scaled = scalingOf(fields)
  if (divisors === undefined) return { rope_theta: theta, ...scaled }
  const divided = dividedOf(divisors, theta, dim)
  if (divided === undefined || scaled.rope_type !== "default")
    return fields.refuse(
      "rope.freq_base",
      "stands beside a tensor rope_freqs.weight whose numbers are not those of Llama 3's scaling",
      "other scalings are not supported; use the model's folder, if its config names one that is",
    )
  return { rope_theta: theta, ...divided }
}

function scalingOf(fields: Fields): Rope {
  // Files of 2023 have the factor alone.
  const factor = fields.number("rope.scaling.factor") ?? fields.number("rope.scale_linear") ?? 0
  const type = fields.text("rope.scaling.type") ?? "linear"
  if (type === "none" || factor === 0 || (type === "linear" && factor === 1)) {
    if (type === "yarn" || type === "longrope") fields.refuse("rope.scaling.factor", "is missing")
    return { rope_type: "default" }
  }
  if (type === "linear") return { rope_type: "linear", factor }
  if (type !== "yarn")
    return fields.refuse("rope.scaling.type", `is "${type}", which is not supported; linear and yarn are`)
  const more = {
    beta_fast: fields.number("rope.scaling.yarn_beta_fast"),
    beta_slow: fields.number("rope.scaling.yarn_beta_slow"),
    attention_factor: fields.number("rope.scaling.yarn_attn_factor"),
    original_max_position_embeddings: fields.count("rope.scaling.original_context_length"),
  }
  const said = Object.entries(more).filter(([, value]) => value !== undefined)
  return { rope_type: "yarn", factor, ...Object.fromEntries(said) }
}

/** How far a frequency that is computed anew may be from that of the file, which was rounded a few times. */
const roundings = 4e-6

/** Llama 3's scaling of which the file's divisors are; `undefined` when there is none. */
function dividedOf(divisors: Float32Array, theta: number, dim: number): Rope | undefined {
  if (divisors.length !== dim / 2 || divisors.some((d) => !(d >= 1 && Number.isFinite(d)))) return undefined
  const factor = divisors.reduce((most, d) => Math.max(most, d), 1)
  if (factor === 1) return { rope_type: "default" }
  const channels = [...divisors].map((divisor, i) => ({
    divisor,
    // In one position.
    turns: theta ** ((-2 * i) / dim) / (2 * Math.PI),
    kept: (factor / divisor - 1) / (factor - 1),
  }))
  const isRight = ([low, high, original]: Ramp) =>
    channels.every(({ divisor, turns }) => {
      const kept = Math.min(1, Math.max(0, (original * turns - low) / (high - low)))
      return Math.abs(divisor * (kept + (1 - kept) / factor) - 1) < roundings
    })
  const found = rampsOf(channels).find(isRight)
  if (found === undefined) return undefined
  const [low_freq_factor, high_freq_factor, original_max_position_embeddings] = found
  return { rope_type: "llama3", factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }
}

/** The turns of the channels that are stretched wholly and not at all, and the original context: only their ratios can be known. */
type Ramp = readonly [low: number, high: number, original: number]

interface Channel {
  readonly turns: number
  /** 1 where a frequency is as it was, 0 where it is divided by the factor. */
  readonly kept: number
}

/** What it may be: with the factors 1 and 4, as all published files have them, and with those of two channels between. */
function rampsOf(channels: readonly Channel[]): readonly Ramp[] {
  const between = channels.filter(({ kept }) => kept > 1e-4 && kept < 1 - 1e-4)
  const [first, second] = between
  const ramps: Ramp[] = []
  if (first === undefined) {
    // Any context in which the last channel that is kept turns often enough, and the first that is stretched seldom enough.
    const least = 4 / Math.min(Infinity, ...channels.filter(({ kept }) => kept > 0.5).map(({ turns }) => turns))
    const largest = 1 / Math.max(0, ...channels.filter(({ kept }) => kept <= 0.5).map(({ turns }) => turns))
    ramps.push([1, 4, 2 ** Math.ceil(Math.log2(Math.max(1, least)))], [1, 4, Math.max(1, Math.floor(largest))])
  } else ramps.push([1, 4, Math.round((1 + 3 * first.kept) / first.turns)])
  if (first !== undefined && second !== undefined) {
    const slope = (first.kept - second.kept) / (first.turns - second.turns)
    const high = Math.round(1000 * (1 + 1 / (first.turns * slope - first.kept))) / 1000
    ramps.push([1, high, Math.round(slope * (high - 1))])
  }
  return ramps.filter(([low, high, original]) => low < high && Number.isSafeInteger(original) && original > 0)
}
