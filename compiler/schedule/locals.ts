/**
 * Locals: how what a block computes for all of its points is folded and filled.
 *
 *   a mean of one row in each block, 256 threads   →   all 256 share it
 *   means of 64 rows in each block                 →   a subgroup has one at a time
 */

import { literalExtent } from "../ir/dim.js"
import type { Kernel, Local, Store } from "../ir/kernel.js"
import type { ScheduleTarget } from "../ir/machine.js"
import { localsIn, nodesOf } from "../ir/query.js"
import type { ReductionTile, StoreSchedule } from "../ir/schedule.js"
import { alignLocals } from "../tile/staging/homes.js"
import { stagedLocals } from "./one-lane.js"
import { power } from "./shares.js"
import { wideAlong } from "./vectors.js"
import { shareFolds, shareOuter, shareShort } from "./workgroup-store.js"

/** How the folds in locals are done, under the schedules of the stores. */
export function localFolds(
  kernel: Kernel,
  stores: readonly StoreSchedule[],
  target: ScheduleTarget,
): Readonly<Record<string, ReductionTile>> {
  const folds: Record<string, ReductionTile> = {}
  const elements = target.rules === "simt" ? elementsOfBlock(kernel, stores) : new Map<string, number>()
  for (const item of kernel.items)
    if (item.kind === "local") {
      const wide = nodesOf([item.value], "reduce").filter((r) => wideAlong(r, kernel, target.vector))
      for (const r of wide) folds[r.axis] = { vector: target.vector }
      const least = Math.max(1, target.subgroup)
      let count = Math.max(least, power(target.threads / (elements.get(item.name) ?? target.threads)))
      for (; count >= least; count >>= 1) {
        shareFolds(wide, [item.value], folds, count, target)
        if (wide.some((r) => folds[r.axis]!.group !== undefined)) break
      }
      if (target.rules === "simt" && count < least) shareAmongIdle(item, elements.get(item.name) ?? 1, folds, target)
    }
  return folds
}

/**
 * All of a block wait for what it makes first: lanes without an element of their own share the folds of others, in whatever order they read, of a
 * subgroup or, where a fold is shorter than that, of a part of one, in which each lane has the folds inside for itself.
 */
function shareAmongIdle(
  { value }: Local,
  elements: number,
  folds: Record<string, ReductionTile>,
  target: ScheduleTarget,
): void {
  if (elements >= target.threads) return
  shareShort(nodesOf([value], "reduce"), [value], folds, target.subgroup, target)
  shareOuter([value], folds, Math.min(target.subgroup, power(target.threads / elements)), target)
}

/** Elements of each local that a block has at most; locals of which some block may have any number are left out. */
function elementsOfBlock(kernel: Kernel, schedules: readonly StoreSchedule[]): ReadonlyMap<string, number> {
  const locals = kernel.items.filter((i) => i.kind === "local")
  const stores = kernel.items.filter((i) => i.kind === "store")
  const most = new Map<string, number>()
  for (const [i, store] of stores.entries()) {
    const { tile } = schedules[i]!
    const values = [store.value, ...store.index]
    const wanted = localsIn(values, new Map(locals.map((l) => [l.name, l])))
    const along = alignLocals(
      values,
      wanted,
      store.axes.map((a) => a.name),
    )
    for (const local of wanted) {
      const own = local.axes.reduce((n, a, at) => n * owned(a, along.get(local.name)![at], store, tile), 1)
      most.set(local.name, Math.max(own, most.get(local.name) ?? 1))
    }
  }
  return most
}

function owned(
  axis: Local["axes"][number],
  along: string | undefined,
  { axes }: Store,
  tile: StoreSchedule["tile"],
): number {
  const whole = literalExtent(axis.extent) ?? Number.POSITIVE_INFINITY
  if (along === undefined || !axes.some((a) => a.name === along)) return whole
  const { block } = tile[along] ?? { block: 1 }
  return block === "all" ? whole : Math.min(whole, block)
}

/** Lanes that share the folds of a local make its elements one at a time: what was staged by vectors is not, where they do. */
export function withoutShared(
  made: StoreSchedule,
  kernel: Kernel,
  folds: Readonly<Record<string, ReductionTile>>,
): StoreSchedule {
  if (made.staged === undefined) return made
  const isShared = (name: string) =>
    kernel.items.some(
      (i) =>
        i.kind === "local" &&
        i.name === name &&
        nodesOf([i.value], "reduce").some((r) => folds[r.axis]?.group !== undefined),
    )
  const staged = Object.fromEntries(Object.entries(made.staged).filter(([name]) => !isShared(name)))
  return { ...made, staged }
}

/** Locals that are staged are made by vectors: on one lane as long as those of its folds where they fit, else by one load. */
export function withLocals(
  made: StoreSchedule,
  store: Store,
  kernel: Kernel,
  { vector, rules }: Pick<ScheduleTarget, "vector" | "rules">,
): StoreSchedule {
  if (vector === 1 || rules === "software") return made
  const longest = Math.max(vector, ...Object.values(made.reduce).map((r) => r.vector ?? 1))
  const staged = stagedLocals(store, kernel, rules === "lane" ? [longest, vector] : [vector])
  if (rules !== "lane" && Object.keys(staged).length === 0) return made
  return { ...made, staged: { ...staged, ...made.staged } }
}
