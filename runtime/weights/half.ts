/** Numbers of 16 bits (IEEE 754 binary16) by their bits, for the scales of blocks. */

/** Least and largest number that f16 holds with all its digits. */
export const leastHalf = 2 ** -14
export const largestHalf = 65_504

/** The bits of the f16 that is nearest to `x`, to even where two are; infinity from 65,520 on. */
export function halfBits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const magnitude = Math.abs(x)
  if (!(magnitude < 65_520)) return Number.isNaN(x) ? 0x7e00 : sign | 0x7c00
  // Carries go from the digits into the exponent, as they should.
  if (magnitude < leastHalf) return sign | toEven(magnitude * 2 ** 24)
  let exponent = Math.floor(Math.log2(magnitude))
  // A logarithm is rounded, too.
  if (magnitude < 2 ** exponent) exponent--
  else if (magnitude >= 2 ** (exponent + 1)) exponent++
  return sign | (((exponent + 14) << 10) + toEven(magnitude * 2 ** (10 - exponent)))
}

/** The number that f16 has by `bits`. */
export function halfNumber(bits: number): number {
  const exponent = (bits >> 10) & 0x1f
  const digits = bits & 0x3ff
  const magnitude =
    exponent === 0
      ? digits * 2 ** -24
      : exponent === 0x1f
        ? digits === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : (1024 + digits) * 2 ** (exponent - 25)
  return bits & 0x8000 ? -magnitude : magnitude
}

function toEven(x: number): number {
  const down = Math.floor(x)
  const rest = x - down
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down
}
