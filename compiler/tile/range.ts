/**
 * How the elements that count go along with the rows of a block, read off the predicate of a fold's lift.
 *
 *   online_{key}(select(key <= past + s && key > past + s - 16, …, lowest))   →   later rows have later keys, and all of a block's count in its middle
 */
import { apply, literal } from "../ir/expression.js"
import type { Linear } from "../ir/linear.js"
import type { Expression } from "../ir/nodes.js"
import type { Axis } from "../ir/tensor.js"
import { coefficient, extreme, type Masked, type Span } from "../ir/verify/masks.js"

/** The axis along which later rows have more elements that count than earlier ones; undefined where there is none, or not one alone. */
export function growingAlong({ bounds }: Masked, folded: string, rows: readonly Axis[]): Axis | undefined {
  // An upper bound that a row moves on, and no lower one that it does.
  const moves = (b: Linear, a: Axis) => Math.sign(coefficient(b, folded) * coefficient(b, a.name))
  const growing = rows.filter(
    (a) =>
      bounds.some((b) => coefficient(b, folded) === -1 && moves(b, a) < 0) &&
      bounds.every((b) => coefficient(b, folded) !== 1 || moves(b, a) >= 0),
  )
  return growing.length === 1 ? growing[0] : undefined
}

/** Whether all of a block's rows and of a chunk count: the smallest value of each bound is at least 0. */
export function allCount({ bounds }: Masked, spans: ReadonlyMap<string, Span>): Expression {
  return bounds
    .map((b) => extreme(b, spans, false))
    .map((least) => (least === undefined ? literal(0, "bool") : apply("ge", least, literal(0))))
    .reduce((a, b) => apply("and", a, b), literal(1, "bool") as Expression)
}
