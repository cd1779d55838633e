/**
 * What can be taken by vectors: folds along which every load is consecutive or constant, and stores along their last axis.
 *
 *   sum_{k}(x[s, k] · w[o, k])   along k: both loads are consecutive, four products at once
 *   … · (w[o, k / 8] >> 4 (k mod 8))   along k: one word for eight products
 *   y[s, o] = x[s] · b[o]        along o: x is constant, b and y are consecutive
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables, literal } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { Load, LocalRead, Reduce } from "../ir/nodes.js"
import { leavesOf, nodesOf, ownLoads } from "../ir/query.js"
import type { ReductionTile } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { stepsInside } from "../tile/values.js"
import { flatten, lanesOf, type VectorAxis } from "../tile/vector.js"

const addsUp = ({ monoid }: Reduce) => monoid.kind === "sum" || monoid.kind === "max" || monoid.kind === "min"

/** Whether a fold can be taken by vectors of `width` elements. */
export function wideAlong(r: Reduce, kernel: Kernel, width: number): boolean {
  const extent = literalExtent(r.extent)
  if (width === 1 || !addsUp(r) || (extent !== undefined && extent < width)) return false
  const axis: VectorAxis = { name: r.axis, base: literal(0), width }
  const loads = ownLoads(r.lift)
  const inner = nodesOf(r.lift, "reduce").some((i) => freeVariables(i).has(r.axis) && !isOneVector(i, kernel, width))
  return !inner && loads.some((l) => freeVariables(l).has(r.axis)) && loads.every((l) => consecutive(l, axis, kernel))
}

/** Whether a fold is one vector of what it folds, the lanes of which are folded then. */
const isOneVector = (r: Reduce, kernel: Kernel, width: number): boolean =>
  literalExtent(r.extent) === width && wideAlong(r, kernel, width)

/** Whether a store can be made by vectors of `width` elements along its last axis. */
export function wideStore(store: Store, last: Axis, kernel: Kernel, width: number): boolean {
  const extent = literalExtent(last.extent)
  if (width === 1 || (extent !== undefined && extent % width !== 0)) return false
  const axis: VectorAxis = { name: last.name, base: literal(0), width }
  const folds = nodesOf([store.value], "reduce")
  const inside = [...folds, ...nodesOf([store.value], "scan")]
  const loads = [...ownLoads([store.value]), ...inside.flatMap((r) => ownLoads(r.lift))]
  const at = lanesOf(flatten(store.index, bufferOf(kernel, store.buffer).shape), axis)
  return (
    folds.every(addsUp) &&
    !stepsInside(store.value, last.name) &&
    at?.kind === "step" &&
    loads.every((l) => consecutive(l, axis, kernel))
  )
}

/**
 * The folds that take as many elements at once as come in one load of halves: those that stream through memory, which no row of a perThread
 * tile waits for. One row at a time: neighbouring rows side by side are half as fast, for hardware reads ahead along one.
 */
export function streamsOfHalves(folds: readonly Reduce[], kernel: Kernel, width: number): readonly Reduce[] {
  const leaves = leavesOf(folds)
  const streams = (r: Reduce) =>
    (literalExtent(r.extent) ?? 1) % width === 0 &&
    wideAlong(r, kernel, width) &&
    ownLoads(r.lift).some(
      (l) =>
        l.kind === "load" &&
        freeVariables(l).has(r.axis) &&
        (packed(bufferOf(kernel, l.buffer).storage) || isShared(l, r.axis, width, kernel)),
    )
  return leaves.every(streams) ? leaves : []
}

/**
 * Whether what is stored side by side along the last axis sums up products of words, a vector for each: their sums are lanes of one vector, and what is
 * made of them is made for all at once. What else is read need not lie side by side, for it is read once for each such vector. `longest`: products of
 * words at most that one of these sums has.
 */
export function sumsBesideOneAnother(
  store: Store,
  last: Axis | undefined,
  kernel: Kernel,
  reduce: Readonly<Record<string, ReductionTile>>,
  { vector: width, longest }: { readonly vector: number; readonly longest: number },
): last is Axis {
  const folds = nodesOf([store.value], "reduce")
  const leaves = leavesOf(folds).filter((r) => productsOfWords(r) > 0)
  if (last === undefined || width === 1 || leaves.length === 0 || !folds.every(addsUp)) return false
  const extent = literalExtent(last.extent)
  if (extent === undefined ? hinted(last.extent) < width : extent % width !== 0) return false
  const isVector = (r: Reduce) =>
    literalExtent(r.extent) === width && reduce[r.axis]?.vector === width && freeVariables(r).has(last.name)
  const isShort = (r: Reduce) => {
    const around = folds.filter((o) => nodesOf(o.lift, "reduce").includes(r))
    const blocks = around.reduce((n, o) => n * (literalExtent(o.extent) ?? Number.POSITIVE_INFINITY), 1)
    return around.length > 0 && blocks * width * productsOfWords(r) <= longest
  }
  const axis: VectorAxis = { name: last.name, base: literal(0), width }
  const at = lanesOf(flatten(store.index, bufferOf(kernel, store.buffer).shape), axis)
  return leaves.every((r) => isVector(r) && isShort(r)) && !stepsInside(store.value, last.name) && at?.kind === "step"
}

/** Products of words in one element of a fold: each is a vector of its own, so that so many fewer are worth taking at once. */
export const productsOfWords = (r: Reduce): number =>
  nodesOf(r.lift, "operation").filter((x) => x.operation === "dot2").length

function consecutive(x: Load | LocalRead, axis: VectorAxis, kernel: Kernel): boolean {
  if (!freeVariables(x).has(axis.name)) return true
  if (x.kind === "localRead")
    return x.index.every(
      (i, at) => !freeVariables(i).has(axis.name) || (at === x.index.length - 1 && lanesOf(i, axis)?.kind === "step"),
    )
  const { shape } = bufferOf(kernel, x.buffer)
  const lanes = lanesOf(flatten(x.index, shape), axis)
  return lanes?.kind === "same" || (lanes?.kind === "step" && multiples(x, axis, shape))
}

/** Whether all elements of a vector are in the one that is loaded: fields of a word, or what they share. */
export function isShared(x: Load, axis: string, width: number, kernel: Kernel): boolean {
  const offset = flatten(x.index, bufferOf(kernel, x.buffer).shape)
  return freeVariables(x).has(axis) && lanesOf(offset, { name: axis, base: literal(0), width })?.kind === "same"
}

/** The strides of the other indices keep the alignment. */
function multiples(x: Load, axis: VectorAxis, shape: readonly number[]): boolean {
  let stride = 1
  for (let i = x.index.length - 1; i >= 0; i--) {
    // Where there is one place, it is the first.
    const isFixed = x.index[i]!.kind === "literal" || shape[i] === 1
    if (!freeVariables(x.index[i]!).has(axis.name) && !isFixed && stride % axis.width !== 0) return false
    stride *= shape[i]!
  }
  return true
}
