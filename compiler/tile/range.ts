/**
 * Ranges: which part of a folded axis can contribute to a block, read off the predicate of its lift.
 *
 *   online_{key}(select(key <= past + s && key > past + s - 16, …, lowest))   for the rows 64·b ≤ s < 64·b + 64
 *   →   keys from past + 64·b - 15 up to past + 64·b + 63
 */
import { add, apply, freeVariables, literal } from "../ir/expression.js"
import type { Linear } from "../ir/linear.js"
import type { Expression } from "../ir/nodes.js"
import type { Axis } from "../ir/tensor.js"
import { coefficient, extreme, type Masked, type Span, without } from "../ir/verify/masks.js"

/** The first and the end of the elements of `axis` that count for some row; undefined: no bound. */
function contributing(
  { bounds }: Masked,
  axis: string,
  rows: ReadonlyMap<string, Span>,
): { readonly first: Expression | undefined; readonly end: Expression | undefined } {
  let first: Expression | undefined
  let end: Expression | undefined
  for (const b of bounds) {
    const c = coefficient(b, axis)
    if (Math.abs(c) !== 1) continue
    const rest = without(b, axis)
    if ([...rest.terms.keys()].some((e) => freeVariables(e).has(axis))) continue
    // c = −1: axis ≤ rest for some row, so axis ≤ max rest. c = 1: axis ≥ −rest, so axis ≥ −max rest.
    const most = extreme(rest, rows, true)
    if (most === undefined) continue
    if (c < 0) end = end === undefined ? add(most, literal(1)) : apply("min", end, add(most, literal(1)))
    else {
      const least = apply("sub", literal(0), most)
      first = first === undefined ? least : apply("max", first, least)
    }
  }
  return { first, end }
}

/** The first and the end of the elements that count for some row of some of the predicates; undefined: no bound, as without a predicate. */
export function contributingAny(
  masks: readonly Masked[],
  axis: string,
  rows: ReadonlyMap<string, Span>,
): { readonly first: Expression | undefined; readonly end: Expression | undefined } {
  const bounds = masks.map((m) => contributing(m, axis, rows))
  const all = (xs: readonly (Expression | undefined)[], join: "min" | "max") =>
    xs.length === 0 || xs.some((x) => x === undefined)
      ? undefined
      : (xs as readonly Expression[]).reduce((a, b) => apply(join, a, b))
  return {
    first: all(
      bounds.map((b) => b.first),
      "min",
    ),
    end: all(
      bounds.map((b) => b.end),
      "max",
    ),
  }
}

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
