/**
 * Streams: folds that read much and compute little, on hardware whose lanes wait for memory in turn. What counts is how many bytes are under
 * way at once: loads of 16 bytes, several of them in one iteration, and rows side by side where there are more of them than lanes.
 *
 *   y[o] = sum_{k < 4096}(x[k] · w[o, k]), w in bf16   →   k by vectors of 8, shared by 32 lanes, 4 of them in one iteration
 */

import { literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import { bufferOf, type Kernel } from "../ir/kernel.js"
import { packed, storageBytes } from "../ir/loop.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Load, Reduce } from "../ir/nodes.js"
import { leavesOf, ownLoads } from "../ir/query.js"
import { isSelective } from "../tile/fold.js"
import { streamRules } from "./rules.js"
import type { StoreDraft } from "./store-draft.js"
import { isShared, streamsOfHalves } from "./vectors.js"

/** Widens and unrolls the folds of a store that lanes share. */
export function streamFolds(draft: StoreDraft, kernel: Kernel, machine: ScheduleTarget): void {
  const { folds, reduce } = draft
  const shared = folds.filter((r) => (reduce[r.axis]?.group ?? 1) > 1)
  const leaves = leavesOf(folds)
  selectiveFolds(leaves, reduce)
  if (leaves.length === 0 || !leaves.every((r) => shared.includes(r) && reduce[r.axis]!.vector !== undefined)) return
  const { halves = machine.vector } = machine
  const group = reduce[leaves[0]!.axis]!.group!
  const wide = streamsOfHalves(leaves, kernel, halves)
  if (wide.every((r) => literalExtent(r.extent)! % (group * halves) === 0))
    for (const r of wide) reduce[r.axis] = { ...reduce[r.axis], vector: halves }
  sideBySide(draft, kernel, machine, group)
  const loads = loadsOf(leaves, draft, kernel)
  if (loads === 0) return
  const wanted = Math.min(loadsWanted(draft, machine, group) / loads, streamRules.loads / loads)
  for (const r of leaves) {
    const turns = (literalExtent(r.extent) ?? 1) / (group * reduce[r.axis]!.vector!)
    let innerUnroll = 1
    while (innerUnroll < wanted && Number.isInteger(turns / (2 * innerUnroll))) innerUnroll *= 2
    if (innerUnroll > 1) reduce[r.axis] = { ...reduce[r.axis], innerUnroll }
  }
}

/** Folds that take single elements, most of which leave what is found as it is: several are under way before the first is looked at. */
function selectiveFolds(leaves: readonly Reduce[], reduce: StoreDraft["reduce"]): void {
  for (const r of leaves) {
    const { group = 1 } = reduce[r.axis] ?? {}
    const turns = (literalExtent(r.extent) ?? 1) / group
    const innerUnroll = streamRules.selective.find((n) => Number.isInteger(turns / n))
    if (group > 1 && isSelective(r.monoid) && innerUnroll !== undefined)
      reduce[r.axis] = { ...reduce[r.axis], innerUnroll }
  }
}

/**
 * Two rows to a group of lanes, which reads what all rows share once for both: where there are enough for all groups of the device even so, or
 * two of them share a word in memory. On an H200, 4,096 rows of 12,288 weights took 47 µs by two and 39 µs by one.
 */
function sideBySide(
  { store, folds, tiles, points }: StoreDraft,
  kernel: Kernel,
  { busy, threads }: ScheduleTarget,
  group: number,
): void {
  const last = store.axes.at(-1)
  const extent = last === undefined ? undefined : literalExtent(last.extent)
  if (extent === undefined || extent % 2 !== 0 || !folds.every((r) => freeVariables(r).has(last!.name))) return
  const pairs = packed(bufferOf(kernel, store.buffer).storage)
  if (pairs || (points / 2) * group >= busy * threads) tiles.get(last!.name)!.perThread = 2
}

/** Loads of 16 bytes of one turn of all of its folds, at each of the places that a lane has: of what other points do not read as well. */
function loadsOf(leaves: readonly Reduce[], { store, tiles, folds, reduce }: StoreDraft, kernel: Kernel): number {
  const together = folds.reduce((n, r) => n * (leaves.includes(r) ? 1 : (reduce[r.axis]?.innerUnroll ?? 1)), 1)
  const moving = leaves.flatMap((r) =>
    ownLoads(r.lift).flatMap((l) => (l.kind === "load" && freeVariables(l).has(r.axis) ? [{ l, r }] : [])),
  )
  const along = (l: Load) => store.axes.filter((a) => freeVariables(l).has(a.name) && literalExtent(a.extent) !== 1)
  const own = moving.filter(({ l }) => along(l).length > 0)
  const counted = new Map((own.length > 0 ? own : moving).map(({ l, r }) => [l, r] as const))
  return [...counted].reduce((n, [l, r]) => {
    const places = along(l).reduce((m, a) => m * tiles.get(a.name)!.perThread, 1)
    const width = reduce[r.axis]!.vector!
    const elements = isShared(l, r.axis, width, kernel) ? 1 : width
    const bytes = elements * storageBytes(bufferOf(kernel, l.buffer).storage)
    return n + (together * places * bytes) / streamRules.bytesOfLoad
  }, 0)
}

/** Loads of one lane that have to be under way for the device to have enough of them. */
function loadsWanted({ points, tiles }: StoreDraft, { busy, threads }: ScheduleTarget, group: number): number {
  const places = [...tiles.values()].reduce((n, t) => n * t.perThread, 1)
  const lanes = Math.min((points / places) * group, busy * threads)
  return (busy * streamRules.bytesOfBlock) / (lanes * streamRules.bytesOfLoad)
}
