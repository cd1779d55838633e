/**
 * Packed storage as expressions on raw 16-bit words, which the emitter loads and stores zero-extended in u32.
 *
 *   bf16  value = fromBits(raw << 16)
 *   f16   value = fromBits((raw & 0x7fff) << 13) · 2^112, with the sign and, for an all-ones exponent, the f32 exponent put back
 *
 * Both ways are exact where the value is representable; narrowing rounds to nearest even, overflows to infinity and keeps NaN a NaN. As
 * these are ordinary expressions, every width comes for free.
 */
import { apply, literal } from "../../ir/expression.js"
import type { Half } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"

const u = (x: number) => literal(x >>> 0, "u32")
const f = (x: number) => literal(x, "f32")
const infinity = 0x7f800000

/** The f32 value of raw half words (u32). */
export function widen(storage: Half, raw: Expression): Expression {
  if (storage === "bf16") return apply("fromBits", apply("shl", raw, u(16)))
  const magnitude = apply("bitand", raw, u(0x7fff))
  const sign = apply("shl", apply("bitand", raw, u(0x8000)), u(16))
  // The multiplication normalises subnormals and is exact; exponents are off by 127 − 15.
  const finite = apply("bits", apply("mul", apply("fromBits", apply("shl", magnitude, u(13))), f(2 ** 112)))
  const special = apply("bitor", apply("shl", magnitude, u(13)), u(infinity))
  const bits = apply("select", apply("ge", magnitude, u(0x7c00)), special, finite)
  return apply("fromBits", apply("bitor", bits, sign))
}

/** The raw half words (u32, below 65,536) nearest to f32 values. */
export function narrow(storage: Half, value: Expression): Expression {
  const bits = apply("bits", value)
  const magnitude = apply("bitand", bits, u(0x7fffffff))
  const nan = apply("gt", magnitude, u(infinity))
  return storage === "bf16" ? narrowBfloat(bits, nan) : narrowHalf(bits, magnitude, nan)
}

/** (bits + half a unit of the kept part, less one when that part is even) >> shift. */
function roundShift(bits: Expression, shift: number): Expression {
  const odd = apply("bitand", apply("shr", bits, u(shift)), u(1))
  return apply("shr", apply("add", apply("add", bits, u(2 ** (shift - 1) - 1)), odd), u(shift))
}

function narrowBfloat(bits: Expression, nan: Expression): Expression {
  const quiet = apply("bitor", apply("shr", bits, u(16)), u(0x40))
  return apply("select", nan, quiet, roundShift(bits, 16))
}

function narrowHalf(bits: Expression, magnitude: Expression, nan: Expression): Expression {
  const sign = apply("bitand", apply("shr", bits, u(16)), u(0x8000))
  const normal = roundShift(apply("sub", magnitude, u(112 << 23)), 13)
  // Below 2^-14 a float addition aligns the mantissa to units of 2^-24 and rounds it: the sum's low bits are the result.
  const aligned = apply("add", apply("fromBits", magnitude), f(0.5))
  const subnormal = apply("sub", apply("bits", aligned), u(0x3f000000))
  const finite = apply("select", apply("lt", magnitude, u(113 << 23)), subnormal, normal)
  const overflow = apply("select", nan, u(0x7e00), u(0x7c00))
  // 65,520 is the first value that rounds to 2^16.
  return apply("bitor", apply("select", apply("ge", magnitude, u(0x477ff000)), overflow, finite), sign)
}
