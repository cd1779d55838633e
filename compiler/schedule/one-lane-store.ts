/**
 * Stores of the class `lane`: one lane with vectors runs a block by itself.
 *
 *   y[s, o] = sum_{k}(x[s, k] · w[o, k])   →   { s: { block: …, perThread: 4 }, o: { block: …, perThread: 2 } }, k by vectors
 *   y[o]    = sum_{k}(x[k] · w[o, k])      →   { o: { block: … } }, k by vectors, of halves by as many as come in one load
 *
 *   rows of words   y[s, o] = sum_{g}(a[o, g] · sum_{l < 4}(dot2(w[o, g, l], x[s, g, l])))   →   { s: { perThread: 8 }, o: { vector: 4 } }
 *
 * Registers go first to rows and columns that save loads, then to several vectors of the folded axis, so that what is read once is read in
 * order. Operands that many points of a block read are staged once for all of them.
 */

import { literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import type { Kernel, Store } from "../ir/kernel.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import { leavesOf, ownLoads } from "../ir/query.js"
import type { StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { registerTile, stagedRows } from "./one-lane.js"
import { laneRules, storeRules } from "./rules.js"
import {
  accumulate,
  accumulatorsFor,
  draftStore,
  pointsForLocals,
  type StoreDraft,
  setBlocks,
  sharedReads,
  tilesOf,
} from "./store-draft.js"
import { productsOfWords, streamsOfHalves, sumsBesideOneAnother } from "./vectors.js"

export function laneStore(
  store: Store,
  kernel: Kernel,
  machine: ScheduleTarget,
  along: readonly Expression[],
): StoreSchedule {
  const { vector, halves = vector, registers } = machine
  const draft = draftStore(store, kernel, machine, along)
  const { folds, reduce, tiles, inTurn } = draft
  const byVectors = Object.keys(reduce).length > 0
  const last = store.axes.at(-1)
  const longest = laneRules.wordsOfShortSum
  const isAlone = inTurn === undefined && along.length === 0
  const isBeside = isAlone && sumsBesideOneAnother(store, last, kernel, reduce, { vector, longest })
  const beside = new Map(isBeside ? [[last.name, vector]] : [])
  let accumulators = accumulatorsFor(folds, registers)
  if (inTurn === undefined && folds.length > 0) {
    const shared = sharedReads(draft)
    const saves = (a: Axis) => shared(a) >= storeRules.readAgain
    const isRow = last !== undefined && beside.has(last.name) && saves(last)
    const steps = new Map([...tiles].map(([name, t]) => [name, beside.get(name) ?? t.vector] as const))
    const rows = registerTile(folds, store.axes, steps, kernel, registers, (a) => isRow || saves(a), beside)
    if (isRow || rows.size > 0) for (const [name, lanes] of beside) tiles.get(name)!.vector = lanes
    for (const [name, count] of rows) {
      tiles.get(name)!.perThread = count
      accumulators = Math.floor(accumulators / count)
    }
    if (rows.size === 0 && !isRow) {
      for (const r of streamsOfHalves(folds, kernel, halves)) reduce[r.axis] = { vector: halves }
      besideOneAnother(draft)
    }
  }
  // A lane has no more registers than for that many vectors, and what is loaded for them.
  const elements = storeRules.accumulators * vector
  const vectors = Math.max(1, ...folds.map(productsOfWords))
  accumulate(draft, (width) => Math.min(accumulators, Math.ceil(elements / width / vectors / leavesOf(folds).length)))
  setBlocks(draft, machine.block, pointsOfBlock(draft, machine))
  const tile = tilesOf(draft)
  if (vector === 1) return { tile, reduce }
  return { tile, reduce, staged: byVectors ? stagedRows(folds, { tile, reduce }, store, kernel, vector) : {} }
}

/** Neighbouring columns of a product of words share what they read of the row where their own words are few: each reads it anew else. */
function besideOneAnother({ store, folds, tiles }: StoreDraft): void {
  const products = leavesOf(folds).filter((r) => productsOfWords(r) > 0)
  const last = store.axes.findLast((a) => a.extent.kind === "literal" && a.extent.value > 1)
  const extent = last === undefined ? undefined : literalExtent(last.extent)
  if (extent === undefined || products.length === 0) return
  const lengths = new Map(folds.map((r) => [r.axis, literalExtent(r.extent) ?? Number.POSITIVE_INFINITY]))
  const wordsOf = (l: Expression) => [...freeVariables(l)].reduce((n, v) => n * (lengths.get(v) ?? 1), 1)
  const own = products.map((r) => ownLoads(r.lift).filter((l) => freeVariables(l).has(last!.name)))
  const longest = Math.max(...own.map((loads) => 4 * loads.reduce((n, l) => n + wordsOf(l), 0)))
  if (own.some((loads) => loads.length === 0) || longest > laneRules.bytesOfShortRow) return
  let columns: number = laneRules.columnsOfWords
  while (extent % columns !== 0) columns /= 2
  tiles.get(last!.name)!.perThread = columns
}

function pointsOfBlock(draft: StoreDraft, { block, busy }: ScheduleTarget): number {
  const { points, inTurn } = draft
  // It has nobody to share rows with, but other threads want blocks, too.
  const longest = Math.max(block, Math.min(laneRules.blocks * block, points / laneRules.blocksForThreads))
  const even = Math.min(longest, Math.max(pointsForLocals(draft, block), Math.floor(points / busy)))
  return inTurn === undefined ? even : Math.max(even, inTurn.block)
}
