/**
 * schedule: kernel → schedule, by documented rules. They must stand on their own; a tuned file may replace them later.
 *
 * Each store has, in this order:
 * - the schedule of another store, with which it shares its folds (`compute-with.ts`);
 * - chunks that the workgroup takes together: of online folds everywhere (`online.ts`), of contractions where threads share what they stage
 *   (`contraction.ts`);
 * - what the rules of the machine's class say of stores: `one-lane-store.ts` or `workgroup-store.ts`.
 * The numbers in all of them stand in `rules.ts`.
 */

import type { Kernel, Store } from "../ir/kernel.js"
import type { MachineClass, ScheduleTarget } from "../ir/machine.js"
import { nodesOf, outermostFolds } from "../ir/query.js"
import type { ReductionTile, Schedule, StoreSchedule } from "../ir/schedule.js"
import { sharedFolds } from "./compute-with.js"
import { contractionSchedule } from "./contraction.js"
import { stagedLocals } from "./one-lane.js"
import { laneStore } from "./one-lane-store.js"
import { onlineSchedule } from "./online.js"
import { inPairs } from "./pairs.js"
import type { Chunked } from "./shares.js"
import { wideAlong } from "./vectors.js"
import { shareFolds, workgroupStore } from "./workgroup-store.js"

const storeSchedules: Readonly<
  Record<MachineClass, (store: Store, kernel: Kernel, machine: ScheduleTarget) => StoreSchedule>
> = { lane: laneStore, software: workgroupStore, simt: workgroupStore }

export function chooseSchedule(kernel: Kernel, target: ScheduleTarget): Schedule {
  const stores = kernel.items.filter((i) => i.kind === "store")
  const hosts = target.chunks === undefined ? [] : sharedFolds(stores)
  const chunked = stores.map((s, i) => (hosts[i] ? undefined : chunkSchedule(s, kernel, target)))
  const threads = Math.max(...chunked.map((c) => c?.threads ?? 0), 0) || target.threads
  const own = storeSchedules[target.rules]
  return {
    threads,
    subgroup: Math.min(target.subgroup, threads),
    stores: stores.map((s, i) => {
      const host = hosts[i]
      const along: StoreSchedule | undefined =
        host !== undefined && chunked[host.store] !== undefined
          ? { tile: {}, reduce: {}, computeWith: host }
          : undefined
      const made = along ?? chunked[i]?.schedule ?? own(s, kernel, { ...target, threads })
      return inPairs(target.rules === "lane" ? withLocals(made, s, kernel, target.vector) : made, s, kernel)
    }),
    locals: localFolds(kernel, target),
  }
}

function chunkSchedule(store: Store, kernel: Kernel, { chunks, rules }: ScheduleTarget): Chunked | undefined {
  const folds = outermostFolds(store.value)
  if (chunks === undefined || folds.length === 0) return undefined
  if (folds.every((r) => r.monoid.kind === "online")) return onlineSchedule(store, folds, kernel, chunks, rules)
  return chunks.contraction && folds.every((r) => r.monoid.kind === "sum")
    ? contractionSchedule(store, folds, kernel, chunks)
    : undefined
}

/** How the folds in locals are done. */
function localFolds(kernel: Kernel, target: ScheduleTarget): Readonly<Record<string, ReductionTile>> {
  const folds: Record<string, ReductionTile> = {}
  for (const item of kernel.items)
    if (item.kind === "local") {
      const wide = nodesOf([item.value], "reduce").filter((r) => wideAlong(r, kernel, target.vector))
      for (const r of wide) folds[r.axis] = { vector: target.vector }
      shareFolds(wide, [item.value], folds, target.subgroup, target)
    }
  return folds
}

/** One lane makes the locals that it stages by vectors, as long as those of its folds where they fit. */
function withLocals(made: StoreSchedule, store: Store, kernel: Kernel, vector: number): StoreSchedule {
  if (vector === 1) return made
  const longest = Math.max(vector, ...Object.values(made.reduce).map((r) => r.vector ?? 1))
  return { ...made, staged: { ...stagedLocals(store, kernel, [longest, vector]), ...made.staged } }
}
