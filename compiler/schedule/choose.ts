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
import { outermostFolds } from "../ir/query.js"
import type { Schedule, StoreSchedule } from "../ir/schedule.js"
import { sharedFolds } from "./compute-with.js"
import { contractionSchedule } from "./contraction.js"
import { localFolds, withLocals } from "./locals.js"
import { laneStore } from "./one-lane-store.js"
import { onlineSchedule } from "./online.js"
import { inPairs } from "./pairs.js"
import type { Chunked } from "./shares.js"
import { workgroupStore } from "./workgroup-store.js"

const storeSchedules: Readonly<
  Record<MachineClass, (store: Store, kernel: Kernel, machine: ScheduleTarget) => StoreSchedule>
> = { lane: laneStore, software: workgroupStore, simt: workgroupStore }

export function chooseSchedule(kernel: Kernel, target: ScheduleTarget): Schedule {
  const stores = kernel.items.filter((i) => i.kind === "store")
  const hosts = target.chunks === undefined ? [] : sharedFolds(stores)
  const chunked = stores.map((s, i) => (hosts[i] ? undefined : chunkSchedule(s, kernel, target)))
  const threads = Math.max(...chunked.map((c) => c?.threads ?? 0), 0) || target.threads
  const own = storeSchedules[target.rules]
  const made = stores.map((s, i) => {
    const host = hosts[i]
    const along: StoreSchedule | undefined =
      host !== undefined && chunked[host.store] !== undefined ? { tile: {}, reduce: {}, computeWith: host } : undefined
    const schedule = along ?? chunked[i]?.schedule ?? own(s, kernel, { ...target, threads })
    return inPairs(withLocals(schedule, s, kernel, target), s, kernel)
  })
  const subgroup = Math.min(target.subgroup, threads)
  return { threads, subgroup, stores: made, locals: localFolds(kernel, made, { ...target, threads }) }
}

function chunkSchedule(store: Store, kernel: Kernel, { chunks, rules }: ScheduleTarget): Chunked | undefined {
  const folds = outermostFolds(store.value)
  if (chunks === undefined || folds.length === 0) return undefined
  if (folds.every((r) => r.monoid.kind === "online")) return onlineSchedule(store, folds, kernel, chunks, rules)
  return chunks.contraction && folds.every((r) => r.monoid.kind === "sum")
    ? contractionSchedule(store, folds, kernel, chunks)
    : undefined
}
