/**
 * tile: kernel × schedule → loops, or a refusal with code and reason.
 *
 *   Store y[s, o] = sum_k(x[s, k] · w[o, k])   with   { tile: { o: { block: 64, perThread: 4 } }, reduce: { k: { vector: 4 } } }
 *   →  for g grid { for lane { for p < 16 { 4 accumulators; for k { … } 4 stores } } }
 *
 * The grid is the concatenation of the stores' blocks. Where the schedule says how many workgroups take them, what depends on no block comes before the
 * grid, once for each workgroup (staging/prologue.ts). A block first computes the locals that its store reads (over the part that it owns),
 * then runs over its points; a point is a register tile. Points that lie whole inside the domain take the fast body, boundary points a scalar
 * one. With one lane locals live in registers, with several in shared memory behind a barrier.
 */

import { type Dim, literalExtent, maximum } from "../ir/dim.js"
import { add, apply, literal, mul, substitute, variable } from "../ir/expression.js"
import { foldLengths } from "../ir/fold-lengths.js"
import { type Kernel, type Store, written } from "../ir/kernel.js"
import { type LoopKernel, packed, type Statement, storageBytes } from "../ir/loop.js"
import { everyStatement, symbolsOf } from "../ir/loop-visit.js"
import type { TileOptions } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import { loadedIn } from "../ir/query.js"
import type { Refusal, Schedule, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { binAxis, emitBins } from "./bins/emit.js"
import { type BlockAxis, type Build, blockAxis, createLowerer, everywhere, laneGroup, Refused } from "./block.js"
import { emitFragments } from "./fragments/fragments.js"
import { emitIterations } from "./iterations.js"
import { emitOverLanes, laneAxis } from "./lanes/lanes.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { stagedPivots, stagedReads } from "./online.js"
import { emitChunked, runOfChunks, shapeOf } from "./pipeline.js"
import { emitStaged, type OpenChunk } from "./staging/homes.js"
import { createPrologue, gridLoops } from "./staging/prologue.js"
import { isInChunks, type StagedInChunks, stage } from "./staging/stage.js"
import type { StagedLocal } from "./staging/staged.js"
import { solve, stepsInside } from "./values.js"

export const isRefusal = (x: LoopKernel | Refusal): x is Refusal => "code" in x

export function tile(kernel: Kernel, schedule: Schedule, options: TileOptions): LoopKernel | Refusal {
  try {
    return build(kernel, schedule, options)
  } catch (e) {
    if (e instanceof Refused) return e.refusal
    throw e
  }
}

function build(kernel: Kernel, schedule: Schedule, options: TileOptions): LoopKernel {
  const stores = kernel.items.filter((i) => i.kind === "store")
  if (schedule.stores.length !== stores.length)
    throw new Refused(
      "schedule/shape",
      `the kernel has ${stores.length} stores but the schedule ${schedule.stores.length}`,
    )
  const lengths = foldLengths(kernel)
  const prologue = undefined
  const memory = { shared: new Map(), taken: new Set<string>(), bins: new Set<string>() }
  const terms = options.atomTerms ?? 2
  const parts: Build = { kernel, schedule, fresh: freshNames(), ...memory, lengths, terms, prologue }
  const group = variable("group")
  const hosts = schedule.stores.map((s) => s.computeWith)
  const sections = stores.map((store, i) => section(store, schedule.stores[i]!, besides(i, stores, hosts), parts))
  let start: Expression = literal(0)
  const starts = sections.map((s) => {
    const before = start
    start = add(start, s.groups)
    return before
  })
  const total = start
  if (schedule.workgroups !== undefined) parts.prologue = createPrologue(parts, total)
  // Sections in a chain of ifs: the group number says whose block this is.
  const chain = sections.reduceRight<readonly Statement[]>((otherwise, s, i) => {
    parts.taken.clear()
    const body = s.emit(apply("sub", group, starts[i]!))
    if (i === sections.length - 1) return body
    return [{ kind: "if", condition: apply("lt", group, starts[i + 1]!), body, otherwise }]
  }, [])
  const bytes = [...parts.shared.values()].reduce(
    (n, { dtype, size, storage }) => n + storageBytes(storage ?? dtype) * size,
    0,
  )
  const hasAtoms = everyStatement(chain).some((s) => s.kind === "multiply")
  const most = hasAtoms ? (options.atomBytes ?? options.sharedBytes) : options.sharedBytes
  if (bytes > most) throw new Refused("local/size", `the locals of a block take ${bytes} bytes, but ${most} are there`)
  const body = gridLoops(parts, total, chain)
  const half = options.singleHalves === true ? undefined : storedSingly(kernel, body)
  if (half !== undefined)
    throw new Refused("store/packed", `two elements of '${half}' share a word; a store has to write both`)
  return {
    name: kernel.name,
    buffers: loopBuffers(kernel),
    symbols: [...symbolsOf(body)].sort(),
    threads: schedule.threads,
    groups: Math.max(1, Math.min(options.maxGroups, schedule.workgroups ?? options.maxGroups, maximum(total))),
    body,
  }
}

/** Names of which none is given twice. */
function freshNames(): (stem: string) => string {
  const counts = new Map<string, number>()
  return (stem) => {
    const clean = stem.replace(/[^A-Za-z0-9]/g, "_")
    const n = counts.get(clean) ?? 0
    counts.set(clean, n + 1)
    return `${clean}_${n}`
  }
}

function loopBuffers(kernel: Kernel): LoopKernel["buffers"] {
  const writes = written(kernel)
  const reads = loadedIn(kernel.items.map((item) => item.value))
  return kernel.buffers.map(({ name, dtype, storage, shape }) => ({
    name,
    dtype,
    storage,
    size: literal(shape.reduce((n, s) => n * s, 1)),
    access: writes.has(name) ? (reads.has(name) ? "readwrite" : "write") : "read",
  }))
}

/** An array of halves of which some store writes one alone. */
function storedSingly(kernel: Kernel, body: readonly Statement[]): string | undefined {
  const statements = everyStatement(body)
  const halves = new Set(kernel.buffers.flatMap((b) => (packed(b.storage) ? [b.name] : [])))
  for (const s of statements) if (s.kind === "alloc" && s.storage !== undefined) halves.add(s.name)
  const found = statements.find((s) => s.kind === "store" && halves.has(s.array) && s.value.width % 2 !== 0)
  return found?.kind === "store" ? found.array : undefined
}

/** The stores that are made along with store `i`, over its axes. */
export function besides(
  i: number,
  stores: readonly Store[],
  hosts: readonly StoreSchedule["computeWith"][],
): readonly Store[] {
  const host = new Map(stores[i]!.axes.map((a) => [a.name, a]))
  return stores.flatMap((s, j): readonly Store[] => {
    const along = hosts[j]
    if (along?.store !== i) return []
    const axes = s.axes.map((a) => host.get(along.axes[a.name] ?? ""))
    if (axes.some((a, at) => a === undefined || a.extent !== s.axes[at]!.extent))
      throw new Refused("schedule/unknown-axis", `store ${j} is not over axes of store ${i}`)
    if (!everywhere(stores[i]!.axes, Object.values(along.axes)))
      throw new Refused("schedule/shape", `store ${i} may have no points where store ${j} has some`)
    const renamed = new Map(s.axes.map((a, at) => [a.name, variable(axes[at]!.name)] as const))
    const to = (x: Expression) => substitute(x, renamed)
    return [{ ...s, axes: axes as Axis[], index: s.index.map(to), value: to(s.value) }]
  })
}

function section(
  store: Store,
  schedule: StoreSchedule,
  beside: readonly Store[],
  parts: Build,
): { readonly groups: Dim; emit(cell: Expression): readonly Statement[] } {
  if (schedule.computeWith !== undefined) return { groups: literal(0), emit: () => [] }
  const names = new Set(store.axes.map((a) => a.name))
  for (const name of Object.keys(schedule.tile))
    if (!names.has(name)) throw new Refused("schedule/unknown-axis", `the store has no axis '${name}'`)
  const axes = store.axes.map((axis) => blockAxis(axis, schedule.tile[axis.name] ?? { block: 1 }, parts.fresh))
  if (axes.filter((a) => (a.tile.vector ?? 1) > 1).length > 1)
    throw new Refused("tile/vector", "only one axis of a store may be a vector")
  const vectored = axes.find((a) => (a.tile.vector ?? 1) > 1)
  const ends = [store, ...beside].flatMap((s) => [s.value, ...s.index])
  if (vectored !== undefined && ends.some((x) => stepsInside(x, vectored.axis.name)))
    throw new Refused("tile/vector", `a prefix ends at '${vectored.axis.name}', elsewhere in each lane`)
  if (axes.some((a) => literalExtent(a.axis.extent) === 0)) return { groups: literal(0), emit: () => [] }
  const groups = axes.reduce<Dim>((n, a) => mul(n, a.cells), literal(1))
  return { groups, emit: (cell) => emitSection(store, axes, schedule, beside, cell, parts) }
}

function emitSection(
  store: Store,
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  beside: readonly Store[],
  cell: Expression,
  parts: Build,
): readonly Statement[] {
  const out: Statement[] = []
  emitCells(rasterOf(axes, schedule.raster), schedule.backwards === true, cell, parts, out)
  const folding: Lowerer["folding"] = (axis) => schedule.reduce[axis] ?? {}
  const own = parts.kernel.items.filter((i) => i.kind === "local")
  const locals = own.map((l): StagedLocal => ({ ...l, tile: schedule.staged?.[l.name] ?? { tile: {} } }))
  const cells = axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name]))
  if (laneAxis(axes) !== undefined) {
    const stores = [store, ...beside]
    const values = stores.flatMap((s) => [s.value, ...s.index])
    const { lowerer } = emitStaged({ values, axes, locals, chunk: undefined, folding }, parts, out)
    const scope: Scope = { out, bound: new Set(cells), vector: undefined, lanes: undefined, solved: new Map() }
    emitOverLanes(stores, axes, schedule, lowerer, scope, parts)
    return out
  }
  if (schedule.atom !== undefined) {
    const scope: Scope = { out, bound: new Set(cells), vector: undefined, lanes: undefined, solved: new Map() }
    emitFragments([store, ...beside], axes, schedule, locals, scope, parts)
    return out
  }
  const bins = binAxis(axes, schedule)
  if (bins !== undefined) {
    if (beside.length > 0) throw new Refused("reduce/bins", "bins are filled for one store")
    const values = [store.value, ...store.index]
    const { lowerer } = emitStaged({ values, axes, locals, chunk: undefined, folding }, parts, out)
    const scope: Scope = { out, bound: new Set(cells), vector: undefined, lanes: undefined, solved: new Map() }
    emitBins(store, axes, bins, schedule, lowerer, scope, parts)
    return out
  }
  const staged = stage(store, schedule, parts.fresh("staged"), beside)
  const all = [...locals, ...staged.locals]
  if (isInChunks(staged)) {
    emitInChunks(staged, axes, all, folding, cells, parts, out)
    return out
  }
  const stores = [staged.store, ...staged.beside]
  const values = stores.flatMap((s) => [s.value, ...s.index])
  const { lowerer } = emitStaged({ values, axes, locals: all, chunk: undefined, folding }, parts, out)
  const shares = new Set(
    Object.values(schedule.reduce).flatMap((r) => (r.group !== undefined && r.group > 1 ? [r.group] : [])),
  )
  if (shares.size > 1)
    throw new Refused("reduce/group", "the reductions of one store must share the same number of lanes")
  const [together = 1] = shares

  // What depends on the block only is computed once, before its points.
  const fixed = new Map(
    axes
      .filter((a) => a.owned === 1 || (literalExtent(a.points) === 1 && a.step === 1))
      .map((a) => [a.axis.name, a.base] as const),
  )
  const bound = new Set(cells)
  const group = laneGroup(together, parts)
  const start: Scope = { out, bound, vector: undefined, lanes: group, solved: new Map() }
  const at = (x: Expression) => substitute(x, fixed)
  const made = stores.map((s) => ({ ...s, value: at(s.value), index: s.index.map(at) }))
  const solved = solve(
    made.flatMap((s) => [s.value, ...s.index]),
    start,
    lowerer,
  )
  emitIterations(made, axes, { together, spread: false }, { ...start, solved }, lowerer)
  return out
}

/** The block's number along each axis, from its number among all; `backwards`: along the slowest from the last to the first. */
function emitCells(
  order: readonly BlockAxis[],
  backwards: boolean,
  cell: Expression,
  parts: Build,
  out: Statement[],
): void {
  let rest = cell
  for (const [i, a] of [...order].reverse().entries()) {
    if (a.cell === undefined) continue
    const slowest = order.slice(0, order.length - 1 - i).every((b) => b.cell === undefined)
    const forwards = slowest ? rest : apply("rem", rest, a.cells)
    // Never below 0, which those who look at ranges alone do not see.
    const number =
      slowest && backwards ? apply("max", literal(0), apply("sub", add(a.cells, literal(-1)), forwards)) : forwards
    out.push({ kind: "let", name: a.cell.name, value: number, mutable: false })
    if (!slowest) {
      const name = parts.fresh("cell")
      out.push({ kind: "let", name, value: apply("div", rest, a.cells), mutable: false })
      rest = variable(name)
    }
  }
}

/** The axes in the order in which blocks are numbered, the slowest first. */
function rasterOf(axes: readonly BlockAxis[], raster: readonly string[] | undefined): readonly BlockAxis[] {
  if (raster === undefined) return axes
  const order = raster.map((name) => axes.find((a) => a.axis.name === name))
  if (raster.length !== axes.length || new Set(order).size !== axes.length || order.includes(undefined))
    throw new Refused("schedule/unknown-axis", `the raster is over ${raster.join(", ")}, and not over the store's axes`)
  return order as readonly BlockAxis[]
}

/** A store whose workgroup takes its folds in chunks. */
function emitInChunks(
  staged: StagedInChunks,
  axes: readonly BlockAxis[],
  locals: readonly StagedLocal[],
  folding: Lowerer["folding"],
  cells: readonly string[],
  parts: Build,
  out: Statement[],
): void {
  const number = parts.fresh(`${staged.chunk.name}_chunk`)
  const chunk: OpenChunk = {
    name: staged.chunk.name,
    size: staged.chunk.size,
    extent: substitute(staged.chunk.extent, new Map(axes.map((a) => [a.axis.name, a.base] as const))),
    base: mul(variable(number), literal(staged.chunk.size)),
    outer: new Map(staged.chunk.outer.map((a) => [a.name, variable(parts.fresh(a.name))] as const)),
    half: staged.chunk.depth === 2 ? apply("bitand", variable(number), literal(1)) : undefined,
  }
  const lengths = createLowerer(parts, new Map(), folding)
  const run = runOfChunks(staged, lengths)
  const shape = run === undefined ? undefined : shapeOf(run, staged, lengths)
  const moving = run === undefined
  const values = [
    ...[staged.store, ...staged.beside].flatMap((s) => [s.value, ...s.index]),
    ...staged.online.flatMap((x) => stagedReads(x, moving)),
  ]
  const pivots = staged.online.flatMap((x) => stagedPivots(x, moving))
  const reader = { values, axes, locals: [...locals, ...pivots], chunk, folding }
  const { lowerer, arrays } = emitStaged(reader, parts, out)
  const scope: Scope = { out, bound: new Set(cells), vector: undefined, lanes: undefined, solved: new Map() }
  emitChunked({ staged, chunk, number, arrays, online: staged.online, axes, parts, lowerer, run, shape }, scope)
}
