/**
 * What the schedules of stores begin and end with, whatever the class of the machine: vectors, the places that one lane takes in turn, blocks.
 *
 * - The vector axis is the largest folded axis along which every load is consecutive or constant (a dot over rows in memory); else the last
 *   axis of the store, when everything is consecutive or constant along it.
 * - A block owns the whole axis where a reduction does not depend on it, and of the others enough elements to pay for its locals.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Expression, Load, LocalRead, Reduce } from "../ir/nodes.js"
import { leavesOf, nodesOf, ownLoads } from "../ir/query.js"
import type { AxisTile, ReductionTile } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { blockAlong } from "../tile/prefix.js"
import { storeRules } from "./rules.js"
import { isShared, wideAlong, wideStore } from "./vectors.js"

interface DraftTile {
  block: number | "all"
  perThread: number
  vector: number
}

export interface StoreDraft {
  readonly store: Store
  /** What is computed at a point: the store's own, and that of stores that are made along with it. */
  readonly values: readonly Expression[]
  readonly folds: readonly Reduce[]
  readonly reduce: Record<string, ReductionTile>
  readonly tiles: ReadonlyMap<string, DraftTile>
  /** The axis of a scan whose blocks are one lane's tiles, in which each place follows from the one before. */
  readonly inTurn: { readonly name: string; readonly block: number } | undefined
  /** Points of the store at the hints. */
  readonly points: number
}

/** `along`: the values of stores that are made along with it, over its axes. */
export function draftStore(
  store: Store,
  kernel: Kernel,
  { vector, halves = vector }: Pick<ScheduleTarget, "vector" | "halves">,
  along: readonly Expression[] = [],
): StoreDraft {
  const values = [store.value, ...along]
  const folds = nodesOf([...values, ...store.index], "reduce")
  const reduce: Record<string, ReductionTile> = {}
  const wide = folds.filter((r) => wideAlong(r, kernel, vector))
  // Folds of several stores are to share a loop.
  const alone = (r: Reduce) => folds.some((o) => o.extent === r.extent && !wide.includes(o))
  for (const r of wide) if (along.length === 0 || !alone(r)) reduce[r.axis] = { vector }
  const { axes } = store
  const tiles = new Map(axes.map((a) => [a.name, { block: 1, perThread: 1, vector: 1 } as DraftTile]))
  const [inTurn] = axes.flatMap((a) => {
    const block = blockAlong(store.value, a)
    return block === undefined ? [] : [{ name: a.name, block }]
  })
  const last = axes.at(-1)
  const alongStore = Object.keys(reduce).length === 0 && last !== undefined && inTurn?.name !== last.name
  const isWide = (value: Expression) => wideStore({ ...store, value }, last!, kernel, vector)
  if (alongStore && values.every(isWide)) tiles.get(last.name)!.vector = vector
  if (alongStore && along.length === 0 && unpacksWords(store, last, kernel, halves))
    tiles.get(last.name)!.vector = halves
  if (inTurn !== undefined) tiles.get(inTurn.name)!.perThread = inTurn.block
  const points = axes.reduce((n, a) => n * Math.max(1, hinted(a.extent)), 1)
  return { store, values, folds, reduce, tiles, inTurn, points }
}

/** Whether a store of halves takes as many of them apart from each word that it reads as come in one access. */
function unpacksWords(store: Store, last: Axis, kernel: Kernel, width: number): boolean {
  const words = nodesOf([store.value], "load").filter((l) => l.dtype === "u32" && freeVariables(l).has(last.name))
  const isHalves = packed(bufferOf(kernel, store.buffer).storage)
  return isHalves && words.some((l) => isShared(l, last.name, width, kernel)) && wideStore(store, last, kernel, width)
}

/** Accumulators that each of the innermost folds of a store may have, of those that a machine has. */
export const accumulatorsFor = (folds: readonly Reduce[], machine: number): number =>
  folds.length > 0 ? Math.max(1, Math.floor(machine / Math.max(1, leavesOf(folds).length))) : 1

/** Folds by vectors whose length is known get several accumulators each, at most as many as `limit` says of a vector's elements. */
export function accumulate({ folds, reduce }: StoreDraft, limit: (vector: number) => number): void {
  for (const r of folds) {
    const extent = literalExtent(r.extent)
    const vector = reduce[r.axis]?.vector
    if (vector === undefined || extent === undefined) continue
    let accumulators = limit(vector)
    while (accumulators > 1 && extent % (vector * accumulators) !== 0) accumulators--
    if (accumulators > 1) reduce[r.axis] = { vector, accumulators }
  }
}

/** Per axis: the share of what the folds read that is the same all along it. */
export function sharedReads({ store, folds }: StoreDraft): (axis: Axis) => number {
  const { axes } = store
  const whole = Math.max(
    1,
    volume(folds, axes, () => true),
  )
  return (a) => volume(folds, axes, (l) => !freeVariables(l).has(a.name)) / whole
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

/** Whether a block computes something for all of its points. */
export const hasLocals = ({ values }: StoreDraft): boolean => nodesOf(values, "localRead").length > 0

/** Points that a block has at least to pay for what it computes for all of them. */
export const pointsForLocals = (draft: StoreDraft, block: number): number =>
  hasLocals(draft) ? Math.ceil((storeRules.blocksPerLocal * block) / Math.max(1, draft.folds.length)) : 1

/**
 * Blocks: the whole of axes that no reduction depends on, so that it is computed once there, unless the block would hold locals of more than
 * `block` places along it; then whole tiles along the last axes until a block has as many points as it should.
 */
export function setBlocks({ store, values, folds, tiles }: StoreDraft, block: number, points: number): void {
  const alongLocals = new Set(nodesOf([...values, ...store.index], "localRead").flatMap((x) => [...freeVariables(x)]))
  for (const a of store.axes) {
    const heavy = alongLocals.has(a.name) && (literalExtent(a.extent) ?? Number.POSITIVE_INFINITY) > block
    if (!heavy && folds.length > 0 && folds.every((r) => !freeVariables(r).has(a.name)))
      tiles.get(a.name)!.block = "all"
  }
  let owned = 1
  for (const a of [...store.axes].reverse()) {
    const tile = tiles.get(a.name)!
    if (tile.block === "all") continue
    const step = tile.perThread * tile.vector
    const wholeTiles = (elements: number) => Math.ceil(elements / step) * step
    const extent = Math.max(1, hinted(a.extent))
    tile.block = Math.max(step, Math.min(wholeTiles(extent), wholeTiles(Math.max(1, points / owned))))
    owned *= tile.block
  }
}

export const tilesOf = ({ tiles }: StoreDraft): Record<string, AxisTile> => Object.fromEntries(tiles)
