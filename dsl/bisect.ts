/**
 * Order and selection without a sort, in the language.
 *
 *     keys [3 9 9 1], weights [1 1 1 1], goal 2      → [no yes yes no]
 *     keys [3 9 9 1], weights [1 1 1 1], goal 1      → [no yes no no]       the lowest place first on ties
 *
 * The bits of an f32, turned, are a u32 key of the same order. A prefix of the descending order is found from its last key by bisection
 * over the bits: each round tries all values of the next two bits and is one reduction over the tokens, so the rounds follow from the
 * width of a key alone, for any goal and any number of ties.
 */
import { size } from "./axes.js"
import { max, sum } from "./fold.js"
import { cast, map, mapTo, outer } from "./map.js"
import { iota, literal } from "./memory.js"
import { call } from "./model.js"
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
  const last = bisect(32, (at) => call(keyRound, at, keys, weights, goal))
  const above = sum(
    map((key, c, w) => (key > c ? w : 0), keys, last, weights),
    "vocab",
  )
  const count = size(keys, "vocab")
  const lastPlace = bisect(Math.ceil(Math.log2(count)), (at) => call(placeRound, at, keys, last, weights, above, goal))
  return map((key, place, c, p) => key > c || (key === c && place <= p), keys, places(keys), last, lastPlace)
}

type Keys = Tensor<"vocab", "u32">
type Weights = Tensor<"vocab"> | Tensor<never>

const places = (like: Keys): Keys => cast(iota("vocab", size(like, "vocab"), 0, "vocab"), "u32")

/** A round of a bisection: the bits found so far, and the place of the digit that comes next. */
type Round = {
  readonly found: Tensor<never, "u32">
  readonly shift: Tensor<never, "u32">
}

/** The largest key such that the weights of the keys from it on reach the goal, one digit further. A unit: all rounds are one kernel. */
function keyRound(at: Round, keys: Keys, weights: Weights, goal: Tensor<never>): Round {
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

/** Among the tokens with the last key: the largest place such that those before it do not reach the goal, one digit further. */
function placeRound(
  at: Round,
  keys: Keys,
  last: Tensor<never, "u32">,
  weights: Weights,
  above: Tensor<never>,
  goal: Tensor<never>,
): Round {
  const candidate = candidates(at)
  const tied = map((key, c, w) => (key === c ? w : 0), keys, last, weights)
  const before = total(
    outer((place, c) => place < c, places(keys), candidate),
    tied,
  )
  return advance(
    at,
    candidate,
    map((b, a, g) => a + b < g, before, above, goal),
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
  let at: Round = { found: literal(0, "u32"), shift: literal((digits - 1) * digitBits, "u32") }
  for (let n = 0; n < digits; n++) at = round(at)
  return at.found
}
