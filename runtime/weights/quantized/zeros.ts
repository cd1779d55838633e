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
  /** One less than the zero is stored. */
  readonly lessOne: boolean
}

/** The zeros out of a tensor of words. */
export const turnedZeros =
  (stored: Stored, tensor: StoredTensor, { bits, groups, word, field, lessOne }: Zeros): RowFill =>
  async (first, end, into) => {
    const words = await wordsOf(stored, tensor)
    const to = new Uint32Array(into.buffer, into.byteOffset, into.length / 4).fill(0)
    const perRow = Math.ceil((groups * bits) / 32)
    const most = 2 ** bits - 1
    for (let row = first; row < end; row++) {
      const shift = field(row) * bits
      for (let group = 0; group < groups; group++) {
        const found = (words[word(row, group)]! >>> shift) & most
        // A zero of 0 was made −1 before it was packed: which bits that left behind, libraries do not agree on.
        if (lessOne && found === most)
          refuse(
            stored.folder,
            `${printable(tensor.name)}: the zero of group ${group} of output ${row} is stored as ${most}, one less than 0`,
          )
        const bit = group * bits
        to[(row - first) * perRow + (bit >>> 5)]! |= (lessOne ? found + 1 : found) << (bit & 31)
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
  const spread = known.map(
    (zero) => Array.from({ length: 32 / bits }, () => zero).reduce((w, z) => (w << bits) | z, 0) >>> 0,
  )
  const expected = spread.find((word) => word === words[0])
  if (expected === undefined || words.some((word) => word !== expected))
    refuse(
      stored.folder,
      `${printable(tensor.name)} has zeros besides ${known.join(" or ")}, though its codes are said to be symmetric`,
    )
}
