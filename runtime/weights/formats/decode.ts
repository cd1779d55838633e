/** Weights of a quantized tensor on the host, as float32: for tests, for reports, and for what no device decodes. */
import { fault } from "../../errors.js"
import { toFloat32 } from "../dtypes.js"
import { type Arithmetic, type Format, fieldBits } from "./format.js"
import { formatBytes, type PlaneLayout, planeLayout } from "./layout.js"

/** Decode functions on numbers of float32. */
export const hostArithmetic: Arithmetic<number> = {
  number: Math.fround,
  add: (a, b) => Math.fround(a + b),
  sub: (a, b) => Math.fround(a - b),
  mul: (a, b) => Math.fround(a * b),
  pick: (table, index) => Math.fround(table[index]!),
}

/**
 * The weights of a tensor, row-major.
 *
 * @param shape of the weights
 * @param bytes the tensor's canonical bytes, all of them
 */
export function decodeTensor(format: Format, shape: readonly number[], bytes: Uint8Array): Float32Array {
  if (bytes.length !== formatBytes(format, shape))
    throw fault(`${bytes.length} bytes for ${format.name} [${shape.join(", ")}]`)
  const layout = planeLayout(format, shape)
  const values = layout.map((l) => fieldsOf(l, bytes.subarray(l.offset, l.offset + l.byteLength)))
  const columns = shape.at(-1) ?? 1
  const weights = new Float32Array(shape.reduce((n, extent) => n * extent, 1))
  /** For each plane and column, where in a row of fields the column's is. */
  const places = layout.map(({ plane: { per, by } }) => {
    const group = by === undefined ? undefined : values[layout.findIndex(({ plane }) => plane.name === by)]!
    return Uint32Array.from({ length: columns }, (_, c) => group?.[c] ?? (per === "row" ? 0 : Math.floor(c / per)))
  })
  const fields: Record<string, number> = {}
  for (let i = 0, row = 0; i < weights.length; row++) {
    const starts = layout.map((l) => rowOf(l, row) * l.fields)
    for (let column = 0; column < columns; column++, i++) {
      for (let p = 0; p < layout.length; p++)
        fields[layout[p]!.plane.name] = values[p]![starts[p]! + places[p]![column]!]!
      weights[i] = format.decode(hostArithmetic, fields)
    }
  }
  return weights
}

/** The row of fields that a row of weights has. */
function rowOf({ plane: { shared, rows } }: PlaneLayout, row: number): number {
  return shared || rows === "all" ? 0 : Math.floor(row / rows)
}

/** All fields of a plane as float32, rows close together. */
function fieldsOf({ plane: { field }, rows, fields, storage, wordsPerRow }: PlaneLayout, bytes: Uint8Array) {
  if (wordsPerRow === undefined)
    return toFloat32(storage === "f16" ? "F16" : storage === "bf16" ? "BF16" : "F32", bytes)
  const words = new Uint32Array(new Uint8Array(bytes).buffer)
  const bits = fieldBits[field]
  const mask = 2 ** bits - 1
  const read = field === "i8" ? (v: number) => (v << 24) >> 24 : field === "e4m3" ? eightBitFloat : (v: number) => v
  const values = new Float32Array(rows * fields)
  for (let row = 0, i = 0; row < rows; row++)
    for (let f = 0; f < fields; f++, i++) {
      const bit = f * bits
      values[i] = read((words[row * wordsPerRow + (bit >>> 5)]! >>> (bit & 31)) & mask)
    }
  return values
}

/** A number of four bits of exponent (from 2^-6 on, below it subnormal) and three of fraction; there is no infinity. */
function eightBitFloat(code: number): number {
  const [exponent, fraction] = [(code >> 3) & 15, code & 7]
  if (exponent === 15 && fraction === 7) return Number.NaN
  const magnitude = exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10)
  return code & 0x80 ? -magnitude : magnitude
}
