/**
 * Choosing the next token, written in the language and compiled with the step.
 *
 *     scaled = (logits − max) / temperature      → top-k → top-p → min-p      → argmax(scaled + noise)
 *
 * The filters and their order are those of transformers; each keeps a prefix of the tokens in descending order, found exactly for any k
 * and p (`prefix`). The draw is the Gumbel-max form of a draw from the softmax: the noise is a function of (seed, step, token), so the
 * same seed gives the same text, and nothing is uploaded but the parameters.
 */
import { extent, pick } from "./axes.js"
import { orderedKeys, prefix } from "./bisect.js"
import { argmax, max, sum } from "./fold.js"
import { map, mapTo } from "./map.js"
import { iota } from "./memory.js"
import { bits, fromBits, toF32, toU32 } from "./scalar.js"
import type { Tensor } from "./tensor.js"

/**
 * The values of the input `sampling` in their order, each a u32. `temperature` (above 0), `topP` (1 and more: off) and `minP` (0: off) are
 * the bits of an f32; `topK` is a count (0: off); `step` counts the tokens that one seed has drawn.
 */
export const samplingFields = ["temperature", "topK", "topP", "minP", "seedLow", "seedHigh", "step"] as const
type Field = (typeof samplingFields)[number]

/**
 * The token with the largest logit, the lowest on ties; −1 when some logit is not finite.
 *
 *     logits: vocab[n] → no axes
 *
 * @throws `trace/axis` when the logits have no axis 'vocab'
 */
export function greedyToken(logits: Tensor<"vocab">): Tensor<never, "i32"> {
  return unlessBroken(argmax(logits, "vocab"), logits)
}

/**
 * A draw from softmax(logits / temperature) after the filters; −1 when some logit is not finite.
 *
 *     logits: vocab[n], sampling: field[samplingFields.length] → no axes
 *
 * @throws `trace/axis` when the logits have no axis 'vocab', or the fields none named 'field'
 * @throws `trace/extent` when there are fewer fields than `samplingFields`
 */
export function sampleToken(logits: Tensor<"vocab">, sampling: Tensor<"field", "u32">): Tensor<never, "i32"> {
  const field = (name: Field) => pick(sampling, "field", samplingFields.indexOf(name))
  const number = (name: Field) => mapTo("f32", (word) => fromBits(word), field(name))
  const scaled = map((x, m, t) => (x - m) / Math.max(t, 1e-6), logits, max(logits, "vocab"), number("temperature"))
  const keys = orderedKeys(scaled)

  const count = mapTo("f32", (k) => (k === 0 ? off : toF32(k)), field("topK"))
  const each = map((_) => 1, scaled)
  const first = prefix(keys, each, count)

  const weights = map((kept, x) => (kept ? Math.exp(x) : 0), first, scaled)
  // Summed from what the weights are made of, and not from them, so that it need not wait for them.
  const total = sum(
    map((kept, x) => Math.exp(x) * (kept ? 1 : 0), first, scaled),
    "vocab",
  )
  const mass = map((p, all) => (p < 1 ? Math.max(p * all, least) : off), number("topP"), total)
  const second = prefix(keys, weights, mass)

  // A token whose weight is 0 in f32 has no chance: what the first filter removed, and what is too far below the largest logit.
  const kept = map((k, w, p) => k && w > 0 && w >= Math.min(p, 1), second, weights, number("minP"))
  const noise = gumbel(logits, field("seedLow"), field("seedHigh"), field("step"))
  const drawn = argmax(
    map((k, x, g) => (k ? x + g : -Infinity), kept, scaled, noise),
    "vocab",
  )
  return unlessBroken(drawn, logits)
}

/** A goal that no sum reaches, so that all tokens are kept. */
const off = Number.POSITIVE_INFINITY
/** A goal that the first token reaches, whose weight is 1. */
const least = 1e-30

/** −1 in the place of `token` when a logit is infinite or NaN, by its exponent: comparisons of such values may be optimised away. */
function unlessBroken(token: Tensor<never, "i32">, logits: Tensor<"vocab">): Tensor<never, "i32"> {
  const exponent = max(
    mapTo("u32", (x) => bits(x) & 0x7f800000, logits),
    "vocab",
  )
  return mapTo("i32", (t, e) => (e === 0x7f800000 ? -1 : t), token, exponent)
}

/** Standard Gumbel noise for each token: −log E, where E is exponential with mean 1. */
function gumbel(
  like: Tensor<"vocab">,
  seedLow: Tensor<never, "u32">,
  seedHigh: Tensor<never, "u32">,
  step: Tensor<never, "u32">,
): Tensor<"vocab"> {
  const low = map((seed, s) => mix(seed ^ mix(s ^ 0x9e3779b9)), seedLow, step)
  const high = map((seed, key) => mix(seed ^ mix(key ^ 0x85ebca6b)), seedHigh, low)
  const token = iota("vocab", extent(like, "vocab"), 0, "vocab")
  const words = mapTo("u32", (t, a, b) => mix(mix(toU32(t) ^ a) ^ b), token, low, high)
  return mapTo("f32", (word) => -Math.log(exponential(word)), words)
}

/** A bijection of 32-bit words in which each bit of the argument turns each bit of the result with a chance near 1/2 (C. Wellons, lowbias32). */
export const mix = (word: number): number => {
  const a = Math.imul(word ^ (word >>> 16), 0x7feb352d)
  const b = Math.imul(a ^ (a >>> 15), 0x846ca68b)
  return b ^ (b >>> 16)
}

/** −log(1 − u) for u = (word + ½) / 2^32, between 1.1e-10 and 16.7. For small u by the series, which keeps the bits that 1 − u would lose. */
export const exponential = (word: number): number => {
  const u = Math.min((toF32(word) + 0.5) * 2.3283064365386963e-10, 0.99999994)
  return u < 0.01 ? u * (1 + u * (0.5 + u * (1 / 3 + u * 0.25))) : -Math.log(1 - u)
}
