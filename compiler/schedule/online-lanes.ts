/**
 * Online folds of few rows on hardware: lanes hold the channels, so that each loads its part of an element once for all rows of the block.
 *
 *   y[r, d] = online_{key}(Σ_{e}(q[r, e] · k[key, e]), v[key, d]), 4 rows, 128 halves   →   16 lanes with 8 channels of each row, 16 such groups,
 *                                                                                           4 keys at a time
 *
 * Where the elements that lanes load do not lie side by side, or lanes do not share the sums inside of the scores evenly, chunks are taken.
 */

import { literalExtent, maximum } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { ChunkTarget } from "../ir/machine.js"
import type { Expression, Load, Reduce } from "../ir/nodes.js"
import { nodesOf, outermostFolds } from "../ir/query.js"
import type { AxisTile, ReductionTile } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import type { Roles } from "./online-roles.js"
import { onlineRules, elementsOfLoad as wide } from "./rules.js"
import { type Chunked, consecutiveAxis, power, product, type Shares, volume } from "./shares.js"

const rules = onlineRules.lanes

export function laneSchedule(
  { axis, score, rows, channels, batch }: Roles,
  store: Store,
  kernel: Kernel,
  target: ChunkTarget,
): Chunked | undefined {
  const last = channels.at(-1)
  const extent = last && literalExtent(last.extent)
  if (volume(rows) >= rules.rows || last === undefined || extent === undefined || channels.length > 1) return undefined
  const folds = outermostFolds(store.value)
  const vector = widthAlong(
    last.name,
    folds.flatMap((r) => r.lift.slice(1)),
    extent,
    axis,
    kernel,
  )
  const lanes = vector === undefined ? 1 : lanesFor(extent, vector, target.subgroup)
  if (vector === undefined || lanes < 2) return undefined
  const reduce: Record<string, ReductionTile> = {}
  for (const r of outermostFolds(score)) {
    const shared = sharedBy(lanes, r, axis, kernel)
    if (shared === undefined) return undefined
    reduce[r.axis] = shared
  }
  const each = extent / lanes
  const most = Math.max(1, Math.min(target.rows ?? rules.accumulators, Math.floor(rules.accumulators / each)))
  const held = rowsHeld(rows, most)
  const elements = power(Math.max(1, Math.min(rules.elements, rules.scores / product(held))))
  const threads = threadsFor(product(held) * (extent + 2), lanes, elements, folds[0]!, target)
  reduce[axis] = elements > 1 ? { innerUnroll: elements } : {}
  const tile: Record<string, AxisTile> = {}
  for (const a of batch) tile[a.name] = { block: 1 }
  for (const [name, block] of held) tile[name] = block === 1 ? { block } : { block, perThread: block }
  const perThread = each / vector
  tile[last.name] = { block: "all", ...(perThread > 1 ? { perThread } : {}), ...(vector > 1 ? { vector } : {}), lanes }
  return { threads, schedule: { tile, reduce } }
}

/** Elements that a lane loads at once along an axis, as many as come in 16 bytes of halves; undefined where they do not lie side by side. */
function widthAlong(
  along: string,
  values: readonly Expression[],
  extent: number,
  moving: string,
  kernel: Kernel,
): number | undefined {
  const loads = nodesOf(values, "load").filter((l) => freeVariables(l).has(along))
  if (loads.length === 0 || !loads.every((l) => consecutiveAxis(l) === along)) return undefined
  const streams = loads.filter((l) => freeVariables(l).has(moving))
  const halves = streams.length > 0 && streams.every((l) => packed(bufferOf(kernel, l.buffer).storage))
  const even = (width: number) => extent % width === 0 && loads.every((l) => inRows(l, width, kernel))
  return [halves ? 2 * wide : wide, wide, 2].find(even)
}

/** Whether rows of a buffer start at multiples of a vector. */
const inRows = (l: Load, width: number, kernel: Kernel) => bufferOf(kernel, l.buffer).shape.at(-1)! % width === 0

/** Lanes that hold a row of channels: as many as leave each enough of them. */
function lanesFor(extent: number, vector: number, subgroup: number): number {
  let lanes = 1
  while (
    2 * lanes <= subgroup &&
    extent % (2 * lanes * vector) === 0 &&
    extent / (2 * lanes) >= Math.min(rules.channels, extent / 2)
  )
    lanes *= 2
  return lanes
}

/** How lanes share a fold inside of a score. */
function sharedBy(lanes: number, r: Reduce, moving: string, kernel: Kernel): ReductionTile | undefined {
  const extent = literalExtent(r.extent)
  const simple = r.monoid.kind === "sum" || r.monoid.kind === "max" || r.monoid.kind === "min"
  if (extent === undefined || !simple || nodesOf(r.lift, "reduce", "scan").length > 0) return undefined
  const vector = widthAlong(r.axis, r.lift, extent / lanes, moving, kernel)
  if (vector === undefined || extent % (lanes * vector) !== 0) return undefined
  return { vector, group: lanes }
}

/** Rows that every lane has, the last axes first: a divisor of each, at most `count` in all. */
function rowsHeld(rows: readonly Axis[], count: number): Shares {
  const held = new Map<string, number>()
  let left = count
  for (const a of [...rows].reverse()) {
    const extent = literalExtent(a.extent) ?? 1
    let share = Math.min(left, extent)
    while (extent % share !== 0) share--
    held.set(a.name, share)
    left = Math.floor(left / share)
  }
  return held
}

/** Threads of a workgroup: as many as have something to fold, and whose subgroups may write what they have folded. */
function threadsFor(row: number, lanes: number, elements: number, fold: Reduce, target: ChunkTarget): number {
  const { subgroup, sharedBytes } = target
  const useful = lanes * 2 ** Math.ceil(Math.log2(Math.max(1, maximum(fold.extent) / elements)))
  let threads = Math.max(subgroup, Math.min(target.threads, useful))
  while (threads > subgroup && (threads / subgroup) * row * 4 > sharedBytes) threads /= 2
  return threads
}
