/**
 * Weights in bf16 as f16, which has more digits and less range, row by row.
 *
 *   0.0199 … 1.5 in a row         →   the same numbers
 *   a row with 2^-20 and 0.5      →   2^-20 loses digits that are nothing beside 0.5
 *   a row with 70,000, or of nothing but 2^-20   →   refused
 *
 * From 2^-17 to 65,280 f16 holds each bf16. Below it is off by 2^-25 at most: half a digit of f16 where a row's largest is 2^-13 or more.
 */
import { printable, WeftError } from "../errors.js"

/** The bits of a bf16 of so much, without its sign: they count up as the numbers do. */
const bitsOf = (exponent: number) => (exponent + 127) << 7
const tooLarge = bitsOf(16)
const exactFrom = bitsOf(-17)
const largestFrom = bitsOf(-13)

/** The f16 of each bf16 that is in its range, by their bits. */
const halves = ((): (() => Uint16Array) => {
  let made: Uint16Array | undefined
  return () =>
    (made ??= Uint16Array.from({ length: 1 << 16 }, (_, bits) => ((bits >>> 15) << 15) | halfOf(bits & 0x7fff)))
})()

function halfOf(bits: number): number {
  const [exponent, mantissa] = [(bits >>> 7) - 127, bits & 0x7f]
  if (exponent > 15) return 0x7c00
  if (exponent >= -14) return ((exponent + 15) << 10) | (mantissa << 3)
  // Multiples of 2^-24, to even.
  const units = (128 + mantissa) * 2 ** (exponent + 17)
  const down = Math.floor(units)
  const rest = units - down
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down
}

/** What was seen of a row. */
interface Seen {
  count: number
  largest: number
  isRounded: boolean
}

/**
 * Narrows parts of a tensor, which may come in any order; rows are those of its last axis.
 *
 * @param name for people
 * @param row elements of a row
 * @returns what takes bytes of bf16 and the number of the first element, and returns bytes of f16
 * @throws WeftError `checkpoint/narrow` for a row that f16 does not hold
 */
export function narrower(name: string, row: number): (bytes: Uint8Array, first: number) => Uint8Array {
  const table = halves()
  const cut = new Map<number, Seen>()
  const judge = ({ largest, isRounded }: Seen, at: number) => {
    if (largest < tooLarge && !(isRounded && largest < largestFrom)) return
    throw new WeftError(
      "checkpoint/narrow",
      `row ${at} of ${printable(name)} is too ${largest < tooLarge ? "small" : "large"} for f16`,
      { hint: "leave the option 'experimentalGpu' out, or compile the model without" },
    )
  }
  return (bytes, first) => {
    const from = new Uint16Array(bytes.slice().buffer)
    const to = new Uint16Array(from.length)
    for (let i = 0; i < from.length; ) {
      const at = Math.floor((first + i) / row)
      const end = Math.min(from.length, (at + 1) * row - first)
      const seen = cut.get(at) ?? { count: 0, largest: 0, isRounded: false }
      seen.count += end - i
      for (; i < end; i++) {
        const bits = from[i]!
        const magnitude = bits & 0x7fff
        if (magnitude > seen.largest) seen.largest = magnitude
        if (magnitude < exactFrom && magnitude !== 0) seen.isRounded = true
        to[i] = table[bits]!
      }
      if (seen.count < row) cut.set(at, seen)
      else {
        cut.delete(at)
        judge(seen, at)
      }
    }
    return new Uint8Array(to.buffer)
  }
}
