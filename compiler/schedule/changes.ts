/**
 * Changes of a schedule: one field another value, and what has to follow it.
 *
 *   { seq: { block: 4, perThread: 4 } }   perThread 8   →   { seq: { block: 8, perThread: 8 } }
 *   { embed: { vector: 4, accumulators: 4 } }  accumulators 1   →   { embed: { vector: 4 } }
 *
 * Stores whose schedules say the same of the axis in question change together, like those of siblings that read one input. Whether a change is
 * legal is for `tile` to say; here only what cannot be better is left out: blocks beyond an extent, and more elements than a lane can hold.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import type { Kernel, Store } from "../ir/kernel.js"
import type { ScheduleTarget } from "../ir/machine.js"
import { outermostFolds } from "../ir/query.js"
import {
  type AxisTile,
  type Fields,
  type ReductionTile,
  type Schedule,
  type StagedTile,
  type StoreSchedule,
  scheduleFields,
} from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { triedValues, tuneRules } from "./rules.js"

export interface Change {
  /** What is changed; two changes of one knob make no pair. */
  readonly knob: string
  /** Undefined where it does not apply. */
  readonly apply: (schedule: Schedule) => Schedule | undefined
}

const { powers } = tuneRules

/** The changes that a schedule suggests, those of the store that computes most first. */
export function changesOf(kernel: Kernel, schedule: Schedule, target: ScheduleTarget): readonly Change[] {
  const stores = kernel.items.filter((i) => i.kind === "store")
  const changes: Change[] = []
  const known = new Set<string>()
  for (const [i] of [...stores.entries()].sort((p, q) => volume(q[1]) - volume(p[1]))) {
    // Blocks for matrix units are chosen as a whole (choices.ts).
    if (schedule.stores[i]!.computeWith !== undefined || schedule.stores[i]!.atom !== undefined) continue
    for (const change of storeChanges(stores, i, schedule, target)) {
      changes.push(change)
    }
  }
  for (const [axis, given] of Object.entries(schedule.locals))
    for (const next of foldings(given, target))
      changes.push({
        knob: `local ${axis}`,
        apply: (s) => ({ ...s, locals: { ...s.locals, [axis]: next } }),
      })
  if (target.threads > 1 && schedule.stores.every((s) => s.atom === undefined))
    for (const threads of [schedule.threads * 2, schedule.threads / 2])
      if (Number.isInteger(threads) && threads <= tuneRules.threads)
        changes.push({
          knob: "threads",
          apply: (s) => ({ ...s, threads, ...(s.subgroup && { subgroup: Math.min(s.subgroup, threads) }) }),
        })
  for (const next of tried("kernel", schedule, target))
    changes.push({ knob: "kernel", apply: (s) => ({ ...s, ...next }) })
  return changes.filter(({ knob, apply }) => {
    // Siblings suggest what has been suggested for all of them.
    const made = JSON.stringify([knob.split("@")[0], apply(schedule)])
    if (known.has(made)) return false
    known.add(made)
    return true
  })
}

const volume = (s: Store): number => {
  const points = s.axes.reduce((n, a) => n * Math.max(1, hinted(a.extent)), 1)
  return points * (1 + outermostFolds(s.value).reduce((n, r) => n + Math.max(1, hinted(r.extent)), 0))
}

/** The stores of a kernel as they are scheduled, and the number of the one that is changed. */
interface Scheduled {
  readonly stores: readonly Store[]
  readonly schedule: Schedule
  readonly at: number
}

function storeChanges(
  stores: readonly Store[],
  at: number,
  schedule: Schedule,
  target: ScheduleTarget,
): readonly Change[] {
  const of = { stores, schedule, at }
  const own = [...tried("store", schedule.stores[at]!, target)].map(
    (next): Change => ({ knob: "store", apply: (s) => editStore(s, at, (store) => ({ ...store, ...next })) }),
  )
  const changes = [...tileChanges(of, target), ...foldChanges(of, target), ...stagedChanges(of, target), ...own]
  return changes.map((c) => ({ ...c, knob: `${c.knob}@${at}` }))
}

function* tileChanges({ stores, schedule, at }: Scheduled, target: ScheduleTarget): Iterable<Change> {
  const { axes } = stores[at]!
  const { tile } = schedule.stores[at]!
  // The axes of other stores that stand where this one does and are laid out alike.
  const alike = (position: number) =>
    stores.flatMap((s, j): readonly { readonly store: number; readonly axis: Axis }[] => {
      const axis = s.axes[position === axes.length - 1 ? s.axes.length - 1 : position]
      const same =
        axis !== undefined &&
        JSON.stringify(schedule.stores[j]!.tile[axis.name]) === JSON.stringify(tile[axes[position]!.name])
      return same ? [{ store: j, axis }] : []
    })
  for (const [position, axis] of axes.entries()) {
    const places = alike(position)
    for (const next of tiles(tile[axis.name] ?? { block: 1 }, axis, position === axes.length - 1, target))
      yield {
        knob: `tile ${axis.name}`,
        apply: (s) =>
          places.reduce<Schedule | undefined>(
            (made, p) => made && editStore(made, p.store, (store) => withTile(store, p.axis, next)),
            s,
          ),
      }
  }
}

function* foldChanges({ stores, schedule, at }: Scheduled, target: ScheduleTarget): Iterable<Change> {
  const { reduce } = schedule.stores[at]!
  for (const [name, given] of Object.entries(reduce))
    for (const next of given.chunk === undefined ? foldings(given, target) : chunks(given, target))
      yield { knob: given.chunk === undefined ? `reduce ${name}` : "chunk", apply: setFolds(schedule, given, next) }
  // Folds that the rules leave as they are.
  const bare = outermostFolds(stores[at]!.value).filter((r) => reduce[r.axis] === undefined && r.monoid.kind === "sum")
  if (bare.length === 0 || Object.values(reduce).some((r) => r.chunk !== undefined)) return
  for (const accumulators of tuneRules.accumulators) {
    const own = Object.fromEntries(bare.map((r) => [r.axis, { accumulators }]))
    yield {
      knob: "reduce bare",
      apply: (s) => editStore(s, at, (store) => ({ ...store, reduce: { ...store.reduce, ...own } })),
    }
  }
}

/** All folds of a schedule that are done alike, another way. */
function setFolds(schedule: Schedule, given: ReductionTile, next: ReductionTile): Change["apply"] {
  const places = schedule.stores.flatMap(({ reduce }, store) =>
    Object.keys(reduce)
      .filter((name) => JSON.stringify(reduce[name]) === JSON.stringify(given))
      .map((name) => ({ store, name })),
  )
  return (s) =>
    places.reduce<Schedule | undefined>(
      (made, { store, name }) =>
        made && editStore(made, store, (own) => ({ ...own, reduce: { ...own.reduce, [name]: next } })),
      s,
    )
}

function* stagedChanges({ schedule, at }: Scheduled, target: ScheduleTarget): Iterable<Change> {
  for (const [name, given] of Object.entries(schedule.stores[at]!.staged ?? {})) {
    const knob = `staged ${name}`
    for (const next of stagedTiles(given, target))
      yield {
        knob,
        apply: (s) => editStore(s, at, (store) => ({ ...store, staged: { ...store.staged, [name]: next } })),
      }
    if (name === "scores") continue
    yield {
      knob,
      apply: (s) =>
        editStore(s, at, (store) => {
          const { [name]: _, ...staged } = store.staged ?? {}
          return { ...store, staged }
        }),
    }
  }
}

const editStore = (
  s: Schedule,
  at: number,
  edit: (store: StoreSchedule) => StoreSchedule | undefined,
): Schedule | undefined => {
  const made = edit(s.stores[at]!)
  return made && { ...s, stores: s.stores.map((store, i) => (i === at ? made : store)) }
}

/** The tile of an axis; a vector there takes the place of one elsewhere, and a block is whole tiles. */
function withTile(store: StoreSchedule, axis: Axis, next: AxisTile): StoreSchedule | undefined {
  const step = (next.perThread ?? 1) * (next.vector ?? 1)
  const extent = literalExtent(axis.extent)
  if (extent !== undefined && step > Math.max(1, extent)) return undefined
  const block = next.block === "all" ? next.block : Math.ceil(next.block / step) * step
  const others = Object.entries(store.tile).map(([name, t]): [string, AxisTile] => {
    if ((next.vector ?? 1) === 1 || (t.vector ?? 1) === 1) return [name, t]
    const { vector: _, ...plain } = t
    return [name, plain]
  })
  const tile = { ...Object.fromEntries(others), [axis.name]: { ...next, block } }
  const elements = Object.values(tile).reduce((n, t) => n * (t.perThread ?? 1) * (t.vector ?? 1), 1)
  return elements > tuneRules.elementsPerThread ? undefined : { ...store, tile }
}

function* tiles(given: AxisTile, axis: Axis, last: boolean, target: ScheduleTarget): Iterable<AxisTile> {
  const extent = Math.max(1, hinted(axis.extent))
  const { block, perThread = 1, vector = 1 } = given
  const step = perThread * vector
  for (const next of powers) if (next !== perThread && next * vector <= extent) yield { ...given, perThread: next }
  if (perThread !== 3 && 3 * vector <= extent) yield { ...given, perThread: 3 }
  const blocks = block === "all" ? [extent / 2, extent / 4] : [block * 2, block / 2, block * 4, block / 4]
  for (const next of blocks) {
    const whole = Math.ceil(next / step) * step
    if (next >= 1 && whole !== block && (whole < 2 * extent || whole === step)) yield { ...given, block: whole }
  }
  if (block !== "all" && block < extent && literalExtent(axis.extent) !== undefined) yield { ...given, block: "all" }
  if (vector > 1) yield { ...given, vector: 1, perThread: perThread * vector }
  if (vector > 1) yield { ...given, vector: 1 }
  if (last && vector === 1 && target.vector > 1) yield { ...given, vector: target.vector }
  for (const next of tried("axis", given, target)) yield { ...given, ...next }
}

/** Other ways to fold: vectors, several at once, lanes that share. */
function* foldings(given: ReductionTile, target: ScheduleTarget): Iterable<ReductionTile> {
  const { vector = 1, accumulators = 1, group = 1, innerUnroll } = given
  if (innerUnroll !== undefined) {
    for (const next of powers) if (next !== innerUnroll) yield { ...given, innerUnroll: next }
    if (group === 1) return
  }
  for (const next of powers)
    if (next !== accumulators && next * vector <= tuneRules.accumulated) yield { ...given, accumulators: next }
  if (vector > 1) yield { ...given, vector: 1 }
  else if (target.vector > 1) yield { ...given, vector: target.vector }
  for (let next = 1; next <= target.threads; next *= 2)
    if (next !== group && (next === 1 || next >= tuneRules.group)) yield { ...given, group: next }
  for (const next of tried("reduction", given, target)) yield { ...given, ...next }
}

function* chunks(given: ReductionTile, target: ScheduleTarget): Iterable<ReductionTile> {
  const { chunk = 1, innerUnroll = 1 } = given
  for (const next of [chunk * 2, chunk / 2, chunk * 4, chunk / 4])
    if (Number.isInteger(next) && next >= innerUnroll) yield { ...given, chunk: next }
  for (const next of powers) if (next !== innerUnroll && chunk % next === 0) yield { ...given, innerUnroll: next }
  for (const next of tried("reduction", given, target)) yield { ...given, ...next }
}

function* stagedTiles(given: StagedTile, target: ScheduleTarget): Iterable<StagedTile> {
  const { tile, fold } = given
  for (const next of tried("staged", given, target)) yield { ...given, ...next }
  if (fold === undefined) yield { ...given, packed: given.packed !== true }
  for (const [name, { perThread = 1, vector = 1 }] of Object.entries(tile)) {
    if (vector > 1) yield { ...given, tile: { ...tile, [name]: {} } }
    else
      for (const next of tuneRules.fills)
        if (next !== perThread) yield { ...given, tile: { ...tile, [name]: { perThread: next } } }
  }
  if (fold !== undefined) for (const next of foldings(fold, target)) yield { ...given, fold: next }
}

/** Other values of the fields that are tried whatever else is said. */
function* tried(place: keyof typeof scheduleFields, given: object, target: ScheduleTarget): Iterable<object> {
  if (target.threads === 1) return
  const said = new Map<string, unknown>(Object.entries(given))
  for (const [name, values] of Object.entries(triedValues[place] ?? {})) {
    const { leftOut } = (scheduleFields[place] as Fields)[name]!
    for (const value of values) if (value !== (said.get(name) ?? leftOut)) yield { [name]: value }
  }
}
