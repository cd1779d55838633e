/**
 * Vectors: from an expression over a point to one over several consecutive points.
 *
 *   x[row, k]   with k = 4·i … 4·i + 3   →   fetch of width 4 at row · 256 + 4·i
 *   y[row], w[k / 8]                     →   one fetch, the same in all lanes
 *   z[k, row]                            →   four fetches
 *
 * A coordinate is "same" in all lanes, "step" (consecutive lanes are consecutive), or neither. A fetch is wide when its flat offset steps
 * and starts at a multiple of the width.
 */

import {
  add,
  apply,
  fetch,
  freeVariables,
  lane,
  literal,
  mul,
  ramp,
  rewrite,
  sub,
  substitute,
  vector,
} from "../ir/expression.js"
import { divided } from "../ir/linear.js"
import type { Expression } from "../ir/nodes.js"
import type { DType } from "../ir/operations.js"
import { nodesOf } from "../ir/query.js"

/** The variable that runs over the lanes: lane j stands for base + j. */
export interface VectorAxis {
  readonly name: string
  readonly base: Expression
  readonly width: number
}

/** Whether x is a multiple of n for every value of its variables. */
export function multipleOf(x: Expression, n: number): boolean {
  if (n === 1) return true
  if (x.kind === "literal") return x.value % n === 0
  if (x.kind !== "operation") return false
  const [a, b] = x.args
  switch (x.operation) {
    case "add":
    case "sub":
    case "min":
    case "max":
      return multipleOf(a!, n) && multipleOf(b!, n)
    case "mul":
      return multipleOf(a!, n) || multipleOf(b!, n)
    case "floormod":
      return multipleOf(a!, n) && multipleOf(b!, n)
    case "select":
      return multipleOf(b!, n) && multipleOf(x.args[2]!, n)
    default:
      return false
  }
}

/** x at lane 0, when the lanes of x are equal or consecutive. `scalar` translates what does not depend on the lane. */
export function lanesOf(
  x: Expression,
  axis: VectorAxis,
): { readonly kind: "same" | "step"; readonly base: Expression } | undefined {
  if (!freeVariables(x).has(axis.name)) return { kind: "same", base: x }
  if (x.kind === "variable") return { kind: "step", base: axis.base }
  if (x.kind !== "operation") return undefined
  const [a, b, c] = x.args.map((o) => lanesOf(o, axis))
  if (a === undefined) return undefined
  const divisor = x.args[1]
  switch (x.operation) {
    case "add":
      if (b === undefined || (a.kind === "step" && b.kind === "step")) return undefined
      return { kind: a.kind === "step" || b.kind === "step" ? "step" : "same", base: add(a.base, b.base) }
    case "sub":
      if (b === undefined || b.kind === "step") return undefined
      return { kind: a.kind, base: sub(a.base, b.base) }
    case "mul":
      if (divisor?.kind !== "literal" || a.kind !== "same") return undefined
      return { kind: "same", base: mul(a.base, divisor) }
    case "floormod":
    case "floordiv":
      if (divisor?.kind !== "literal" || divisor.value % axis.width !== 0 || !multipleOf(a.base, axis.width))
        return undefined
      if (x.operation === "floormod" && multipleOf(a.base, divisor.value)) return { kind: "step", base: literal(0) }
      return { kind: x.operation === "floormod" ? "step" : "same", base: apply(x.operation, a.base, divisor) }
    case "select":
      if (a.kind !== "same" || b === undefined || c === undefined || b.kind !== c.kind) return undefined
      return { kind: b.kind, base: apply("select", a.base, b.base, c.base) }
    default:
      return undefined
  }
}

/** The flat row-major offset of an index, in elements. */
export function flatten(index: readonly Expression[], shape: readonly number[]): Expression {
  return index.reduce<Expression>((flat, x, i) => add(mul(flat, literal(shape[i]!)), x), literal(0))
}

/**
 * A load at several consecutive points. `offset` is the flat offset before translation (over the lane variable), `translate` turns such an
 * expression into one of the loop language (a vector when it depends on the lane).
 */
export function wideFetch(
  array: string,
  dtype: DType,
  offset: Expression,
  axis: VectorAxis | undefined,
  translate: (x: Expression) => Expression,
): Expression {
  if (axis === undefined || !freeVariables(offset).has(axis.name)) return fetch(array, translate(offset), dtype)
  const found = lanesOf(offset, axis)
  if (found?.kind === "same") return fetch(array, translate(found.base), dtype)
  const start = wideOffset(offset, axis)
  if (start !== undefined) return fetch(array, translate(start), dtype, axis.width)
  const lanes = Array.from({ length: axis.width }, (_, j) => j)
  // Offsets of their own keep their form, so that neighbours can be read together; what they read themselves is read for all lanes at once.
  if (nodesOf([offset], "load", "localRead", "reduce", "scan").length === 0) {
    const at = (j: number) => rewrite(substitute(offset, new Map([[axis.name, add(axis.base, literal(j))]])), known)
    return vector(lanes.map((j) => fetch(array, translate(at(j)), dtype)))
  }
  const offsets = translate(offset)
  return vector(lanes.map((j) => fetch(array, lane(offsets, j), dtype)))
}

/** Quotients and remainders that the form of what is divided shows. */
function known(x: Expression): Expression | undefined {
  if (x.kind !== "operation" || (x.operation !== "floordiv" && x.operation !== "floormod")) return undefined
  // Others wrap.
  if (x.dtype !== "i32") return undefined
  const by = x.args[1]!
  const parts = by.kind === "literal" ? divided(x.args[0]!, by.value) : undefined
  if (parts === undefined) return undefined
  return x.operation === "floordiv" ? parts.quotient : literal(parts.rest)
}

/** The offset of lane 0 when a wide access is possible there. */
export function wideOffset(offset: Expression, axis: VectorAxis): Expression | undefined {
  const lanes = lanesOf(offset, axis)
  return lanes?.kind === "step" && multipleOf(lanes.base, axis.width) ? lanes.base : undefined
}

export const laneRamp = (axis: VectorAxis): Expression => ramp(axis.base, axis.width)

/** Nodes that two or more of `roots` (or two or more places in them) use, operands first: what to name before using it. */
export function shared(
  roots: readonly Expression[],
  operandsOf: (x: Expression) => readonly Expression[],
): readonly Expression[] {
  const uses = new Map<Expression, number>()
  const order: Expression[] = []
  const visit = (x: Expression) => {
    const n = uses.get(x)
    uses.set(x, (n ?? 0) + 1)
    if (n !== undefined) return
    for (const o of operandsOf(x)) visit(o)
    order.push(x)
  }
  for (const r of roots) visit(r)
  return order.filter((x) => uses.get(x)! > 1 && !isPlain(x))
}

/**
 * What needs no name: names, numbers, a number in all lanes (divisors must stay visible), and sums of multiples of such, for the form of an
 * offset says how it is aligned.
 */
const isPlain = (x: Expression): boolean =>
  x.kind === "literal" ||
  x.kind === "variable" ||
  x.kind === "symbol" ||
  (x.kind === "splat" && x.of.kind === "literal") ||
  isLinear(x)

function isLinear(x: Expression): boolean {
  if (x.kind !== "operation" || x.dtype !== "i32" || x.width > 1) return false
  const [a, b] = x.args
  const simple = (o: Expression) => o.kind === "literal" || o.kind === "variable" || o.kind === "symbol" || isLinear(o)
  if (x.operation === "mul") return simple(a!) && b!.kind === "literal"
  return (x.operation === "add" || x.operation === "sub") && simple(a!) && simple(b!)
}
