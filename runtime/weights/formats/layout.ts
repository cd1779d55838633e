/**
 * Where the fields of a quantized tensor are: its canonical bytes.
 *
 *     q8_0 [2, 64]:   codes: 2 rows of 16 words of four fields   scale: 2 rows of 2 f16      0 … 128, 128 … 136
 *
 * Planes follow each other, each from a multiple of 16 bytes on. A plane is row-major, [rows / plane.rows, columns / plane.per] rounded up.
 * Integers and e4m3 lie in 32-bit little-endian words, the first field in the lowest bits, and each row begins at a word of its own;
 * rows of f16, bf16 and f32 follow each other closely. A plane that lies across has the words, or the numbers, of each column one behind the other instead,
 * [columns / plane.per, rows]; in words of paired fields these begin where `pairedPlace` says.
 */
import { type Field, type Format, fieldBits, type Plane } from "./format.js"

/** A plane of a tensor of some shape. */
export interface PlaneLayout {
  readonly plane: Plane
  /** Bytes from the beginning of the tensor's canonical bytes. */
  readonly offset: number
  readonly byteLength: number
  /** Rows of fields, and fields of a row. */
  readonly rows: number
  readonly fields: number
  /** As what an array of the plane is stored: words of fields, or numbers. */
  readonly storage: "u32" | "f16" | "bf16" | "f32"
  /** Words of a row, where fields lie in words. */
  readonly wordsPerRow: number | undefined
}

const alignment = 16

/** As what a plane of these fields is stored. */
export const storageOf = (field: Field): PlaneLayout["storage"] =>
  field === "f16" || field === "bf16" || field === "f32" ? field : "u32"

/** The planes of a tensor, in their order; `shape` is that of the weights. */
export function planeLayout({ planes }: Format, shape: readonly number[]): readonly PlaneLayout[] {
  const columns = shape.at(-1) ?? 1
  const rowsOfWeights = shape.slice(0, -1).reduce((n, extent) => n * extent, 1)
  let end = 0
  return planes.map((plane): PlaneLayout => {
    const offset = Math.ceil(end / alignment) * alignment
    const some = (n: number) => Math.min(n, 1)
    const rows = plane.shared ? 1 : plane.rows === "all" ? some(rowsOfWeights) : Math.ceil(rowsOfWeights / plane.rows)
    const fields = plane.per === "row" ? some(columns) : Math.ceil(columns / plane.per)
    const storage = storageOf(plane.field)
    const bits = fieldBits[plane.field]
    const wordsPerRow = storage === "u32" ? Math.ceil((fields * bits) / 32) : undefined
    const byteLength = rows * (wordsPerRow === undefined ? (fields * bits) / 8 : wordsPerRow * 4)
    end = offset + byteLength
    return { plane, offset, byteLength, rows, fields, storage, wordsPerRow }
  })
}

/** Canonical bytes of a tensor. */
export function formatBytes(format: Format, shape: readonly number[]): number {
  const last = planeLayout(format, shape).at(-1)!
  return last.offset + last.byteLength
}
