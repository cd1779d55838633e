/**
 * Weights of a quantized tensor on the host, as float32: for tests, for reports, and for what no device decodes.
 *
 *     codes 1 2 3 4, scale 2 (of four)   →   [1 2 3 4], [2 2 2 2]   →   decode, some thousand weights at a time   →   2 4 6 8
 */
import { fault } from "../../errors.js"
import { toFloat32 } from "../dtypes.js"
import { type Arithmetic, type Format, fieldBits, pairedPlace } from "./format.js"
import { formatBytes, type PlaneLayout, planeLayout } from "./layout.js"

/** Weights that are decoded together: what is between two operations stays in the processor's caches. */
const together = 1 << 13

/**
 * The weights of a tensor, row-major.
 *
 * @param shape of the weights
 * @param bytes the tensor's canonical bytes, all of them
 */
export function decodeTensor(format: Format, shape: readonly number[], bytes: Uint8Array): Float32Array {
  if (bytes.length !== formatBytes(format, shape))
    throw fault(`${bytes.length} bytes for ${format.name} [${shape.join(", ")}]`)
  const columns = shape.at(-1) ?? 1
  const weights = new Float32Array(shape.reduce((n, extent) => n * extent, 1))
  const planes = planeLayout(format, shape).map((layout) => readerOf(layout, bytes, columns))
  const groups = new Map(planes.map(({ layout, spread }) => [layout.plane.name, spread]))
  const most = Math.max(1, Math.floor(together / columns))
  const rows = columns === 0 ? 0 : weights.length / columns
  for (let row = 0; row < rows; row += most) {
    const count = Math.min(most, rows - row)
    const fields = planes.map(({ layout, spread, at }): [string, Float32Array] => {
      const { name, by } = layout.plane
      const values = new Float32Array(count * columns)
      for (let i = 0; i < count; i++) {
        const part = values.subarray(i * columns, (i + 1) * columns)
        spread(row + i, part)
        if (by === undefined) continue
        groups.get(by)!(0, part)
        part.forEach((group, column) => {
          part[column] = at(row + i, group)
        })
      }
      return [name, values]
    })
    weights.set(format.decode(arraysOf(count * columns), Object.fromEntries(fields)), row * columns)
  }
  return weights
}

/** Decode functions over arrays, whose elements round to float32. */
function arraysOf(length: number): Arithmetic<Float32Array> {
  const made = () => new Float32Array(length)
  return {
    number: (value) => made().fill(value),
    add(a, b) {
      const sums = made()
      for (let i = 0; i < length; i++) sums[i] = a[i]! + b[i]!
      return sums
    },
    sub(a, b) {
      const differences = made()
      for (let i = 0; i < length; i++) differences[i] = a[i]! - b[i]!
      return differences
    },
    mul(a, b) {
      const products = made()
      for (let i = 0; i < length; i++) products[i] = a[i]! * b[i]!
      return products
    },
    pick(table, index) {
      const picked = made()
      for (let i = 0; i < length; i++) picked[i] = table[index[i]!]!
      return picked
    },
  }
}

interface PlaneReader {
  readonly layout: PlaneLayout
  /** A field that a row of weights has. */
  at(row: number, field: number): number
  /** The field of each weight of a row, where columns are in order. */
  spread(row: number, to: Float32Array): void
}

function readerOf(layout: PlaneLayout, bytes: Uint8Array, columns: number): PlaneReader {
  const { plane, offset, byteLength, fields } = layout
  const per = plane.per === "row" ? columns : plane.per
  const line = lineOf(layout, bytes.slice(offset, offset + byteLength))
  const rowOf = (row: number) =>
    plane.shared || plane.rows === "all" ? 0 : plane.rows === 1 ? row : Math.floor(row / plane.rows)
  return {
    layout,
    at: (row, field) => line.at(rowOf(row), field),
    spread(row, to) {
      const from = rowOf(row)
      if (per === 1) line.copy(from, to)
      else for (let f = 0; f < fields; f++) to.fill(line.at(from, f), f * per, (f + 1) * per)
    },
  }
}

/** Fields as float32, out of rows of numbers or of words. */
function lineOf({ plane, rows, fields, storage, wordsPerRow }: PlaneLayout, bytes: Uint8Array) {
  const { field, across, paired } = plane
  // Elements from one to the next of a row, and to the next row.
  const [next, down] = across ? [rows, 1] : [1, wordsPerRow ?? fields]
  if (wordsPerRow === undefined) {
    const values = toFloat32(storage === "f16" ? "F16" : storage === "bf16" ? "BF16" : "F32", bytes)
    return {
      at: (row: number, f: number) => values[row * down + f * next]!,
      copy: (row: number, to: Float32Array) => to.set(values.subarray(row * fields, (row + 1) * fields)),
    }
  }
  const words = new Uint32Array(bytes.buffer)
  const bits = fieldBits[field]
  const mask = 2 ** bits - 1
  const values = Float32Array.from({ length: mask + 1 }, (_, code) =>
    field === "i8" ? (code << 24) >> 24 : field === "e4m3" ? eightBitFloat(code) : code,
  )
  const inWord = 32 / bits
  const places = Array.from({ length: inWord }, (_, f) => (paired ? pairedPlace(bits, f) : f * bits))
  const at = (row: number, f: number) =>
    values[(words[row * down + Math.floor(f / inWord) * next]! >>> places[f % inWord]!) & mask]!
  const copy = (row: number, to: Float32Array) => {
    for (let f = 0, w = row * wordsPerRow; f < to.length; w++) {
      const word = words[w]!
      for (let i = 0; i < inWord && f < to.length; i++) to[f++] = values[(word >>> places[i]!) & mask]!
    }
  }
  return { at, copy }
}

/** A number of four bits of exponent (from 2^-6 on, below it subnormal) and three of fraction; there is no infinity. */
function eightBitFloat(code: number): number {
  const [exponent, fraction] = [(code >> 3) & 15, code & 7]
  if (exponent === 15 && fraction === 7) return Number.NaN
  const magnitude = exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10)
  return code & 0x80 ? -magnitude : magnitude
}
