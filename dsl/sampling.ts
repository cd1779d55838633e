/**
 * Choosing the next token, written in the language and compiled with the step.
 *
 *     scaled = (logits − max) / temperature      → top-k → top-p → min-p      → argmax(scaled + noise)
 *
 * The filters and their order are those of transformers; each keeps a prefix of the tokens in descending order, found exactly for any k
 * and p (`prefix`). The draw is the Gumbel-max form of a draw from the softmax: the noise is a function of (seed, step, token), so the
 * same seed gives the same text, and nothing is uploaded but the parameters.
 */
import { extent, merge, pick, rename, size, split } from "./axes.js"
import {
  digitBits,
  type End,
  endByCount,
  endByMass,
  inOrder,
  inParts,
  least,
  off,
  ordered,
  type Parts,
  placeOfTied,
  tiedBefore,
  weightOf,
} from "./bisect.js"
import { call } from "./call.js"
import { countedBits, countRounds, firstRound, inFewParts, lastOf, massRounds, placeOfLast } from "./counting.js"
import { argmax, max, sum } from "./fold.js"
import { map, mapTo } from "./map.js"
import { iota, literal } from "./memory.js"
import { bits, fromBits, toF32, toI32, toU32 } from "./scalar.js"
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
  const exponent = max(
    mapTo("u32", (x) => exponentOf(x), logits),
    "vocab",
  )
  return unlessBroken(argmax(logits, "vocab"), exponent)
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
  if (digitBits() >= countedBits) return sampleByCounting(logits, sampling)
  const parts = call(partsOf, logits)
  const all = call(overall, call(extremes, parts), sampling)
  const { keys, weights } = call(prepare, parts, all.largest, sampling)
  const tokens = inOrder(keys, weights)
  const first = endByCount(tokens, all.wanted, literal(0, "u32"))
  const mass = call(massOf, first, all.wanted, sampling)
  const second = endByMass(tokens, mass, first.key)
  const { kept, before } = call(keptOf, first, all.wanted, second, mass)
  const last = call(placeOfTied, keys, second, before, kept)
  const scores = call(scoresUpTo, logits, all, sampling, second.key, last)
  return unlessBroken(argmax(scores, "vocab"), all.broken)
}

/**
 * `sampleToken` where neither top-k nor top-p filters: a draw from softmax(logits / temperature) after min-p; −1 when some logit is not finite.
 *
 *     logits: vocab[n], sampling: field[samplingFields.length] → no axes
 *
 * @throws `trace/axis` when the logits have no axis 'vocab', or the fields none named 'field'
 * @throws `trace/extent` when there are fewer fields than `samplingFields`
 */
export function drawToken(logits: Tensor<"vocab">, sampling: Tensor<"field", "u32">): Tensor<never, "i32"> {
  const all = call(overall, call(extremes, call(partsOf, logits)), sampling)
  return unlessBroken(argmax(call(scoresOfAll, logits, all, sampling), "vocab"), all.broken)
}

/** Below every logit, and finite. */
const lowest = -3.4028234663852886e38

const field = (sampling: Tensor<"field", "u32">, name: Field) => pick(sampling, "field", samplingFields.indexOf(name))
const numberOf = (sampling: Tensor<"field", "u32">, name: Field) =>
  mapTo("f32", (word) => fromBits(word), field(sampling, name))

/**
 * `sampleToken` by counting, in few kernels: whatever is one number for all tokens is found again by each block that needs it, from the few numbers that
 * the kernel before has left.
 */
function sampleByCounting(logits: Tensor<"vocab">, sampling: Tensor<"field", "u32">): Tensor<never, "i32"> {
  const { all, keys, weights } = call(begin, logits, call(extremesOfPieces, logits), sampling)
  const tokens = { keys, weights, bits: digitBits() }
  const first = firstRound(tokens)
  const counted = countRounds(first, tokens, all.wanted)
  const last = call(lastOf, massRounds(first, counted, tokens, all.wanted, all.share), keys)
  const scores = scoresUpTo(logits, all, sampling, last.key, call(placeOfLast, last, keys))
  return unlessBroken(argmax(scores, "vocab"), all.broken)
}

/** In memory: what fills up the last part would be in the way of vectors. */
const partsOf = (logits: Tensor<"vocab">): Tensor<Parts> => inParts(logits, lowest)

/** Part by part, the largest logit and the largest exponent. */
function extremes(parts: Tensor<Parts>) {
  return {
    largest: max(parts, "member"),
    exponent: max(
      mapTo("u32", (x) => exponentOf(x), parts),
      "member",
    ),
  }
}

function extremesOfPieces(logits: Tensor<"vocab">) {
  const parts = inFewParts(logits, lowest)
  const pieces = split(parts, "member", { piece: 4, member: size(parts, "member") / 4 })
  const exponents = mapTo("u32", (x) => exponentOf(x), pieces)
  return { largest: max(pieces, "member"), exponent: max(exponents, "member") }
}

/** What the filters look at, and what is one number for all tokens. */
function begin(
  logits: Tensor<"vocab">,
  { largest, exponent }: ReturnType<typeof extremesOfPieces>,
  sampling: Tensor<"field", "u32">,
) {
  const own = {
    largest: merge(largest, ["part", "piece"], "part"),
    exponent: merge(exponent, ["part", "piece"], "part"),
  }
  const again = max(rename(own.largest, "part", "share"), "share")
  return {
    all: { ...overall(own, sampling), share: numberOf(sampling, "topP") },
    ...prepare(inFewParts(logits, lowest), again, sampling),
  }
}

type Overall = ReturnType<typeof overall>
/** What is one number for all tokens: the two above, and what the seed and the step make of the noise. */
function overall({ largest, exponent }: ReturnType<typeof extremes>, sampling: Tensor<"field", "u32">) {
  const words = [field(sampling, "seedLow"), field(sampling, "seedHigh"), field(sampling, "step")] as const
  return {
    largest: max(largest, "part"),
    broken: max(exponent, "part"),
    low: map((seed, _, step) => lowOf(seed, step), ...words),
    wanted: mapTo("f32", (k) => (k === 0 ? off : toF32(k)), field(sampling, "topK")),
    high: map((seed, other, step) => highOf(other, lowOf(seed, step)), ...words),
  }
}

const scaled = (x: number, largest: number, temperature: number): number => (x - largest) / Math.max(temperature, 1e-6)

/** The logits below the largest, by the temperature: logarithms of the chances up to a summand. */
function chances(logits: Tensor<"vocab">, largest: Tensor<never>, sampling: Tensor<"field", "u32">): Tensor<"vocab"> {
  return map((x, m, t) => scaled(x, m, t), logits, largest, numberOf(sampling, "temperature"))
}

const isKept = (key: number, place: number, last: number, lastPlace: number): boolean =>
  key > last || (key === last && place <= lastPlace)

/** What the filters look at: the order of the tokens, and their chances up to a factor. */
function prepare(parts: Tensor<Parts>, largest: Tensor<never>, sampling: Tensor<"field", "u32">) {
  const values = map((x, m, t) => scaled(x, m, t), parts, largest, numberOf(sampling, "temperature"))
  return { keys: mapTo("u32", (x) => ordered(bits(x)), values), weights: map((x) => Math.exp(x), values) }
}

/** Of the tokens with the last key, which are as likely as each other, so many belong to the first k. */
function ofLast({ count, tied }: End, wanted: Tensor<never>): Tensor<never> {
  const all = mapTo("f32", (n) => toF32(n), sum(tied, "part"))
  return map((k, before, n) => Math.min(k - before, n), wanted, sum(count, "part"), all)
}

/** What the tokens weigh that top-p keeps of those that top-k has kept. */
function massOf(first: End, wanted: Tensor<never>, sampling: Tensor<"field", "u32">): Tensor<never> {
  const total = map(
    (before, n, key) => before + n * weightOf(key),
    sum(first.mass, "part"),
    ofLast(first, wanted),
    first.key,
  )
  return map((p, all) => (p < 1 ? Math.max(p * all, least) : off), numberOf(sampling, "topP"), total)
}

/** Of the tokens with the key at which both filters end, so many are kept; and before each part there are so many. */
function keptOf(first: End, wanted: Tensor<never>, second: End, mass: Tensor<never>) {
  const count = map(
    (goal, before, key) => Math.ceil((goal - before) / Math.max(weightOf(key), least)),
    mass,
    sum(second.mass, "part"),
    second.key,
  )
  const both = mapTo(
    "i32",
    (n, most, key, at) => toI32(key === at ? Math.min(n, most) : n),
    count,
    ofLast(first, wanted),
    first.key,
    second.key,
  )
  return { kept: both, before: tiedBefore(second) }
}

/** Logits with noise of the tokens up to the last one in the order, −∞ for all others. */
function scoresUpTo(
  logits: Tensor<"vocab">,
  all: Overall,
  sampling: Tensor<"field", "u32">,
  last: Tensor<never, "u32">,
  lastPlace: Tensor<never, "i32">,
): Tensor<"vocab"> {
  const place = iota("vocab", extent(logits, "vocab"), 0, "vocab")
  const values = chances(logits, all.largest, sampling)
  const chosen = map((x, at, key, limit) => isKept(ordered(bits(x)), at, key, limit), values, place, last, lastPlace)
  return map((kept, score) => (kept ? score : -Infinity), chosen, scoresOfAll(logits, all, sampling))
}

/** Logits with noise of the tokens that min-p keeps, −∞ for all others. */
function scoresOfAll(logits: Tensor<"vocab">, all: Overall, sampling: Tensor<"field", "u32">): Tensor<"vocab"> {
  const values = chances(logits, all.largest, sampling)
  const weights = map((x) => Math.exp(x), values)
  // A token whose weight is 0 in f32 has no chance: it is too far below the largest logit.
  const kept = map((w, p) => w > 0 && w >= Math.min(p, 1), weights, numberOf(sampling, "minP"))
  return map((k, x, g) => (k ? x + g : -Infinity), kept, values, gumbel(values, all.low, all.high))
}

/** The bits of the exponent: of an infinite number and of NaN all are set. Comparisons of such values may be optimised away. */
const exponentOf = (x: number): number => bits(x) & 0x7f800000

/** −1 in the place of `token` when the largest exponent is that of a logit that is infinite or NaN. */
function unlessBroken(token: Tensor<never, "i32">, exponent: Tensor<never, "u32">): Tensor<never, "i32"> {
  return mapTo("i32", (t, e) => (e === 0x7f800000 ? -1 : t), token, exponent)
}

const lowOf = (seed: number, step: number): number => mix(seed ^ mix(step ^ 0x9e3779b9))
const highOf = (seed: number, low: number): number => mix(seed ^ mix(low ^ 0x85ebca6b))

/** Standard Gumbel noise for each token: −log E, where E is exponential with mean 1. */
function gumbel(like: Tensor<"vocab">, low: Tensor<never, "u32">, high: Tensor<never, "u32">): Tensor<"vocab"> {
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
