/**
 * Stores of the classes `software` and `simt`: the threads of a workgroup take the points of a block, or share the folds of each.
 *
 *   y[o] = sum_{k}(x[k] · w[o, k])   →   { o: { block: 8 } }, k by vectors, shared by a subgroup, so that neighbours read neighbours
 *   y    = sum_{k}(x[k] · w[k])      →   the same, shared by the whole workgroup
 *
 * A thread has one accumulator by the rules of both classes: on hardware others hide what one waits for, and software compiles every
 * further statement for long. The tuner supposes more.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import type { Kernel, Store } from "../ir/kernel.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { chainOf, nodesOf, outermostFolds } from "../ir/query.js"
import type { ReductionTile, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { binnedFolds } from "../tile/bins/find.js"
import { longestRun } from "../tile/runs.js"
import { commonLocals } from "../tile/staging/common.js"
import { alikeInLanes } from "../tile/values.js"
import { binRules, storeRules, workgroupRules } from "./rules.js"
import { volume } from "./shares.js"
import {
  accumulate,
  accumulatorsFor,
  draftStore,
  hasLocals,
  pointsForLocals,
  type StoreDraft,
  setBlocks,
  sharedReads,
  tilesOf,
} from "./store-draft.js"
import { streamFolds } from "./streams.js"
import { wideAlong } from "./vectors.js"

export function workgroupStore(
  store: Store,
  kernel: Kernel,
  machine: ScheduleTarget,
  along: readonly Expression[],
): StoreSchedule {
  const bins = binsOf(store, machine.rules)
  if (bins !== undefined) return binnedStore(store, bins, kernel, machine)
  const draft = draftStore(store, kernel, machine, along)
  const { folds, reduce, tiles } = draft
  const accumulators = placesPerThread(draft, accumulatorsFor(folds, machine.registers))
  accumulate(draft, () => Math.min(accumulators, storeRules.accumulators))
  if ([...tiles.values()].every((t) => t.perThread * t.vector === 1)) {
    shareOut(draft, kernel, machine)
    if (machine.rules === "simt") {
      takeTogether(draft)
      streamFolds(draft, kernel, machine)
    }
  }
  setBlocks(draft, machine.block, pointsOfBlock(draft, kernel, machine))
  return { tile: tilesOf(draft), reduce }
}

/**
 * The axis at one place of which each element of the store's sums counts: on hardware lanes add it to that place in the workgroup's memory, where
 * there are many.
 */
export const binsOf = ({ value, axes }: Store, rules: ScheduleTarget["rules"]): Axis | undefined =>
  axes.find(({ name, extent }) => {
    const places = literalExtent(extent) ?? 0
    const many = rules === "simt" && places >= binRules.least && places <= binRules.most
    return many && binnedFolds(value, name) !== undefined
  })

/** Lanes take vectors of the folded axis where they can, as many in a turn as there are for each, or as may be under way. */
function binnedStore(store: Store, bins: Axis, kernel: Kernel, { threads, vector }: ScheduleTarget): StoreSchedule {
  const reduce = outermostFolds(store.value).map((r): readonly [string, ReductionTile] => {
    const isWhole = (literalExtent(r.extent) ?? 1) % vector === 0
    const width = isWhole && wideAlong(r, kernel, vector) ? vector : 1
    const innerUnroll = Math.min(binRules.turns, Math.ceil(hinted(r.extent) / (threads * width)))
    return [r.axis, { ...(width > 1 ? { vector: width } : {}), ...(innerUnroll > 1 ? { innerUnroll } : {}) }]
  })
  return { tile: { [bins.name]: { block: "all" } }, reduce: Object.fromEntries(reduce), bins: bins.name }
}

/** Shares long folds: among all lanes that would be without a point otherwise, in whatever order a fold reads; else among a subgroup. */
function shareOut(draft: StoreDraft, kernel: Kernel, machine: ScheduleTarget): void {
  const { values, folds, reduce, points } = draft
  const { subgroup } = machine
  const count = lanesOfPoint(draft, kernel, machine)
  const inOrder = folds.filter(
    (r) => reduce[r.axis] !== undefined || r.monoid.kind === "argmax" || r.monoid.kind === "top",
  )
  const share = (which: readonly Reduce[], lanes: number) => {
    shareFolds(which, values, reduce, lanes, machine)
    return which.some((r) => reduce[r.axis]?.group !== undefined)
  }
  // What is merged of a `top` is a list, and dear to exchange; and more blocks would repeat what each makes.
  if (machine.rules === "simt" && !repeatsMuch(draft, kernel) && folds.every((r) => r.monoid.kind !== "top"))
    for (let lanes = count; lanes > subgroup; lanes >>= 1)
      if (takesWholeRuns(folds, lanes, machine) && (share(folds, lanes) || share(inOrder, lanes))) return
  if (share(inOrder, points <= workgroupRules.pointsOfShared ? machine.threads : subgroup)) return
  if (machine.rules !== "simt") return
  if (count > subgroup) shareShort(folds, values, reduce, subgroup, machine)
  if (points <= workgroupRules.pointsOfShared) shareOuter(values, reduce, machine.threads, machine)
}

/**
 * Lanes that would be idle share the outermost folds, `most` of them or as many as these are long, and at least a few; each has the folds inside for
 * itself.
 */
export function shareOuter(
  values: readonly Expression[],
  into: Record<string, ReductionTile>,
  most: number,
  machine: Pick<ScheduleTarget, "subgroup" | "rules">,
): void {
  const isShared = nodesOf(values, "reduce").some((r) => into[r.axis]?.group !== undefined)
  if (isShared || most < workgroupRules.fewLanes) return
  shareShort(values.flatMap(outermostFolds), values, into, most, machine)
  shareOuter(values, into, most >> 1, machine)
}

/** Places of an axis that no shared fold depends on belong to the lanes that share it: others would fold the same again. */
function takeTogether(draft: StoreDraft): void {
  if (!draft.folds.some((r) => draft.reduce[r.axis]?.group !== undefined)) return
  for (const a of alikeFor(draft)) {
    const extent = literalExtent(a.extent)
    if (extent !== undefined && extent <= workgroupRules.placesOfFold) draft.tiles.get(a.name)!.perThread = extent
  }
}

/** The axes of a store that none of its folds depends on: a block owns the whole of them. */
const alikeFor = ({ store, folds }: StoreDraft): readonly Axis[] =>
  store.axes.filter((a) => folds.every((r) => !freeVariables(r).has(a.name)))

/** Whether what is left of each fold to a lane is a run or several whole ones: what is left over of a run costs as much as a run. */
const takesWholeRuns = (folds: readonly Reduce[], lanes: number, { halves = 1 }: ScheduleTarget): boolean =>
  folds.every((r) => {
    const turns = (literalExtent(r.extent) ?? 0) / (lanes * halves)
    return turns <= longestRun || turns % longestRun === 0
  })

/** Shares folds that are too short for vectors of all lanes, element by element: what one lane folds alone, others wait for. */
export function shareShort(
  folds: readonly Reduce[],
  values: readonly Expression[],
  into: Record<string, ReductionTile>,
  count: number,
  machine: Pick<ScheduleTarget, "subgroup" | "rules">,
): void {
  const single = { ...into }
  for (const r of folds)
    if (hinted(r.extent) < count * (single[r.axis]?.vector ?? 1)) single[r.axis] = { ...single[r.axis], vector: 1 }
  shareFolds(folds, values, single, count, machine)
  if (folds.some((r) => single[r.axis]?.group !== undefined)) Object.assign(into, single)
}

/** Lanes that share the folds of a point: on hardware as many as keep one block for each processor busy with the points of the kernel. */
function lanesOfPoint(draft: StoreDraft, kernel: Kernel, { threads, subgroup, busy }: ScheduleTarget): number {
  if (draft.points <= workgroupRules.pointsOfShared) return threads
  const share = hasLocals(draft) ? workgroupRules.busyWithLocals : workgroupRules.busyWithFew
  const lanes = (busy * share * threads) / pointsOf(kernel)
  return Math.min(threads, Math.max(subgroup, 2 ** Math.ceil(Math.log2(lanes))))
}

/** Points of all stores of a kernel. */
const pointsOf = ({ items }: Kernel): number => items.reduce((n, i) => (i.kind === "store" ? n + volume(i.axes) : n), 0)

function pointsOfBlock(draft: StoreDraft, kernel: Kernel, machine: ScheduleTarget): number {
  const { block, threads, subgroup, busy } = machine
  const { points, inTurn } = draft
  if (machine.rules === "simt") return pointsOfLanes(draft, kernel, machine)
  // No thread is to be without any.
  const least = Math.max(threads / subgroup, pointsForLocals(draft, block))
  const longest = hasLocals(draft) ? workgroupRules.blocksWithLocals * block : block
  const even = Math.min(longest, Math.max(least, Math.floor(points / busy)))
  return inTurn === undefined ? even : Math.max(even, threads * inTurn.block)
}

/**
 * On hardware: as many blocks as keep it busy, each of which makes what it needs for all of its points once, and no lane without a point; of what all
 * of them make alike the smallest, which workgroups take in turn. Few points that no lanes share make blocks of few lanes, one subgroup at least.
 */
function pointsOfLanes(draft: StoreDraft, kernel: Kernel, machine: ScheduleTarget): number {
  const { block, busy, threads, subgroup, workgroups } = machine
  const { points, reduce, tiles } = draft
  const step = [...tiles.values()].reduce((n, t) => n * t.perThread * t.vector, 1)
  const group = Math.max(1, ...Object.values(reduce).map((r) => r.group ?? 1))
  if (group === 1) {
    const lanes = Math.ceil(points / step / busy / subgroup) * subgroup
    return Math.min(threads, lanes) * step
  }
  const together = alikeFor(draft).reduce((n, a) => n * tiles.get(a.name)!.perThread, 1)
  const once = (threads / group) * (step / together)
  const whole = (elements: number) => Math.max(1, Math.ceil(elements / once)) * once
  const even = whole(points / busy)
  if (!repeatsMuch(draft, kernel)) return Math.min(even, Math.max(once, block))
  if (workgroups !== undefined && makesAllAlike(draft, kernel)) {
    if (pointsOf(kernel) / once / workgroups >= workgroupRules.turns) return once
    const shared = evenPoints(draft, pointsOf(kernel), once, machine)
    if (shared !== undefined) return shared
  }
  const least = Math.min(pointsForLocals(draft, block), pointsOf(kernel) / (workgroupRules.busyWithLocals * busy))
  // A block more for some processors is as good as points that most of them lack.
  return Math.max(even, once, Math.round(least / once) * once)
}

/**
 * Points of a block, when all blocks make the same for theirs and run at once: those with which the core that has most blocks is done first. A core
 * of several does something else while one waits; undefined where there would be too many.
 */
function evenPoints(
  { store }: StoreDraft,
  points: number,
  once: number,
  { block: least, cores = 1, workgroups = 0 }: ScheduleTarget,
): number | undefined {
  const last = store.axes.length === 0 ? 0 : (literalExtent(store.axes.at(-1)!.extent) ?? 0)
  let best: { readonly block: number; readonly time: number } | undefined
  for (let block = Math.ceil(least / once) * once; block <= last; block += once) {
    const blocks = points / block
    if (blocks < workgroupRules.blocksOfCore * cores) break
    if (last % block !== 0 || blocks > workgroups) continue
    const busiest = Math.ceil(blocks / cores)
    const time = (busiest + 1) * (block + workgroupRules.pointsOfRepeat)
    if (best === undefined || time < best.time) best = { block, time }
  }
  return best?.block
}

/** Whether all that a block makes for its points is the same for all blocks, however small they are. */
function makesAllAlike({ store, values }: StoreDraft, kernel: Kernel): boolean {
  const isCut = (axis: string) => literalExtent(store.axes.find((a) => a.name === axis)!.extent) !== 1
  return commonLocals([...values, ...store.index], store, kernel, isCut).own.length === 0
}

/** Whether a block makes more than a few elements for all of its points. */
function repeatsMuch({ values }: StoreDraft, kernel: Kernel): boolean {
  const read = new Set(nodesOf(values, "localRead").map((x) => x.local))
  const elements = (axes: readonly Axis[]) =>
    axes.reduce((n, a) => n * (literalExtent(a.extent) ?? Number.POSITIVE_INFINITY), 1)
  return kernel.items.some(
    (i) => i.kind === "local" && read.has(i.name) && elements(i.axes) > workgroupRules.fewElements,
  )
}

/** Accumulators along the axes that save most reading first; gives those that are left for the folded axis. */
function placesPerThread(draft: StoreDraft, accumulators: number): number {
  const { store, folds, tiles, inTurn } = draft
  if (inTurn !== undefined || accumulators === 1) return accumulators
  const shared = sharedReads(draft)
  const worthwhile = store.axes.filter(
    (a) => folds.some((r) => freeVariables(r).has(a.name)) && shared(a) >= storeRules.readAgain,
  )
  let left = accumulators
  for (const a of worthwhile.sort((p, q) => shared(q) - shared(p))) {
    const known = literalExtent(a.extent)
    const tile = tiles.get(a.name)!
    const divides = (places: number) =>
      hinted(a.extent) >= places * tile.vector && (known === undefined || known % (places * tile.vector) === 0)
    let places = Math.min(left, workgroupRules.perThread)
    while (places > 1 && !divides(places)) places--
    tile.perThread = places
    left = Math.floor(left / places)
  }
  return left
}

/**
 * Long folds are shared by `count` threads, so that neighbours read neighbours; those inside of others are where all threads go through the
 * others side by side. A short fold around them takes all of its elements at once: what is inside of them shares one pass.
 *
 *   max_{d < 4}(f(sum_{k}(x[d, k])))   →   four sums side by side, each shared
 */
export function shareFolds(
  folds: readonly Reduce[],
  values: readonly Expression[],
  into: Record<string, ReductionTile>,
  count: number,
  { subgroup, rules }: Pick<ScheduleTarget, "subgroup" | "rules">,
): void {
  if (subgroup === 1 || folds.length === 0) return
  const outer = new Set(values.flatMap((v) => outermostFolds(v).flatMap(chainOf)))
  const shared = new Set(folds)
  const inside = folds.filter((r) => !outer.has(r))
  const around = nodesOf(values, "reduce").filter((o) => nodesOf(o.lift, "reduce").some((x) => inside.includes(x)))
  if (!around.every((o) => !shared.has(o) && alikeInLanes(o.extent))) return
  if (!folds.every((r) => hinted(r.extent) >= count * (into[r.axis]?.vector ?? 1))) return
  for (const r of folds) into[r.axis] = { ...into[r.axis], group: count }
  if (rules !== "simt") return
  for (const o of around) {
    const extent = literalExtent(o.extent) ?? Number.POSITIVE_INFINITY
    if (chainOf(o).length === 1 && extent <= workgroupRules.foldsSideBySide)
      into[o.axis] = { ...into[o.axis], innerUnroll: extent }
  }
}
