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
export function prefix(
  keys: Tensor<"vocab", "u32">,
  weights: Tensor<"vocab"> | Tensor<never>,
  goal: Tensor<never>,
): Tensor<"vocab", "bool"> {
  const last = bisect(32, (candidate) => {
    const reached = total(
      outer((key, c) => key >= c, keys, candidate),
      weights,
    )
    return map((r, g) => r >= g, reached, goal)
  })
  const above = sum(
    map((key, c, w) => (key > c ? w : 0), keys, last, weights),
    "vocab",
  )
  const tied = map((key, c, w) => (key === c ? w : 0), keys, last, weights)
  const count = size(keys, "vocab")
  const places = cast(iota("vocab", count, 0, "vocab"), "u32")
  const lastPlace = bisect(Math.ceil(Math.log2(count)), (candidate) => {
    const before = total(
      outer((place, c) => place < c, places, candidate),
      tied,
    )
    return map((b, a, g) => a + b < g, before, above, goal)
  })
  return map((key, place, c, p) => key > c || (key === c && place <= p), keys, places, last, lastPlace)
}

/** Σ weights over the chosen tokens, for each candidate. */
function total(chosen: Tensor<"vocab" | "digit", "bool">, weights: Tensor<"vocab"> | Tensor<never>): Tensor<"digit"> {
  return sum(
    map((c, w) => (c ? w : 0), chosen, weights),
    "vocab",
  )
}

/** The largest number of `width` bits (rounded up to whole digits) for which `holds`, which is monotone and taken to hold for 0. */
function bisect(
  width: number,
  holds: (candidate: Tensor<"digit", "u32">) => Tensor<"digit", "bool">,
): Tensor<never, "u32"> {
  const digits = cast(iota("digit", 2 ** digitBits, 0, "digit"), "u32")
  let found = literal(0, "u32")
  for (let low = Math.ceil(width / digitBits) - 1; low >= 0; low--) {
    const shift = low * digitBits
    const candidate = outer((digit, high) => high | (digit << shift), digits, found)
    found = max(
      map((h, c, f) => (h ? c : f), holds(candidate), candidate, found),
      "digit",
    )
  }
  return found
}
