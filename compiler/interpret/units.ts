/**
 * How matrix units add, for those who want to see what it costs; otherwise the interpreter adds products one after the other, each sum rounded.
 *
 *   c + a₁·b₁ + … + aₙ·bₙ   →   every addend cut to bits that are worth 2^(e − 23 − bits) and more, e the largest exponent among them;
 *                               their sum cut to the 24 bits of an f32
 *
 * The exponent of a product is the sum of its factors': 1.5 · 1.5 has that of 1 · 1. What is published for NVIDIA's units: Khattak and Mikaitis, "Accurate
 * Models of NVIDIA Tensor Cores" (arXiv 2512.07004); Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores" (PeerJ CS 7:e330).
 */

export interface Adder {
  /** Products that are added at once. */
  readonly products: number
  /** Bits below those of an f32 that are kept of what is added. */
  readonly bits: number
}

/** Of halves, by the compute capability from which they are so, times ten. */
export const adders = { 80: { products: 8, bits: 1 }, 90: { products: 16, bits: 2 } } as const satisfies Readonly<
  Record<number, Adder>
>

const number = new Float32Array(1)
const word = new Uint32Array(number.buffer)

/** No number has so small an exponent. */
const none = -1000

function exponentOf(x: number): number {
  if (x === 0) return none
  number[0] = x
  return Math.max(1, (word[0]! >>> 23) & 255) - 127
}

/** The next f32 towards 0. */
function cut(x: number): number {
  const rounded = Math.fround(x)
  if (!Number.isFinite(rounded) || Math.abs(rounded) <= Math.abs(x)) return rounded
  number[0] = rounded
  word[0]! -= 1
  return number[0]
}

/** c + Σ a[i] · b[i · stride] over so many elements from `at` and `bt` on, as the unit adds it. */
export function addProducts(
  { products, bits }: Adder,
  c: number,
  a: Float64Array,
  at: number,
  b: Float64Array,
  bt: number,
  stride: number,
  count: number,
): number {
  let sum = c
  for (let from = 0; from < count; from += products) {
    const end = Math.min(count, from + products)
    let plain = sum
    let largest = exponentOf(sum)
    for (let i = from; i < end; i++) {
      const [x, y] = [a[at + i]!, b[bt + i * stride]!]
      plain += x * y
      if (x !== 0 && y !== 0) largest = Math.max(largest, exponentOf(x) + exponentOf(y))
    }
    if (!Number.isFinite(plain) || largest === none) {
      sum = Math.fround(plain)
      continue
    }
    const least = 2 ** (largest - 23 - bits)
    let kept = Math.trunc(sum / least)
    for (let i = from; i < end; i++) kept += Math.trunc((a[at + i]! * b[bt + i * stride]!) / least)
    sum = cut(kept * least)
  }
  return sum
}
