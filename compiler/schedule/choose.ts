/**
 * schedule: kernel → schedule, by documented heuristics. They must stand on their own; a tuned file may replace them later.
 *
 * For each store:
 * - the vector axis is the largest folded axis along which every load is consecutive or constant (a dot over rows in memory); else the last
 *   axis of the store, when everything is consecutive or constant along it;
 * - accumulators go to the axes of the store along which much reading is saved, the rest to several vectors of the folded axis, so that
 *   what is read once is read in order;
 * - a block owns enough elements to pay for its locals, and the whole axis where a reduction does not depend on it.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables, literal } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Expression, Load, LocalRead, Reduce } from "../ir/nodes.js"
import { chainOf, leavesOf, nodesOf, outermostFolds, ownLoads } from "../ir/query.js"
import type { AxisTile, ReductionTile, Schedule, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { blockAlong } from "../tile/prefix.js"
import { stepsInside } from "../tile/values.js"
import { flatten, lanesOf, type VectorAxis } from "../tile/vector.js"
import { chunkSchedule } from "./chunks.js"
import { sharedFolds } from "./compute-with.js"
import { heldLocals, heldRows, registerTile } from "./one-lane.js"
import { inPairs } from "./pairs.js"

export function chooseSchedule(kernel: Kernel, target: ScheduleTarget): Schedule {
  const stores = kernel.items.filter((i) => i.kind === "store")
  const { chunks } = target
  const along = chunks === undefined ? [] : sharedFolds(stores)
  const chunked =
    chunks === undefined ? [] : stores.map((s, i) => (along[i] ? undefined : chunkSchedule(s, kernel, chunks)))
  const beside = (i: number): StoreSchedule | undefined => {
    const shared = along[i]
    return shared !== undefined && chunked[shared.store] !== undefined
      ? { tile: {}, reduce: {}, computeWith: shared }
      : undefined
  }
  const threads = Math.max(...chunked.map((c) => c?.threads ?? 0), 0) || target.threads
  const locals: Record<string, ReductionTile> = {}
  for (const item of kernel.items)
    if (item.kind === "local") {
      const wide = nodesOf([item.value], "reduce").filter((r) => wideAlong(r, kernel, target.vector))
      for (const r of wide) locals[r.axis] = { vector: target.vector }
      shareFolds(wide, [item.value], locals, target.subgroup, target)
    }
  const alone = threads === 1 && target.vector > 1
  return {
    threads,
    subgroup: Math.min(target.subgroup, threads),
    stores: stores.map((s, i) => {
      const made = beside(i) ?? chunked[i]?.schedule ?? storeSchedule(s, kernel, { ...target, threads })
      const widest = Math.max(target.vector, ...Object.values(made.reduce).map((r) => r.vector ?? 1))
      const staged = alone ? { ...heldLocals(s, kernel, [widest, target.vector]), ...made.staged } : made.staged
      return inPairs(staged === undefined ? made : { ...made, staged }, s, kernel)
    }),
    locals,
  }
}

function storeSchedule(store: Store, kernel: Kernel, target: ScheduleTarget): StoreSchedule {
  const folds = nodesOf([store.value, ...store.index], "reduce")
  const reduce: Record<string, ReductionTile> = {}
  for (const r of folds) if (wideAlong(r, kernel, target.vector)) reduce[r.axis] = { vector: target.vector }
  const folded = folds.some((r) => reduce[r.axis] !== undefined)
  const axes = [...store.axes]
  const last = axes.at(-1)
  const tiles = new Map<string, { block: number | "all"; perThread: number; vector: number }>()
  for (const a of axes) tiles.set(a.name, { block: 1, perThread: 1, vector: 1 })

  // A block of a scan is one lane's tile, in which each place follows from the one before.
  const inTurn = axes.flatMap((a) => {
    const block = blockAlong(store.value, a)
    return block === undefined ? [] : [{ name: a.name, block }]
  })[0]
  const vectored =
    !folded &&
    inTurn?.name !== last?.name &&
    target.vector > 1 &&
    last !== undefined &&
    wideStore(store, last, kernel, target.vector)
      ? last
      : undefined
  if (vectored !== undefined) tiles.get(vectored.name)!.vector = target.vector
  // Accumulators: first along axes that save much reading, then along the folded axis.
  let left = folds.length > 0 ? Math.max(1, Math.floor(target.registers / Math.max(1, leavesOf(folds).length))) : 1
  const total = volume(folds, axes, () => true)
  const saved = (a: Axis) => volume(folds, axes, (l) => !freeVariables(l).has(a.name)) / Math.max(1, total)
  const steps = new Map([...tiles].map(([name, t]) => [name, t.vector] as const))
  if (inTurn !== undefined) tiles.get(inTurn.name)!.perThread = inTurn.block
  else if (target.threads === 1 && folds.length > 0) {
    const rows = registerTile(folds, axes, steps, kernel, target.registers, (a) => saved(a) >= 0.2)
    for (const [name, count] of rows) {
      tiles.get(name)!.perThread = count
      left = Math.floor(left / count)
    }
    const { halves = target.vector } = target
    if (rows.size === 0) for (const r of streamsOfHalves(folds, kernel, halves)) reduce[r.axis] = { vector: halves }
  }
  const worthwhile = axes.filter(
    (a) =>
      inTurn === undefined && target.threads > 1 && folds.some((r) => freeVariables(r).has(a.name)) && saved(a) >= 0.2,
  )
  for (const a of worthwhile.sort((p, q) => saved(q) - saved(p))) {
    const extent = hinted(a.extent)
    const literalSize = literalExtent(a.extent)
    const step = tiles.get(a.name)!.vector
    let take = Math.min(left, 4)
    while (take > 1 && (extent < take * step || (literalSize !== undefined && literalSize % (take * step) !== 0)))
      take--
    tiles.get(a.name)!.perThread = take
    left = Math.floor(left / take)
  }
  for (const r of folds) {
    const extent = literalExtent(r.extent)
    const wide = reduce[r.axis]?.vector
    if (wide === undefined || extent === undefined) continue
    // One lane has no more registers than for four such, and what is loaded for them.
    const most = (4 * target.vector) / wide
    let accumulators = Math.min(left, target.threads === 1 ? Math.ceil(most / leavesOf(folds).length) : most)
    while (accumulators > 1 && extent % (wide * accumulators) !== 0) accumulators--
    if (accumulators > 1) reduce[r.axis] = { vector: wide, accumulators }
  }
  const plain = [...tiles.values()].every((t) => t.perThread * t.vector === 1)
  // A store of few elements has the whole workgroup for each of them.
  const points = axes.reduce((n, a) => n * Math.max(1, hinted(a.extent)), 1)
  const few = points <= 4
  const shared = folds.filter(
    (r) => reduce[r.axis] !== undefined || r.monoid.kind === "argmax" || r.monoid.kind === "top",
  )
  if (plain) shareFolds(shared, [store.value], reduce, few ? target.threads : target.subgroup, target)
  // What a reduction does not depend on stays in one block, so that it is computed once there; but a block holds its part of the locals.
  const held = new Set(nodesOf([store.value, ...store.index], "localRead").flatMap((x) => [...freeVariables(x)]))
  for (const a of axes) {
    const heavy = held.has(a.name) && (literalExtent(a.extent) ?? Number.POSITIVE_INFINITY) > target.block
    if (!heavy && folds.length > 0 && folds.every((r) => !freeVariables(r).has(a.name)))
      tiles.get(a.name)!.block = "all"
  }
  // Blocks: whole tiles along the last axes until there is enough work, and no lane without any.
  // What the block computes for its points has to serve several of them.
  const serves = nodesOf([store.value], "localRead").length > 0
  const least = Math.max(
    target.threads / target.subgroup,
    serves ? Math.ceil((2 * target.block) / Math.max(1, folds.length)) : 1,
  )
  // One lane has nobody to share rows with, but other threads want blocks, too.
  const alone = Math.max(target.block, Math.min(8 * target.block, points / 64))
  const most = target.threads === 1 ? alone : serves ? 6 * target.block : target.block
  const even = Math.min(most, Math.max(least, Math.floor(points / target.busy)))
  const block = inTurn === undefined ? even : Math.max(even, target.threads * inTurn.block)
  let owned = 1
  for (const a of [...axes].reverse()) {
    const t = tiles.get(a.name)!
    const step = t.perThread * t.vector
    if (t.block === "all") continue
    const extent = Math.max(1, hinted(a.extent))
    const wanted = Math.max(
      step,
      Math.min(Math.ceil(extent / step) * step, Math.ceil(Math.max(1, block / owned) / step) * step),
    )
    t.block = wanted
    owned *= wanted
  }
  const tile: Record<string, AxisTile> = {}
  for (const [name, t] of tiles) tile[name] = t
  if (target.threads > 1 || target.vector === 1) return { tile, reduce }
  const rows = folded ? heldRows(folds, { tile, reduce }, store, kernel, target.vector) : {}
  return { tile, reduce, staged: rows }
}

/**
 * The folds that take as many elements at once as come in one load of halves: those that stream through memory, which no row of a perThread
 * tile waits for. One row at a time: neighbouring rows side by side are half as fast, for hardware reads ahead along one.
 */
function streamsOfHalves(folds: readonly Reduce[], kernel: Kernel, width: number): readonly Reduce[] {
  const leaves = leavesOf(folds)
  const streams = (r: Reduce) =>
    (literalExtent(r.extent) ?? 1) % width === 0 &&
    wideAlong(r, kernel, width) &&
    ownLoads(r.lift).some(
      (l) => l.kind === "load" && packed(bufferOf(kernel, l.buffer).storage) && freeVariables(l).has(r.axis),
    )
  return leaves.every(streams) ? leaves : []
}

/** Long folds are shared by `count` lanes, so that neighbours read neighbours. Folds inside of folds are not. */
function shareFolds(
  folds: readonly Reduce[],
  values: readonly Expression[],
  into: Record<string, ReductionTile>,
  count: number,
  target: ScheduleTarget,
): void {
  if (target.subgroup === 1 || folds.length === 0) return
  const outer = new Set(values.flatMap((v) => outermostFolds(v).flatMap(chainOf)))
  const long = (r: Reduce) => hinted(r.extent) >= count * (into[r.axis]?.vector ?? 1)
  if (!folds.every((r) => outer.has(r) && long(r))) return
  for (const r of folds) into[r.axis] = { ...into[r.axis], group: count }
}

function consecutive(x: Load | LocalRead, axis: VectorAxis, kernel: Kernel): boolean {
  if (!freeVariables(x).has(axis.name)) return true
  if (x.kind === "localRead")
    return x.index.every(
      (i, at) => !freeVariables(i).has(axis.name) || (at === x.index.length - 1 && lanesOf(i, axis)?.kind === "step"),
    )
  const { shape } = bufferOf(kernel, x.buffer)
  const lanes = lanesOf(flatten(x.index, shape), axis)
  return lanes?.kind === "step" && multiples(x, axis, shape)
}

/** The strides of the other indices keep the alignment. */
function multiples(x: Load, axis: VectorAxis, shape: readonly number[]): boolean {
  let stride = 1
  for (let i = x.index.length - 1; i >= 0; i--) {
    if (!freeVariables(x.index[i]!).has(axis.name) && x.index[i]!.kind !== "literal" && stride % axis.width !== 0)
      return false
    stride *= shape[i]!
  }
  return true
}

function wideAlong(r: Reduce, kernel: Kernel, width: number): boolean {
  const extent = literalExtent(r.extent)
  const simple = r.monoid.kind === "sum" || r.monoid.kind === "max" || r.monoid.kind === "min"
  if (width === 1 || !simple || (extent !== undefined && extent < width)) return false
  const axis: VectorAxis = { name: r.axis, base: literal(0), width }
  const loads = ownLoads(r.lift)
  const inner = nodesOf(r.lift, "reduce").some((i) => freeVariables(i).has(r.axis))
  return !inner && loads.some((l) => freeVariables(l).has(r.axis)) && loads.every((l) => consecutive(l, axis, kernel))
}

function wideStore(store: Store, last: Axis, kernel: Kernel, width: number): boolean {
  const extent = literalExtent(last.extent)
  if (extent !== undefined && extent % width !== 0) return false
  const axis: VectorAxis = { name: last.name, base: literal(0), width }
  const folds = nodesOf([store.value], "reduce")
  const inside = [...folds, ...nodesOf([store.value], "scan")]
  const loads = [...ownLoads([store.value]), ...inside.flatMap((r) => ownLoads(r.lift))]
  const simple =
    folds.every((r) => r.monoid.kind === "sum" || r.monoid.kind === "max" || r.monoid.kind === "min") &&
    !stepsInside(store.value, last.name)
  const at = lanesOf(flatten(store.index, bufferOf(kernel, store.buffer).shape), axis)
  return simple && at?.kind === "step" && loads.every((l) => consecutive(l, axis, kernel))
}

/** Elements that the chosen loads of the reductions touch, at the hints. */
function volume(folds: readonly Reduce[], axes: readonly Axis[], which: (l: Load | LocalRead) => boolean): number {
  const extents = new Map<string, number>(axes.map((a) => [a.name, Math.max(1, hinted(a.extent))]))
  for (const r of folds) if (freeVariables(r.extent).size === 0) extents.set(r.axis, Math.max(1, hinted(r.extent)))
  let sum = 0
  for (const l of new Set(folds.flatMap((r) => ownLoads(r.lift)))) {
    if (which(l)) sum += [...freeVariables(l)].reduce((n, v) => n * (extents.get(v) ?? 1), 1)
  }
  return sum
}
