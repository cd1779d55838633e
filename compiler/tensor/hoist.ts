/**
 * hoist: tensor → tensor. Factors that are free of the folded axis leave the sum.
 *
 *   Σ_k a[i] · f[i, k]          →   a[i] · Σ_k f[i, k]
 *   Σ_k (e[i, k] / l[i]) · v[k, j]   →   (Σ_k e[i, k] · v[k, j]) / l[i]
 *   n[i, k] = r[i] · x[i, k];  Σ_k n · v[k, j],  Σ_k n · w[k, h]   →   r · Σ_k x · v,  r · Σ_k x · w
 *
 * Through maps that nothing but this sum reads a factor leaves when the sum has no more elements than the map in which it multiplies, so that the
 * program does not do more arithmetic than before. Through a map that several read, or of fewer elements than the sum, it leaves when whoever
 * reads the map folds it, by so many products that one more for each result is nothing beside them: whoever computes the map
 * does not wait for the factor then. The map stays one, for all of its readers. What the rest of the sum is made of, too, stays: it would be
 * needed at two places.
 */

import { hinted } from "../ir/dim.js"
import { sources } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { type Factor, factorsOf, inOrder, isProduct, type Plain, productOf, scaledFold } from "./factors.js"
import { size } from "./query.js"
import { type Facts, rewritten, type Units } from "./rewrite.js"

export interface HoistLimits {
  /** Products of each element of a fold, from which one more for its result is nothing. */
  readonly products: number
}

/** A sixteenth of the products of a fold is less than its loads cost. Not measured. */
export const defaultHoistLimits: HoistLimits = { products: 16 }

/**
 * Equal programs with the same inputs; `units` serves several calls. With infinite `products` factors stay in maps that several read, as where
 * operands are narrowed to a type that does not have their range, or no sum may overflow that did not before.
 */
export const hoist = (
  roots: readonly ir.Tensor[],
  units?: Units,
  limits: HoistLimits = defaultHoistLimits,
): readonly ir.Tensor[] => rewritten(roots, (facts) => (t) => hoistFrom(t, facts, limits) ?? t, units)

function hoistFrom(t: ir.Tensor, facts: Facts, limits: HoistLimits): ir.Tensor | undefined {
  if (t.kind !== "reduce" || t.monoid.kind !== "sum" || t.dtype !== "f32") return undefined
  const [arg] = t.args
  if (arg?.kind !== "map" || !alone(arg, facts)) return undefined
  const leaves = (f: Factor) => !isNumber(f) && ir.axisOf(f.tensor, t.axis) === undefined && size(t) <= size(f.within)
  const factors = factorsOf(arg, opensWhere(leaves, arg, facts))
  const parts = factors.map((f) => (leaves(f) ? { gone: [f], kept: [] } : folded(f, facts, limits)))
  const kept = parts.flatMap((p) => p.kept)
  const free = parts.flatMap((p) => p.gone)
  if (
    madeOf(
      kept.map((f) => f.tensor),
      free.map((f) => f.tensor),
    )
  )
    return undefined
  const inner = productOf(kept)
  const axis = ir.axisOf(inner, t.axis)
  if (free.length === 0 || axis === undefined) return undefined
  const sum = ir.reduce(t.monoid, t.axis, [inner])
  ir.mark(sum, ir.spansOf(t))
  return inOrder(scaledFold(sum, free, axis.extent), t.axes)
}

const alone = (t: ir.Tensor, facts: Facts) => facts.uses(t)?.length === 1

/** Maps that nothing else reads are opened, but for those that leave as they are, and those of fewer elements from which nothing leaves. */
const opensWhere = (leaves: (f: Factor) => boolean, by: ir.Tensor, facts: Facts) => {
  const opens = (m: ir.Map): boolean =>
    alone(m, facts) && !leaves({ tensor: m, inverse: false, within: by }) && (size(m) >= size(by) || hasLeaving(m))
  const hasLeaving = (m: ir.Map) => factorsOf(m, opens).some(leaves)
  return opens
}

/** A number saves one product of an element, and would leave the rest of its map in pieces. */
const isNumber = ({ tensor }: Plain) => tensor.kind === "constant" && tensor.axes.length === 0

interface Parts {
  readonly gone: readonly Plain[]
  readonly kept: readonly Plain[]
}

/** A factor that is a product: what leaves it at all folds of its readers, and the rest, which is one tensor. */
function folded(f: Factor, facts: Facts, { products }: HoistLimits): Parts {
  const { tensor, inverse } = f
  const whole = { gone: [], kept: [f] }
  if (tensor.kind !== "map" || !isProduct(tensor.body)) return whole
  const folds = foldsOf(tensor, facts)
  if (folds === undefined || folds.some((r) => foldedExtent(r) < products)) return whole
  const leaves = (p: Plain) => !isNumber(p) && folds.every((r) => ir.axisOf(p.tensor, r.axis) === undefined)
  const factors = factorsOf(tensor, opensWhere(leaves, tensor, facts))
  const gone = factors.filter(leaves).map((p) => ({ tensor: p.tensor, inverse: p.inverse !== inverse }))
  if (gone.length === 0) return whole
  const rest = productOf(
    factors.filter((p) => !leaves(p)),
    undefined,
    tensor.axes,
  )
  return { gone, kept: [{ tensor: rest, inverse }] }
}

/** The sums that read a map, each through products that nothing else reads; undefined where anything else reads it. */
function foldsOf(t: ir.Tensor, facts: Facts): readonly ir.Reduce[] | undefined {
  const was = facts.was(t)
  const found = facts.uses(t)?.map((u) => {
    if (u.kind === "reduce") return u.monoid.kind === "sum" ? [u] : undefined
    return u.kind === "map" && multiplies(was, u) && alone(u, facts) ? foldsOf(u, facts) : undefined
  })
  return found?.every((r) => r !== undefined) ? found.flat() : undefined
}

/** Whether all that a map makes of some tensors is to multiply or divide by them. */
function multiplies(ts: readonly ir.Tensor[], by: ir.Map): boolean {
  const inside = (x: ir.Tensor) => !ts.includes(x) && x.kind === "map" && x.args.some((a) => ts.includes(a))
  return factorsOf(by, () => false).every((f) => !inside(f.tensor))
}

/** Whether any of some tensors is an element-wise function of one of others, which is needed wherever it is computed. */
function madeOf(ts: readonly ir.Tensor[], of: readonly ir.Tensor[]): boolean {
  const seen = new Set(ts)
  for (const t of seen) if (t.kind === "map" || t.kind === "reindex") for (const s of sources(t)) seen.add(s)
  return of.some((t) => seen.has(t))
}

const foldedExtent = (r: ir.Reduce): number => hinted(ir.axisOf(r.args[0]!, r.axis)!.extent)
