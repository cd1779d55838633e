/**
 * The zeros of groups: fields of words along the rows of the plane in the file, along its columns in the plane.
 *
 *     qzeros [in / g, out / 8]   →   zero: rows [out], words of eight groups
 */
import { printable } from "../../errors.js"
import type { StoredTensor } from "../checkpoint.js"
import { refuse } from "./settings.js"
import { type RowFill, type Stored, wordsOf } from "./stored.js"

interface Zeros {
  readonly bits: 2 | 4 | 8
  readonly groups: number
  /** The word in which the zero of a row and a group is, and which of its fields that is. */
  readonly word: (row: number, group: number) => number
  readonly field: (row: number) => number
  /** What is added to a word: a one for each field where zeros are stored less one, which were taken off the word as one number, too. */
  readonly added: number
}

/** A word all of whose fields are the same. */
export const spread = (field: number, bits: number): number =>
  Array.from({ length: 32 / bits }, () => field).reduce((word, f) => (word << bits) | f, 0) >>> 0

/** The zeros out of a tensor of words. */
export const turnedZeros =
  (stored: Stored, tensor: StoredTensor, { bits, groups, word, field, added }: Zeros): RowFill =>
  async (first, end, into) => {
    const words = await wordsOf(stored, tensor)
    const to = new Uint32Array(into.buffer, into.byteOffset, into.length / 4).fill(0)
    const perRow = Math.ceil((groups * bits) / 32)
    const mask = 2 ** bits - 1
    for (let row = first; row < end; row++) {
      const shift = field(row) * bits
      for (let group = 0; group < groups; group++) {
        const zero = ((words[word(row, group)]! + added) >>> shift) & mask
        const bit = group * bits
        to[(row - first) * perRow + (bit >>> 5)]! |= zero << (bit & 31)
      }
    }
  }

/**
 * Checks that every zero is the middle of the codes, or one less where that is how it is stored.
 *
 * @throws WeftError `checkpoint/quantization`
 */
export async function checkMiddle(stored: Stored, tensor: StoredTensor, bits: 2 | 4 | 8, known: readonly number[]) {
  const words = await wordsOf(stored, tensor)
  const expected = known.map((zero) => spread(zero, bits)).find((word) => word === words[0])
  if (expected !== undefined && words.every((word) => word === expected)) return
  const problem = `${printable(tensor.name)} has zeros besides ${known.join(" or ")}, though quantization_config.sym is true`
  refuse(stored.folder, problem)
}
