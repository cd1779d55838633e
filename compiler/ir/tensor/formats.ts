/**
 * How a quantized weight decodes, as the compiler sees it: planes of fields, and a scalar function over a field of each.
 *
 *   q4_0 [out, 4096]   →   codes: words [out, 512] of eight fields of 4 bits     scale: f16 [out, 128]
 *                          w[out, k] = scale[out, k / 32] · (field(codes[out, k / 8], k mod 8) − 8)
 *
 * What planes a format has, and its function, stands in `runtime/weights/formats`; here its operations become expressions.
 */
import { type Arithmetic, type Format, fieldBits, type Plane } from "../../../runtime/weights/formats/format.js"
import { storageOf } from "../../../runtime/weights/formats/layout.js"
import { add, apply, literal, mul, sub } from "../expression.js"
import type { Expression } from "../nodes.js"

/** An input that is stored in a format: its last `columns` axes are the stored dimension that is divided, the first `stacked` number tensors. */
export interface Packed {
  readonly format: Format
  readonly stacked: 0 | 1
  readonly columns: number
}

/** Fields of a word; one where a plane is of numbers. */
export const fieldsOfWord = (plane: Plane): number =>
  storageOf(plane.field) === "u32" ? 32 / fieldBits[plane.field] : 1

/** The bits of field number `at` of a word, as u32. */
export function bitsOf(plane: Plane, word: Expression, at: Expression): Expression {
  return apply("bitand", apply("shr", word, placeOf(plane, at)), u32(2 ** fieldBits[plane.field] - 1))
}

/** Field number `at` of a word, as f32. */
export function fieldOf(plane: Plane, word: Expression, at: Expression): Expression {
  const { field } = plane
  const bits = fieldBits[field]
  if (field === "i8") {
    const high = apply("toI32", apply("shl", word, apply("sub", u32(32 - bits), placeOf(plane, at))))
    return apply("toF32", apply("shr", high, literal(32 - bits)))
  }
  const code = bitsOf(plane, word, at)
  return field === "e4m3" ? fromE4m3(code) : apply("toF32", code)
}

const u32 = (x: number) => literal(x, "u32")

/** Where in a word a field begins: as `pairedPlace` has it, or one behind the other. */
function placeOf({ field, paired }: Plane, at: Expression): Expression {
  const bits = fieldBits[field]
  if (!paired) return apply("toU32", mul(at, literal(bits)))
  const [eight, pair] = [apply("floordiv", at, literal(8)), apply("floormod", at, literal(4))]
  const isSecond = apply("floormod", apply("floordiv", at, literal(4)), literal(2))
  return apply("toU32", add(mul(add(mul(eight, literal(4)), pair), literal(bits)), mul(isSecond, literal(16))))
}

/** The number of a float of 8 bits, 4 of them its exponent: subnormal ones by a product, for f32's own may be flushed. */
export function fromE4m3(code: Expression): Expression {
  const magnitude = apply("bitand", code, u32(0x7f))
  const normal = apply("fromBits", add(apply("shl", magnitude, u32(20)), u32(120 << 23)))
  const small = mul(apply("toF32", magnitude), literal(2 ** -9, "f32"))
  const value = apply("select", apply("lt", magnitude, u32(8)), small, normal)
  return apply("select", apply("lt", code, u32(0x80)), value, apply("neg", value))
}

/** The operations of decode functions, over expressions. */
export const expressions: Arithmetic<Expression> = {
  number: (x) => literal(x, "f32"),
  add,
  sub,
  mul,
  pick: (table, index) => pick(table, apply("toI32", index)),
}

/** table[index]: halves of the table, one after the other. */
function pick(table: readonly number[], index: Expression): Expression {
  const among = (first: number, count: number): Expression => {
    if (count === 1) return literal(table[first]!, "f32")
    const half = 2 ** (Math.ceil(Math.log2(count)) - 1)
    const isLow = apply("lt", index, literal(first + half))
    return apply("select", isLow, among(first, half), among(first + half, count - half))
  }
  return among(0, table.length)
}
