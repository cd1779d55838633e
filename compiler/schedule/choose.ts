/**
 * schedule: kernel → schedule, by documented rules. They must stand on their own; a tuned file may replace them later.
 *
 * Each store has, in this order:
 * - the schedule of another store, with which it shares its folds (`compute-with.ts`);
 * - matrix units, where the machine has some and the folds are products (`products/atoms.ts`);
 * - chunks that the workgroup takes together: of online folds everywhere (`online.ts`), of contractions where threads share what they stage
 *   (`products/contraction.ts`);
 * - what the rules of the machine's class say of stores: `one-lane-store.ts` or `workgroup-store.ts`.
 * What all blocks make alike may come before them (`prologue.ts`).
 * The numbers in all of them stand in `rules.ts`.
 */

import { hinted } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import type { Kernel, Store } from "../ir/kernel.js"
import type { MachineClass, ScheduleTarget } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import { outermostFolds } from "../ir/query.js"
import type { Schedule, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { besides } from "../tile/tile.js"
import { sharedFolds, sharedReads } from "./compute-with.js"
import { localFolds, withLocals, withoutShared } from "./locals.js"
import { laneStore } from "./one-lane-store.js"
import { onlineSchedule } from "./online.js"
import { inPairs } from "./pairs.js"
import { atomSchedule } from "./products/atoms.js"
import { contractionSchedule } from "./products/contraction.js"
import { onlineAtomSchedule } from "./products/online.js"
import { workgroupsFor } from "./prologue.js"
import { type Chunked, volume } from "./shares.js"
import { binsOf, workgroupStore } from "./workgroup-store.js"

type OwnSchedule = (
  store: Store,
  kernel: Kernel,
  machine: ScheduleTarget,
  along: readonly Expression[],
) => StoreSchedule

const storeSchedules: Readonly<Record<MachineClass, OwnSchedule>> = {
  lane: laneStore,
  software: workgroupStore,
  simt: workgroupStore,
}

export function chooseSchedule(kernel: Kernel, target: ScheduleTarget): Schedule {
  const made = scheduleFor(kernel, target)
  if (target.rules !== "simt" || made.threads !== target.threads || !foldsOnce(kernel)) return made
  // Threads that share no fold would repeat it.
  const tiles = [made.locals, ...made.stores.map((s) => s.reduce)].flatMap((r) => Object.values(r))
  const threads = Math.max(made.subgroup ?? 1, ...tiles.map((r) => r.group ?? 1))
  return threads < made.threads ? scheduleFor(kernel, { ...target, threads }) : made
}

/** Whether all points of a kernel have the same folds, and blocks hold nothing but single elements. */
function foldsOnce({ items }: Kernel): boolean {
  return items.every((i) => {
    if (i.kind === "local") return i.axes.every((a) => hinted(a.extent) === 1)
    const folds = outermostFolds(i.value)
    const apart = i.axes.filter((a) => folds.some((r) => freeVariables(r).has(a.name)))
    return folds.length > 0 && apart.every((a) => hinted(a.extent) === 1)
  })
}

function scheduleFor(kernel: Kernel, target: ScheduleTarget): Schedule {
  const stores = kernel.items.filter((i) => i.kind === "store")
  const chunked = stores.map((s) => chunkSchedule(s, kernel, target))
  const hosts = hostsOf(stores, chunked, kernel, target)
  const threads = Math.max(...chunked.map((c, i) => (hosts[i] ? 0 : (c?.threads ?? 0))), 0) || target.threads
  const machine = { ...target, threads }
  const apart = { ...kernel, items: kernel.items.filter((i) => i.kind === "local" || !hosts[stores.indexOf(i)]) }
  const own = storeSchedules[target.rules]
  const made = stores.map((s, i): StoreSchedule => {
    const host = hosts[i]
    if (host !== undefined) return { tile: {}, reduce: {}, computeWith: host }
    const along = besides(i, stores, hosts).map((b) => b.value)
    const schedule = chunked[i]?.schedule ?? own(s, apart, machine, along)
    if (schedule.atom !== undefined) return schedule
    return inPairs(withLocals(schedule, s, kernel, target), s, kernel, target)
  })
  const subgroup = Math.min(target.subgroup, threads)
  const workgroups = threads === target.threads ? workgroupsFor(kernel, made, target) : undefined
  const few = workgroups === undefined ? {} : { workgroups }
  const locals = localFolds(kernel, made, machine)
  return { threads, subgroup, ...few, stores: made.map((s) => withoutShared(s, kernel, locals)), locals }
}

/** Per store: the one that it is made along with. Of folds in chunks that have the same; elsewhere of those that read the same. */
function hostsOf(
  stores: readonly Store[],
  chunked: readonly (Chunked | undefined)[],
  kernel: Kernel,
  target: ScheduleTarget,
) {
  const inChunks = sharedFolds(stores).map((h) => (h !== undefined && chunked[h.store] !== undefined ? h : undefined))
  const plain = stores.filter(
    (s, i) => chunked[i] === undefined && inChunks[i] === undefined && binsOf(s, target.rules) === undefined,
  )
  const shared = sharedReads(plain, kernel, target)
  return stores.map((s, i) => {
    const along = shared[plain.indexOf(s)]
    return inChunks[i] ?? (along && { ...along, store: stores.indexOf(plain[along.store]!) })
  })
}

/** The blocks of a store whose folds a workgroup takes together; undefined of any other. */
export function blocksTogether(store: Store, kernel: Kernel, target: ScheduleTarget): number | undefined {
  const tile = chunkSchedule(store, kernel, target)?.schedule.tile
  return tile && store.axes.reduce((n, a) => n * blocksAlong(a, tile[a.name]?.block ?? 1), 1)
}

const blocksAlong = (a: Axis, block: number | "all"): number => (block === "all" ? 1 : Math.ceil(volume([a]) / block))

function chunkSchedule(store: Store, kernel: Kernel, { atoms, chunks, rules }: ScheduleTarget): Chunked | undefined {
  const folds = outermostFolds(store.value)
  const isOnline = folds.some((r) => r.monoid.kind === "online")
  const byAtoms = atoms && (isOnline ? onlineAtomSchedule : atomSchedule)(store, kernel, atoms)
  if (byAtoms !== undefined) return byAtoms
  if (chunks === undefined || folds.length === 0) return undefined
  if (folds.every((r) => r.monoid.kind === "online")) return onlineSchedule(store, folds, kernel, chunks, rules)
  return chunks.contraction && folds.every((r) => r.monoid.kind === "sum")
    ? contractionSchedule(store, folds, kernel, chunks)
    : undefined
}
