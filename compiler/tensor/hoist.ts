/**
 * hoist: tensor → tensor. Factors that are free of the folded axis leave the sum.
 *
 *   Σ_k a[i] · f[i, k]          →   a[i] · Σ_k f[i, k]
 *   Σ_k (e[i, k] / l[i]) · v[k, j]   →   (Σ_k e[i, k] · v[k, j]) / l[i]
 *
 * Through maps that nothing but this sum reads; what others read, too, is computed anyway. A factor leaves only when the sum has no more elements
 * than the map in which it multiplies, so that the program does not do more arithmetic than before.
 */

import * as ir from "../ir/tensor.js"
import { type Factor, factorsOf, inOrder, productOf, scaledFold } from "./factors.js"
import { size } from "./query.js"
import { type Facts, rewritten, type Units } from "./rewrite.js"

/** Equal programs with the same inputs; `units` serves several calls. */
export const hoist = (roots: readonly ir.Tensor[], units?: Units): readonly ir.Tensor[] =>
  rewritten(roots, (facts) => (t) => hoistFrom(t, facts) ?? t, units)

function hoistFrom(t: ir.Tensor, facts: Facts): ir.Tensor | undefined {
  if (t.kind !== "reduce" || t.monoid.kind !== "sum" || t.dtype !== "f32") return undefined
  const [arg] = t.args
  const alone = (m: ir.Tensor) => facts.uses(m)?.length === 1
  if (arg?.kind !== "map" || !alone(arg)) return undefined
  const factors = factorsOf(arg, alone)
  // A number saves one product of an element, and would leave the rest of its map in pieces.
  const isNumber = (f: Factor) => f.tensor.kind === "constant" && f.tensor.axes.length === 0
  const leaves = (f: Factor) => !isNumber(f) && ir.axisOf(f.tensor, t.axis) === undefined && size(t) <= size(f.within)
  const free = factors.filter(leaves)
  const kept = factors.filter((f) => !leaves(f))
  const inner = productOf(kept)
  const axis = ir.axisOf(inner, t.axis)
  if (free.length === 0 || axis === undefined) return undefined
  const sum = ir.reduce(t.monoid, t.axis, [inner])
  ir.mark(sum, ir.spansOf(t))
  return inOrder(scaledFold(sum, free, axis.extent), t.axes)
}
