/**
 * Planes out of matrices that lie the other way: a row of the file is a column of the plane.
 *
 *     qweight [in / 8, out]   →   codes [out, in / 8]          GPTQ: words of eight fields along `in`, in both
 *     qweight [in, out / 8]   →   codes [out, in / 8]          AWQ: words of eight fields along `out`
 *
 * For a range of the plane's rows a part of each row of the file is needed: the rows are read some megabytes at a time.
 */
import type { StoredTensor } from "../checkpoint.js"
import { transposeFields } from "../formats/bits.js"
import { alignedBytes, type RowFill, type Stored } from "./stored.js"

/** Bytes that are read at a time. */
const bandBytes = 1 << 22
/** Rows and columns that are turned together: as many words as a line of the processor's cache has. */
const tile = 16

interface Band<A> {
  readonly values: A
  /** Elements from a row of the band to the next one, and before the first that was asked for. */
  readonly stride: number
  readonly skipped: number
}

/** Columns `first` to `end` of some rows of a matrix: of whole rows, or read row by row where few columns are asked for. */
async function readBand<A extends Uint16Array | Uint32Array>(
  stored: Stored,
  tensor: StoredTensor,
  make: new (buffer: ArrayBufferLike, offset: number, length: number) => A,
  size: 2 | 4,
  [top, rows]: readonly [number, number],
  [first, end]: readonly [number, number],
): Promise<Band<A>> {
  const width = tensor.shape[1]!
  if ((end - first) * 8 > width) {
    const bytes = await alignedBytes(stored, tensor, top * width * size, rows * width * size)
    return { values: new make(bytes.buffer, bytes.byteOffset, rows * width), stride: width, skipped: first }
  }
  const each = (end - first) * size
  const bytes = new Uint8Array(rows * each)
  await Promise.all(
    Array.from({ length: rows }, async (_, i) => {
      const part = bytes.subarray(i * each, (i + 1) * each)
      const found = await stored.read(tensor, ((top + i) * width + first) * size, each, part)
      if (found !== part) part.set(found)
    }),
  )
  return { values: new make(bytes.buffer, 0, rows * (end - first)), stride: end - first, skipped: 0 }
}

/** A matrix of words, turned. */
export const turnedWords =
  (stored: Stored, tensor: StoredTensor): RowFill =>
  async (first, end, into) => {
    const [height, width] = tensor.shape as [number, number]
    const to = new Uint32Array(into.buffer, into.byteOffset, into.length / 4)
    const most = Math.max(1, Math.floor(bandBytes / (width * 4)))
    for (let top = 0; top < height; top += most) {
      const rows = Math.min(most, height - top)
      const { values, stride, skipped } = await readBand(stored, tensor, Uint32Array, 4, [top, rows], [first, end])
      for (let c = 0; c < end - first; c += tile)
        for (let r = 0; r < rows; r += tile) {
          const [lastColumn, lastRow] = [Math.min(c + tile, end - first), Math.min(r + tile, rows)]
          for (let column = c; column < lastColumn; column++)
            for (let row = r; row < lastRow; row++)
              to[column * height + top + row] = values[row * stride + skipped + column]!
        }
    }
  }

/** A matrix of numbers of half a word or a word, turned. There are few of them. */
export const turnedNumbers =
  (stored: Stored, tensor: StoredTensor, size: 2 | 4): RowFill =>
  async (first, end, into) => {
    const [height] = tensor.shape as [number, number]
    const make = size === 2 ? Uint16Array : Uint32Array
    const to = new make(into.buffer as ArrayBuffer, into.byteOffset, into.length / size)
    const band = await readBand<Uint16Array | Uint32Array>(stored, tensor, make, size, [0, height], [first, end])
    for (let column = 0; column < end - first; column++)
      for (let row = 0; row < height; row++)
        to[column * height + row] = band.values[row * band.stride + band.skipped + column]!
  }

/** Which of the eight columns of a word of AWQ's each of its fields is. */
export const awqOrder = [0, 2, 4, 6, 1, 3, 5, 7] as const

/** A matrix of words of eight fields along the second axis, in AWQ's order, as words of eight along the first. */
export const turnedFields =
  (stored: Stored, tensor: StoredTensor): RowFill =>
  async (first, end, into) => {
    const [height, width] = tensor.shape as [number, number]
    const perRow = height / 8
    const columns = [Math.floor(first / 8), Math.ceil(end / 8)] as const
    const count = columns[1] - columns[0]
    // Aside, for words are written here and there, which may be slow in a device's memory.
    const to = new Uint32Array(count * 8 * perRow)
    const most = Math.max(1, Math.floor(bandBytes / (width * 4 * 8)))
    for (let top = 0; top < perRow; top += most) {
      const words = Math.min(most, perRow - top)
      const band = await readBand(stored, tensor, Uint32Array, 4, [top * 8, words * 8], columns)
      for (let c = 0; c < count; c += tile)
        for (let w = 0; w < words; w += tile) {
          const [lastColumn, lastWord] = [Math.min(c + tile, count), Math.min(w + tile, words)]
          for (let word = w; word < lastWord; word++)
            for (let column = c; column < lastColumn; column++) {
              const from = word * 8 * band.stride + band.skipped + column
              transposeFields(band.values, from, band.stride, to, column * 8 * perRow + top + word, perRow)
            }
        }
    }
    const skipped = (first - columns[0] * 8) * perRow * 4
    into.set(new Uint8Array(to.buffer, skipped, into.length))
  }
