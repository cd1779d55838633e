/**
 * simplify: tensor → tensor. Algebra that no later pass should have to see.
 *
 *   map ($0 * $1)(x, 0.5)              →   map ($0 * 0.5)(x)          constants become literals of the body
 *   map $0 (x)                         →   x
 *   reindex f (reindex g (x))          →   reindex g∘f (x)            slices of renames of rolls are one index map
 *   sum over an axis of extent 1       →   the element                dead axes go
 *
 * Units are simplified once. Nothing here changes a rounding.
 */

import { freeVariables, literal, rewrite, substitute, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import { homeOf, rebuild, sources, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"

/** Equal programs with the same inputs; `memo` serves several roots and their units. */
export function simplify(
  roots: readonly ir.Tensor[],
  memo: Map<ir.Tensor | ir.Unit, ir.Tensor | ir.Unit> = new Map(),
): readonly ir.Tensor[] {
  for (const t of topological(roots)) {
    if (memo.has(t)) continue
    const made = simplifyNode(rebuilt(t, memo))
    ir.mark(made, ir.spansOf(t))
    memo.set(t, made)
  }
  return roots.map((t) => memo.get(t) as ir.Tensor)
}

/** The node over simplified sources. */
function rebuilt(t: ir.Tensor, memo: Map<ir.Tensor | ir.Unit, ir.Tensor | ir.Unit>): ir.Tensor {
  const now = (s: ir.Tensor) => memo.get(s) as ir.Tensor
  if (t.kind !== "call") return rebuild(t, sources(t).map(now))
  const args = t.args.map((a) => inItsPlace(a, now(a)))
  return ir.call(simplifyUnit(t.unit, memo), args, t.result)
}

/** An argument lies in memory as its placeholder says: what has become an input only now is copied. */
const inItsPlace = (before: ir.Tensor, after: ir.Tensor): ir.Tensor =>
  homeOf(after) === homeOf(before) ? after : ir.map(variable("$0", after.dtype), [after])

function simplifyUnit(unit: ir.Unit, memo: Map<ir.Tensor | ir.Unit, ir.Tensor | ir.Unit>): ir.Unit {
  const known = memo.get(unit) as ir.Unit | undefined
  if (known !== undefined) return known
  const made = ir.unit(unit.name, unit.inputs, simplify(unit.results))
  memo.set(unit, made)
  return made
}

function simplifyNode(t: ir.Tensor): ir.Tensor {
  switch (t.kind) {
    case "map":
      return simplifyMap(t)
    case "reindex":
      return compose(t)
    case "reduce":
      return foldOfOne(t)
    default:
      return t
  }
}

/** Constants without axes move into the body; a body that is its only argument is that argument. */
function simplifyMap(t: ir.Map): ir.Tensor {
  const constants = t.args.map((a) => (a.kind === "constant" && a.axes.length === 0 ? a.values[0]! : undefined))
  const kept = t.args.filter((_, i) => constants[i] === undefined)
  if (kept.length === 0) return t
  let next = 0
  const places = t.args.map((a, i): Expression => {
    const value = constants[i]
    return value === undefined ? variable(`$${next++}`, a.dtype) : literal(value, a.dtype)
  })
  const body = rewrite(t.body, (x) => (x.kind === "variable" ? places[Number(x.name.slice(1))] : undefined))
  const [only] = kept
  if (kept.length === 1 && body.kind === "variable") return only!
  return kept.length === t.args.length ? t : ir.map(body, kept)
}

/** An index map of an index map is one index map; one place of something that is computed is computed for that place only. */
function compose(t: ir.Reindex): ir.Tensor {
  const inner = t.arg
  if (inner.kind === "map" || inner.kind === "reduce") return picked(t, inner) ?? t
  if (inner.kind !== "reindex") return t
  // Outside of an outer predicate the inner index means nothing, so such maps stay apart.
  if (t.valid !== undefined) return t
  const index = new Map([...inner.index].map(([axis, at]) => [axis, substitute(at, t.index)] as const))
  const valid = inner.valid === undefined ? undefined : substitute(inner.valid, t.index)
  return ir.reindex(inner.arg, t.axes, index, valid, inner.fill)
}

/** A fold along an axis of one element is that element. */
function foldOfOne(t: ir.Reduce): ir.Tensor {
  const [arg] = t.args
  const axis = ir.axisOf(arg!, t.axis)
  const simple = t.monoid.kind === "sum" || t.monoid.kind === "max" || t.monoid.kind === "min"
  if (!simple || axis?.extent !== literal(1) || arg!.dtype === "bool") return t
  const index = new Map(arg!.axes.map((a) => [a.name, a.name === t.axis ? literal(0) : variable(a.name)] as const))
  return ir.reindex(arg!, t.axes, index)
}

/** map f (x) at [row = 3]  →  map f (x at [row = 3]), and the same for folds along other axes. */
function picked(t: ir.Reindex, inner: ir.Map | ir.Reduce): ir.Tensor | undefined {
  const kept = new Set(t.axes.map((a) => a.name))
  const fixed = [...t.index].filter(([axis, at]) => !(kept.has(axis) && at === variable(axis)))
  const drops = fixed.length > 0 && fixed.every(([axis, at]) => !kept.has(axis) && freeVariables(at).size === 0)
  if (!drops || t.valid !== undefined || t.axes.length !== inner.axes.length - fixed.length) return undefined
  const dropped = new Map(fixed)
  const pick = (a: ir.Tensor): ir.Tensor => {
    if (!a.axes.some((x) => dropped.has(x.name))) return a
    const axes = a.axes.filter((x) => !dropped.has(x.name))
    const index = new Map(a.axes.map((x) => [x.name, dropped.get(x.name) ?? variable(x.name)] as const))
    return simplifyNode(ir.reindex(a, axes, index))
  }
  const made = rebuild(inner, inner.args.map(pick))
  // The order of axes is their layout.
  return made.axes.length === t.axes.length && made.axes.every((a, i) => a === t.axes[i]) ? made : undefined
}
