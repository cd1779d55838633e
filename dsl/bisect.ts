/**
 * Order and selection without a sort, in the language.
 *
 *     keys [3 9 9 1], weights [1 1 1 1], goal 2      → [no yes yes no]
 *     keys [3 9 9 1], weights [1 1 1 1], goal 1      → [no yes no no]       the lowest place first on ties
 *
 * The bits of an f32, turned, are a u32 key of the same order. A prefix of the descending order is found from its last key by bisection
 * over the bits: each round tries all values of the next two bits and is one reduction over the tokens, so the rounds follow from the
 * width of a key alone, for any goal and any number of ties. Among the tokens with the last key the order is that of their places: the same
 * bisection once more, with keys that count down.
 */
import { size } from "./axes.js"
import { call } from "./call.js"
import { max, sum } from "./fold.js"
import { cast, map, mapTo, outer } from "./map.js"
import { iota, literal } from "./memory.js"
import { bits } from "./scalar.js"
import type { Tensor } from "./tensor.js"

/** Bits that one round of a bisection decides. */
const digitBits = 2

/** u32 keys in the order of the values: negative numbers have all bits turned, the others their sign. */
export function orderedKeys(x: Tensor<"vocab">): Tensor<"vocab", "u32"> {
  return mapTo("u32", (v) => ordered(bits(v)), x)
}

const ordered = (word: number) => (word >>> 31 === 0 ? word ^ 0x80000000 : ~word)

/**
 * The shortest prefix of the tokens, in descending order of `keys` and with the lowest place first on ties, whose `weights` (not negative)
 * sum up to at least `goal`; all tokens when none does.
 */
export function prefix(keys: Keys, weights: Weights, goal: Tensor<never>): Tensor<"vocab", "bool"> {
  const count = size(keys, "vocab")
  const last = lastKey(32, keys, weights, goal)
  const { tied, missing } = call(among, keys, last, weights, goal)
  const lastRank = lastKey(Math.ceil(Math.log2(count)), ranks(keys), tied, missing)
  return map((key, rank, c, r) => key > c || (key === c && rank >= r), keys, ranks(keys), last, lastRank)
}

type Keys = Tensor<"vocab", "u32">
type Weights = Tensor<"vocab">

/** Keys of the order of places, the first one largest: count − 1 … 0. */
function ranks(like: Keys): Keys {
  const most = literal(size(like, "vocab") - 1, "u32")
  return map((at, n) => n - at, cast(iota("vocab", size(like, "vocab"), 0, "vocab"), "u32"), most)
}

/** The largest key of `width` bits such that the weights of the keys from it on reach the goal; 0 when none does. */
const lastKey = (width: number, keys: Keys, weights: Weights, goal: Tensor<never>): Tensor<never, "u32"> =>
  bisect(width, (at) => call(round, at, keys, weights, goal))

/** The weights of the tokens with the last key, and what the tokens before them leave of the goal. */
function among(keys: Keys, last: Tensor<never, "u32">, weights: Weights, goal: Tensor<never>) {
  const above = sum(
    map((key, c, w) => (key > c ? w : 0), keys, last, weights),
    "vocab",
  )
  return {
    tied: map((key, c, w) => (key === c ? w : 0), keys, last, weights),
    missing: map((g, a) => g - a, goal, above),
  }
}

/** A round of a bisection: the bits found so far, and the place of the digit that comes next. */
type Round = {
  readonly found: Tensor<never, "u32">
  readonly shift: Tensor<never, "u32">
}

/** One digit further. A unit: all rounds of all bisections are one kernel. */
function round(at: Round, keys: Keys, weights: Weights, goal: Tensor<never>): Round {
  const candidate = candidates(at)
  const reached = total(
    outer((key, c) => key >= c, keys, candidate),
    weights,
  )
  return advance(
    at,
    candidate,
    map((r, g) => r >= g, reached, goal),
  )
}

/** Σ weights over the chosen tokens, for each candidate. */
function total(chosen: Tensor<"vocab" | "digit", "bool">, weights: Weights): Tensor<"digit"> {
  return sum(
    map((c, w) => (c ? w : 0), chosen, weights),
    "vocab",
  )
}

/** What was found with each value of the next digit. */
function candidates({ found, shift }: Round): Tensor<"digit", "u32"> {
  const digits = cast(iota("digit", 2 ** digitBits, 0, "digit"), "u32")
  return map((digit, high, s) => high | (digit << s), digits, found, shift)
}

function advance({ found, shift }: Round, candidate: Tensor<"digit", "u32">, holds: Tensor<"digit", "bool">): Round {
  const next = max(
    map((h, c, f) => (h ? c : f), holds, candidate, found),
    "digit",
  )
  return { found: next, shift: map((s) => s - digitBits, shift) }
}

/** The largest number of `width` bits (rounded up to whole digits) for which a condition holds that is monotone and taken to hold for 0. */
function bisect(width: number, round: (at: Round) => Round): Tensor<never, "u32"> {
  const digits = Math.ceil(width / digitBits)
  let at: Round = { found: literal(0, "u32"), shift: literal(Math.max(0, digits - 1) * digitBits, "u32") }
  for (let n = 0; n < digits; n++) at = round(at)
  return at.found
}
