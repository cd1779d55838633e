/**
 * Where the elements of a prefix stand.
 *
 *   place 13 of prefixes that begin again at each multiple of 8   →   end 5: what stands at 8 + 0 … 8 + 5
 */
import { add, apply, literal, mul } from "../expression.js"
import type { Expression } from "../nodes.js"

/** What a scan folds for the place `at`: over 0 ≤ bound ≤ end what stands at `place`. */
export function prefixAt(
  at: Expression,
  bound: Expression,
  block: number | undefined,
): { readonly end: Expression; readonly place: Expression } {
  if (block === undefined) return { end: at, place: bound }
  const start = mul(apply("floordiv", at, literal(block)), literal(block))
  return { end: apply("floormod", at, literal(block)), place: add(start, bound) }
}
