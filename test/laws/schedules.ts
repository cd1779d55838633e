/**
 * Random schedules for a kernel, from the whole vocabulary of compiler/ir/schedule.ts.
 *
 *   { threads: 4, stores: [{ tile: { row: { block: 6, perThread: 3 }, dim: { block: "all", vector: 4 } }, reduce: { k: { group: 2 } } }], locals: … }
 *
 * Most are legal; a few ask for what `tile` has to refuse (a block that is no multiple of its registers, two vector axes, lanes that do not divide).
 */

import type fc from "fast-check"
import { literalExtent } from "../../compiler/ir/dim.js"
import { add, freeVariables, literal, walk } from "../../compiler/ir/expression.js"
import type { Kernel, Store } from "../../compiler/ir/kernel.js"
import { packed } from "../../compiler/ir/loop.js"
import type { TileOptions } from "../../compiler/ir/machine.js"
import type { Expression, Load } from "../../compiler/ir/nodes.js"
import { chainOf, outermostFolds } from "../../compiler/ir/query.js"
import {
  type AxisTile,
  type Fields,
  type ReductionTile,
  type Schedule,
  type StagedTile,
  type StoreSchedule,
  scheduleFields,
} from "../../compiler/ir/schedule.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { sharedFolds, sharedReads } from "../../compiler/schedule/compute-with.js"
import { Choices, decisions } from "./choices.js"

/** Numbers that schedules are drawn from. */
export const scheduleNumbers: fc.Arbitrary<readonly number[]> = decisions(48, 48)

export interface Scheduled {
  readonly schedule: Schedule
  readonly options: TileOptions
}

/**
 * The schedule that these numbers stand for; `turn` gives the kernels of one program different ones. `chunking`: how many of a hundred stores
 * are to take chunks; `overLanes`: how many of those of online folds are to have lanes along their channels, of which there are several if all are.
 */
export function drawSchedule(
  kernel: Kernel,
  numbers: readonly number[],
  turn = 0,
  chunking = 35,
  overLanes = 30,
): Scheduled {
  const from = numbers.length === 0 ? 0 : (turn * 7) % numbers.length
  const choose = new Choices([...numbers.slice(from), ...numbers.slice(0, from)])
  const threads = choose.of(overLanes === 100 ? [4, 2, 8, 32, 16] : [1, 1, 4, 2, 8, 1, 32, 3])
  const made = kernel.items.filter((i) => i.kind === "store")
  // In chunks those that have the same folds, else those that read the same as well.
  const [folds, reads] = [sharedFolds(made), sharedReads(made, kernel, {})]
  const chunks = folds.some((w) => w !== undefined) && choose.chance(60)
  const along = (chunks ? folds : reads).map((w) => (w !== undefined && choose.chance(65) ? w : undefined))
  const hosts = new Set(along.map((w) => w?.store))
  const halves = new Set(kernel.buffers.filter((b) => packed(b.storage)).map((b) => b.name))
  const stores = made.map((s, i): StoreSchedule => {
    const beside = along[i]
    if (beside !== undefined) return { tile: {}, reduce: {}, computeWith: beside }
    const lanes = choose.chance(overLanes) ? laneSchedule(s, threads, choose) : undefined
    return lanes ?? storeSchedule(s, threads, choose, halves, hosts.has(i) ? (chunks ? 95 : 5) : chunking)
  })
  const locals: Record<string, ReductionTile> = {}
  for (const item of kernel.items)
    if (item.kind === "local") {
      const together = choose.chance(45) ? sharing(threads, choose) : 1
      for (const axis of foldedAxes([item.value])) locals[axis] = folding(together, choose)
    }
  const options = { maxGroups: choose.of([65536, 2, 1, 7]), sharedBytes: 1 << 20 }
  const subgroup = choose.of([1, 4, 8, 2].filter((n) => n <= threads))
  const more = others("kernel", choose)
  return { schedule: { threads, stores, locals, ...(subgroup > 1 ? { subgroup } : {}), ...more }, options }
}

/** `halves`: the buffers with two elements to a word. Vectors and even registers along the last axis of memory store whole words. */
function storeSchedule(
  store: Store,
  lanes: number,
  choose: Choices,
  halves: ReadonlySet<string>,
  chunking: number,
): StoreSchedule {
  const last = store.axes.at(-1)
  if (halves.has(store.buffer) && last !== undefined && !choose.chance(10)) {
    const extent = literalExtent(last.extent)
    const wide = choose.of([2, 4, 8].filter((n) => n === 2 || (extent !== undefined && extent % n === 0)))
    const block = choose.of<number | "all">([wide, "all", 2 * wide])
    if (choose.chance(50)) return { tile: { [last.name]: { block, vector: wide } }, reduce: {} }
    return { tile: { [last.name]: { block, perThread: wide } }, reduce: foldings(store, lanes, choose) }
  }
  const reduce = foldings(store, lanes, choose)
  const staged = choose.chance(chunking) ? chunks(store, reduce, lanes, choose, halves) : undefined
  const shares = Object.values(reduce).some((r) => (r.group ?? 1) > 1) && staged === undefined
  // The last axis or the one before; most often one that ends with a whole vector.
  const [near, even] = [store.axes.slice(-2).reverse(), (a: Axis) => (literalExtent(a.extent) ?? 2) % 2 === 0]
  const fitting = near.some(even) && !choose.chance(10) ? near.filter(even) : near
  const vectored = choose.chance(40) && !shares ? choose.of(fitting)?.name : undefined
  const tile: Record<string, AxisTile> = {}
  const ends = new Set(outermostFolds(store.value).flatMap((r) => [...freeVariables(r.extent)]))
  for (const { name, extent } of store.axes) {
    if (choose.chance(12)) continue
    // All points of a block go through the same chunks.
    if (staged !== undefined && ends.has(name) && !choose.chance(5)) continue
    // A block that takes chunks has a known number of points; now and then one asks for another.
    const known = staged === undefined || literalExtent(extent) !== undefined || choose.chance(5)
    const perThread = choose.of(shares ? [1, 1, 1, 1, 2] : [1, 1, 1, 2, 4, 3])
    const vector = name === vectored ? width(extent, [4, 2, 8], choose) : choose.chance(1) ? 2 : 1
    const step = perThread * vector
    const odd = step + (choose.chance(6) ? 1 : 0)
    const all = known ? "all" : 4 * step
    // In chunks lanes have several points now and then, each with accumulators of its own.
    const block = choose.of<number | "all">(
      staged === undefined
        ? [all, step, 2 * step, 3 * step, step, 4 * step, odd, 8 * step]
        : [all, 2 * step, all, 4 * step, all, 3 * step, odd, 8 * step],
    )
    tile[name] = {
      block,
      ...(perThread > 1 ? { perThread } : {}),
      ...(vector > 1 ? { vector } : {}),
      ...others("axis", choose),
    }
  }
  const order = store.axes.map((a) => a.name)
  const raster = order.length > 1 && choose.chance(20) ? { raster: [...order.slice(1), order[0]!] } : {}
  return { tile, reduce, ...raster, ...(staged === undefined ? {} : { staged }), ...others("store", choose) }
}

/** Lanes along the channels of online folds, where a store has such. */
function laneSchedule(store: Store, threads: number, choose: Choices): StoreSchedule | undefined {
  const folds = outermostFolds(store.value)
  const [first] = folds
  if (threads === 1 || first === undefined || !folds.every((r) => r.monoid.kind === "online")) return undefined
  const inScore = new Set(folds.flatMap((r) => [...freeVariables(r.lift[0]!)]))
  const extentOf = (a: Axis) => literalExtent(a.extent)
  const along = store.axes.findLast((a) => !inScore.has(a.name) && (extentOf(a) ?? 1) > 1)
  if (along === undefined) return undefined
  const extent = extentOf(along)!
  const lanes = choose.of([2, 4, 8, 16].filter((n) => extent % n === 0 && threads % n === 0))
  if (lanes === undefined) return undefined
  const vector = choose.of([1, 2, 4, 8].filter((n) => (extent / lanes) % n === 0))
  const tile: Record<string, AxisTile> = {}
  for (const a of store.axes) {
    const [size, held] = [extentOf(a), choose.of([1, 2, 3, 4])]
    if (a === along) continue
    const all = size !== undefined && size <= 4 && size > 0
    tile[a.name] = all && choose.chance(60) ? { block: "all", perThread: size } : { block: held, perThread: held }
  }
  const perThread = extent / lanes / vector
  tile[along.name] = { block: "all", lanes, ...(vector > 1 ? { vector } : {}), ...(perThread > 1 ? { perThread } : {}) }
  const reduce: Record<string, ReductionTile> = {}
  for (const r of folds.flatMap((f) => outermostFolds(f.lift[0]!))) {
    const inner = literalExtent(r.extent) ?? 1
    const wide = choose.of([1, 2, 4].filter((n) => inner % (n * lanes) === 0))
    if (wide !== undefined && choose.chance(90))
      reduce[r.axis] = { group: lanes, ...(wide > 1 ? { vector: wide } : {}) }
  }
  const unroll = choose.of([1, 2, 4, 3])
  const tail = choose.chance(30) ? { peelTail: false } : {}
  const run = choose.chance(40) ? { run: choose.of([1, 2, 3]) } : {}
  for (const r of folds) reduce[r.axis] = { ...(unroll > 1 ? { innerUnroll: unroll } : {}), ...tail, ...run }
  return { tile, reduce }
}

/** How the folds of a store are done, all by the same number of lanes. */
function foldings(store: Store, lanes: number, choose: Choices): Record<string, ReductionTile> {
  const axes = foldedAxes([store.value, ...store.index])
  const together = axes.size > 0 && choose.chance(45) ? sharing(lanes, choose) : 1
  const reduce: Record<string, ReductionTile> = {}
  // Folds inside of others are shared by lanes that go through the others side by side.
  const outer = new Set([store.value, ...store.index].flatMap((x) => outermostFolds(x).map((r) => r.axis)))
  const inside = axes.size > outer.size && choose.chance(70) ? sharing(lanes, choose) : 1
  for (const axis of axes)
    if (inside > 1) reduce[axis] = folding(outer.has(axis) ? 1 : inside, choose)
    else if (choose.chance(60)) reduce[axis] = folding(together, choose)
  return reduce
}

/** Chunks for the outermost folds, in `reduce`, and what is held of them. */
function chunks(
  store: Store,
  reduce: Record<string, ReductionTile>,
  lanes: number,
  choose: Choices,
  halves: ReadonlySet<string>,
): StoreSchedule["staged"] {
  const folds = outermostFolds(store.value)
  if (folds.length === 0) return undefined
  for (const axis of Object.keys(reduce)) delete reduce[axis]
  const step = choose.of([1, 1, 2, 4])
  const tail = step === 1 && choose.chance(30) ? { peelTail: false } : choose.chance(40) ? { stages: 2 } : {}
  // Accumulators of all chunks most often, else of each.
  const run = choose.chance(25) ? { run: choose.of([1, 2, 3]) } : {}
  const chunk = {
    chunk: step * choose.of([1, 2, 3, 4]),
    ...(step > 1 ? { innerUnroll: step } : {}),
    ...tail,
    ...run,
    ...others("reduction", choose),
  }
  for (const r of folds) {
    const chain = r.monoid.kind === "online" ? [r] : chainOf(r)
    reduce[choose.chance(70) ? chain.at(-1)!.axis : r.axis] = chunk
  }
  const staged: Record<string, StagedTile> = {}
  const loads = new Map<string, Load>()
  walk(store.value, (x) => {
    if (x.kind === "load") loads.set(x.buffer, x)
  })
  const extents = [...foldedExtents(store.value), ...store.axes.map((a) => [a.name, a.extent] as const)]
  const filled = ([axis, extent]: (typeof extents)[number], by: "vector" | "perThread") => {
    const size = reduce[axis]?.chunk
    const wide = width(size === undefined ? extent : literal(size), [2, 4], choose)
    return { [axis]: { [by]: wide, ...others("filled", choose) } }
  }
  for (const name of [...loads.keys(), "scores"]) {
    const last = loads.get(name)?.index.at(-1)
    if (halves.has(name) && last?.kind === "variable" && choose.chance(80)) {
      const more = others("staged", choose)
      staged[name] = { tile: { [last.name]: { vector: choose.of([2, 4]) } }, packed: true, ...more }
      if (reduce[last.name]?.chunk !== undefined && !choose.chance(10)) {
        const even = { ...chunk, chunk: Math.max(4, step) * choose.of([1, 2]) }
        for (const axis of Object.keys(reduce)) reduce[axis] = even
      }
    } else if (choose.chance(60)) {
      const registers = choose.chance(30) ? choose.of(["vector", "perThread"] as const) : undefined
      const load = loads.get(name)
      const along = extents.filter(([a]) => load === undefined || load.index.some((x) => freeVariables(x).has(a)))
      const even = along.filter(([a, e]) => (reduce[a]?.chunk ?? literalExtent(e) ?? 2) % 2 === 0)
      const places = even.length > 0 && !choose.chance(10) ? even : along
      const tile = registers === undefined || places.length === 0 ? {} : filled(choose.of(places), registers)
      const fold =
        name === "scores" && choose.chance(75)
          ? { fold: folding(choose.chance(90) ? sharing(lanes, choose) : 1, choose, [1, 2, 3]) }
          : {}
      const interleave = choose.chance(25) && places.length > 0 ? { interleave: choose.of(places)[0] } : {}
      staged[name] = { tile, ...others("staged", choose), ...fold, ...interleave }
    }
  }
  return staged
}

/** Elements at once: a number that divides the extent where that is known, 1 if none does, but now and then. */
function width(extent: Expression, widths: readonly number[], choose: Choices): number {
  const known = literalExtent(extent)
  if (known === undefined || choose.chance(10)) return choose.of(widths)
  const divisors = widths.filter((n) => known % n === 0)
  return divisors.length === 0 ? 1 : choose.of(divisors)
}

/** Lanes that share a reduction: a power of two that divides the workgroup's, but now and then. */
function sharing(lanes: number, choose: Choices): number {
  const powers = [32, 8, 4, 2].filter((n) => lanes % n === 0)
  return choose.chance(5) ? 3 : powers.length === 0 ? 1 : choose.of(powers)
}

function folding(lanes: number, choose: Choices, unrolls = [1, 1, 2, 1, 3]): ReductionTile {
  const vector = choose.of([1, 4, 2, 1, 8])
  const accumulators = choose.of(unrolls)
  const run = choose.chance(40) ? { run: choose.of([1, 2, 3]) } : {}
  const shared = lanes > 1 ? { group: lanes } : {}
  const unroll = choose.chance(25) ? { innerUnroll: choose.of([2, 4, 3, 8]) } : {}
  return {
    ...(vector > 1 ? { vector } : {}),
    ...(accumulators > 1 ? { accumulators } : {}),
    ...shared,
    ...run,
    ...unroll,
    ...others("reduction", choose),
  }
}

/** Fields that are drawn above, with what they hang together with. */
const drawn: { readonly [P in keyof typeof scheduleFields]: readonly (keyof (typeof scheduleFields)[P])[] } = {
  kernel: ["threads", "subgroup", "stores", "locals"],
  store: ["tile", "reduce", "raster", "staged", "computeWith"],
  axis: ["block", "perThread", "vector", "lanes"],
  reduction: ["vector", "accumulators", "group", "chunk", "stages", "peelTail", "innerUnroll", "run"],
  staged: ["tile", "interleave", "packed", "fold"],
  filled: ["perThread", "vector"],
}

/** All other truths and numbers that may be said, now and then. */
function others<P extends keyof typeof scheduleFields>(place: P, choose: Choices): Readonly<Record<string, never>> {
  const known = new Set<string>(drawn[place] as readonly string[])
  const said = Object.entries(scheduleFields[place] as Fields).flatMap(([name, { form, leftOut }]) => {
    if (known.has(name)) return []
    const numbers = form.kind === "count" ? [1, 4, 2].filter((n) => n >= form.least && n <= (form.most ?? n)) : []
    const values = (form.kind === "truth" ? [false, true] : numbers).filter((x) => x !== leftOut)
    return values.length > 0 && choose.chance(40) ? [[name, choose.of<number | boolean>(values)]] : []
  })
  return Object.fromEntries(said)
}

export const foldedAxes = (values: readonly Expression[]): ReadonlySet<string> =>
  new Set(values.flatMap((v) => [...foldedExtents(v).keys()]))

function foldedExtents(value: Expression): ReadonlyMap<string, Expression> {
  const found = new Map<string, Expression>()
  walk(value, (x) => {
    if (x.kind === "reduce") found.set(x.axis, x.extent)
    else if (x.kind === "scan") found.set(x.axis, add(x.at, literal(1)))
  })
  return found
}
