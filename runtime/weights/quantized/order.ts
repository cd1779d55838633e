/** Which group each column is in, where a tensor says it: GPTQ with act-order. */
import { printable } from "../../errors.js"
import type { StoredTensor } from "../checkpoint.js"
import type { PlaneFill } from "../formats/plane-reader.js"
import { refuse } from "./settings.js"
import { byRows, type Stored, wordsOf } from "./stored.js"

/** What stands in an index that was made and never filled: columns are in order then. */
const unset = 0xffffffff

/**
 * Whether columns are in other groups than `size` columns in a row would be.
 *
 * @throws WeftError `checkpoint/quantization` for a group that there is not
 */
export async function isOutOfOrder(
  stored: Stored,
  order: StoredTensor,
  size: number,
  groups: number,
): Promise<boolean> {
  const indices = await wordsOf(stored, order)
  if (indices.every((group) => group === unset)) return false
  const wrong = indices.findIndex((group) => group >= groups)
  if (wrong >= 0) {
    const column = `column ${wrong} into group ${indices[wrong]! | 0}`
    refuse(stored.folder, `${printable(order.name)} puts ${column}, and there are ${groups}`)
  }
  return indices.some((group, column) => group !== Math.floor(column / size))
}

/** Groups of columns, two to a word. */
export const groupPlane = (stored: Stored, order: StoredTensor): PlaneFill =>
  byRows(async (_first, _end, into) => {
    const groups = new Uint16Array(into.buffer, into.byteOffset, into.length / 2)
    groups.fill(0)
    groups.set(await wordsOf(stored, order))
  })
