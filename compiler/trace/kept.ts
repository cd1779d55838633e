/**
 * kept: for how many elements an axis of which the last ones are kept has memory.
 *
 *   keeps(4096, 131072), entries of 2,048 rows     6,144 rows, whatever the context is
 *   keeps(4096, 131072), entries of one row        4,104, which goes up to 4,224
 *
 * The rows that are kept, and those that come to them before the next ones are asked for: what one entry appends, or what the steps append that a
 * device has under way when its host goes back to before them.
 */
import { mostAhead } from "../../runtime/artifact.js"

/** Rows that a kernel takes together at most: a part of them that goes round is in one piece. As schedules have it, not measured. */
const together = 128

/** The largest power of two that is at most an eighth of the rows: what a room is rounded up to costs no more than that. */
const granule = (rows: number): number => Math.min(together, 2 ** Math.max(0, Math.floor(Math.log2(rows)) - 3))

/** Rows of memory for an axis that keeps `rows`, to which one entry appends at most `added`. */
export function keptRoom(rows: number, added: number): number {
  const least = rows + Math.max(added, mostAhead)
  const size = granule(least)
  return Math.ceil(least / size) * size
}
