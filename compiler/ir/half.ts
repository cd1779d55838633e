/**
 * Values of f16 among those of f32: 11 bits from 2^-14 to 65,504, multiples of 2^-24 below.
 */
const view = new DataView(new ArrayBuffer(4))

/** The distance of neighbouring f16 values around a float32, by the eight bits of its exponent; 2^-24 from the subnormals down. */
const quanta = Float64Array.from({ length: 256 }, (_, exponent) => 2 ** Math.max(exponent - 127 - 10, -24))

/** The nearest f16, halves to even; an infinity from 65,520 on. A float64 is rounded to f32 on the way. */
export function roundToHalf(wide: number): number {
  const x = Math.fround(wide)
  if (x === 0 || !Number.isFinite(x)) return x
  view.setFloat32(0, x)
  const quantum = quanta[(view.getUint32(0) >>> 23) & 0xff]!
  // Adding and subtracting 1.5 · 2^52 rounds a float64 to an integer, halves to even.
  const whole = x / quantum + 6755399441055744 - 6755399441055744
  const rounded = Math.abs(whole) * quantum
  return (x < 0 ? -1 : 1) * (rounded > 65504 ? Number.POSITIVE_INFINITY : rounded)
}
