/**
 * A format of quantized weights: planes of fields, and a scalar function that decodes one weight out of a field of each.
 *
 *     q4_k, 256 weights:  codes u4 · 256   scale u8 · 8   minimum u8 · 8   blockScale f16   blockMinimum f16
 *     weight              =   blockScale · scale · code − blockMinimum · minimum
 *
 * Files keep these fields in blocks of 18, 34 or 210 bytes, in words along either axis, or in tensors of their own. Whatever it was, it is
 * repacked while it is read: planes one behind the other, their fields in the order of the weights (`layout.ts`).
 */

/**
 * The operations in which decode functions are written: of float32, rounded once each.
 *
 * A product that is added to something is exact in all formats here: so a device may fuse the two.
 */
export interface Arithmetic<V> {
  number(value: number): V
  add(a: V, b: V): V
  sub(a: V, b: V): V
  mul(a: V, b: V): V
  /** `table[index]`; the index is a field of unsigned integers just as it was given, and `table` has a number for each value of it. */
  pick(table: readonly number[], index: V): V
}

/** What a field is: an unsigned integer of so many bits, one in two's complement, or a number. */
export type Field = "u1" | "u2" | "u4" | "u8" | "u16" | "i8" | "e4m3" | "f16" | "bf16" | "f32"

/** Bits of a field. */
export const fieldBits: Readonly<Record<Field, number>> = {
  u1: 1,
  u2: 2,
  u4: 4,
  u8: 8,
  u16: 16,
  i8: 8,
  e4m3: 8,
  f16: 16,
  bf16: 16,
  f32: 32,
}

/** Where in a word field number `at` of those that it holds begins, where fields lie by pairs. */
export const pairedPlace = (bits: number, at: number): number =>
  bits * (4 * (at >> 3) + (at & 3)) + 16 * ((at >> 2) & 1)

/** What a format is called: lower case, so that it is none of safetensors' types. */
export type FormatName = Lowercase<string>

export interface Plane {
  /** `codes`, `high`, `scale`, … */
  readonly name: string
  readonly field: Field
  /** Weights along the last dimension that share a field; `row` for all of them. */
  readonly per: number | "row"
  /** Rows (all dimensions but the last, flattened) that share a field; `all` for a field of the tensor. */
  readonly rows: number | "all"
  /** The field does not depend on the row: there is one for each column, in a single row. */
  readonly shared?: true
  /** A shared plane whose field at a weight's column says which of the row's fields is the weight's, in place of `column / per`. */
  readonly by?: string
  /** The fields of all rows lie together, column by column: `across.ts`. */
  readonly across?: true
  /** Fields j and j + 4 of each eight lie 16 bits apart in their word: `across.ts`. */
  readonly paired?: true
}

export interface Format {
  /** `formatNamed` finds the format again. */
  readonly name: FormatName
  readonly planes: readonly Plane[]
  /**
   * One weight, from a field of each plane by its name: integers come converted to float32, numbers widened to it. The fields of a plane to
   * which another refers (`by`) are of no use here.
   */
  readonly decode: <V>(arithmetic: Arithmetic<V>, fields: Readonly<Record<string, V>>) => V
  /** The last dimension of a tensor is a multiple of it. */
  readonly block: number
}

/** What planes mostly are: fields of one row. */
export const plane = (name: string, field: Field, per: number | "row"): Plane => ({ name, field, per, rows: 1 })
