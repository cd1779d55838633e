/**
 * Bins: sums in which each element of what is folded counts at one place of an axis of the store.
 *
 *   y[p, b] = sum_{m < n}(select(digit[p, m] == b, w[p, m], 0))   →   at the place digit[p, m] of b, w[p, m]
 *
 * As folds they are n comparisons for each place. Of integers the order of a sum is of no matter, so that lanes may add each element to its place
 * in memory that they share. It is the form alone that is looked for: an equality with the axis under which something is added, and else nothing.
 */
import { apply, freeVariables, literal } from "../../ir/expression.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { outermostFolds } from "../../ir/query.js"

/** An element of a sum that counts at one place of an axis. */
export interface BinnedElement {
  /** The place at which an element counts; anything where it counts at none. */
  readonly place: Expression
  /** Whether it counts at all. */
  readonly counts: Expression
  /** What it adds there. */
  readonly value: Expression
}

/** A sum whose elements count at one place of an axis each. */
export interface Binned extends BinnedElement {
  readonly fold: Reduce
}

/** The folds of a value if each of its elements counts at one place of `axis`; undefined where some does not. */
export function binnedFolds(value: Expression, axis: string): readonly Binned[] | undefined {
  const found = outermostFolds(value).map((r) => binned(r, axis))
  return found.length > 0 && found.every((b) => b !== undefined) ? (found as readonly Binned[]) : undefined
}

function binned(fold: Reduce, axis: string): Binned | undefined {
  const [lift] = fold.lift
  const apart = freeVariables(fold.extent).has(axis) || fold.axis === axis
  if (fold.monoid.kind !== "sum" || lift === undefined || apart) return undefined
  const element = binnedElement(lift, axis)
  return element && { fold, ...element }
}

/** What is lifted, if it counts at one place of a variable that numbers the axis. */
export function binnedElement(lift: Expression, axis: string): BinnedElement | undefined {
  if (lift.dtype !== "i32" && lift.dtype !== "u32") return undefined
  const part = whereAdded(lift)
  if (part === undefined || freeVariables(part.value).has(axis)) return undefined
  const terms = conjunction(part.condition)
  const places = terms.map((t) => placeIn(t, axis))
  const [at] = places.filter((p) => p !== undefined)
  const others = terms.filter((_, i) => places[i] === undefined)
  if (at === undefined || others.length !== terms.length - 1) return undefined
  if (others.some((t) => freeVariables(t).has(axis))) return undefined
  const counts = others.reduce((a, b) => apply("and", a, b), literal(1, "bool"))
  return { place: at, counts, value: part.value }
}

/** Where a lift is not 0, and what it is there. */
function whereAdded(x: Expression): { readonly condition: Expression; readonly value: Expression } | undefined {
  if (x.kind !== "operation") return undefined
  const [a, b, c] = x.args as readonly [Expression, Expression, Expression]
  if (x.operation === "select" && c.kind === "literal" && c.value === 0) return { condition: a, value: b }
  const counted = (x.operation === "toI32" || x.operation === "toU32") && a.dtype === "bool"
  return counted ? { condition: a, value: literal(1, x.dtype) } : undefined
}

const conjunction = (x: Expression): readonly Expression[] =>
  x.kind === "operation" && x.operation === "and" ? x.args.flatMap(conjunction) : [x]

/** Of an equality with the axis, the other side. */
function placeIn(x: Expression, axis: string): Expression | undefined {
  if (x.kind !== "operation" || x.operation !== "eq") return undefined
  const isAxis = (e: Expression) => e.kind === "variable" && e.name === axis
  const [a, b] = x.args as readonly [Expression, Expression]
  const other = isAxis(b) ? a : isAxis(a) ? b : undefined
  return other !== undefined && !freeVariables(other).has(axis) ? other : undefined
}
