/**
 * Schedules for folds that a workgroup takes in chunks: carried folds everywhere, contractions with much reuse on hardware with threads.
 *
 *   y[s, o] = sum_{k}(x[s, k] · w[o, k])              →   blocks of 128 × 128 in registers of 8 × 8, both operands held 16 k at a time
 *   y[r, d] = carried_{key}(score[r, key], v[key, d]) →   rows that share their keys in one block, all of d, 32 keys at a time
 *
 * A contraction has two operands that depend on different axes of the store: rows and columns. Of a carried fold the rows are the axes of its
 * scores along which the operands are the same, so that a chunk of keys is read once for all of them.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store, written } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { ChunkTarget } from "../ir/machine.js"
import type { Expression, Load, LocalRead, Reduce } from "../ir/nodes.js"
import { chainOf, nodesOf, outermostFolds } from "../ir/query.js"
import type { AxisTile, ReductionTile, StagedTile, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { factorsOf } from "../tile/staging/stage.js"

/** A schedule with the threads that it is made for. */
export interface Chunked {
  readonly threads: number
  readonly schedule: StoreSchedule
}

export function chunkSchedule(store: Store, kernel: Kernel, target: ChunkTarget): Chunked | undefined {
  const folds = outermostFolds(store.value)
  const [first] = folds
  if (first === undefined) return undefined
  if (folds.every((r) => r.monoid.kind === "carried")) return carriedSchedule(store, folds, kernel, target)
  return target.contraction && folds.every((r) => r.monoid.kind === "sum")
    ? contractionSchedule(store, folds, kernel, target)
    : undefined
}

const size = (a: Axis) => Math.max(1, hinted(a.extent))
const volume = (axes: readonly Axis[]) => axes.reduce((n, a) => n * size(a), 1)
/** The largest power of two up to n. */
const power = (n: number) => 2 ** Math.floor(Math.log2(Math.max(1, n)))

/** Loads, and reads of locals, the ones with most axes first. */
const readsOf = (root: Expression): readonly (Load | LocalRead)[] =>
  [...nodesOf([root], "load", "localRead")].sort((a, b) => b.index.length - a.index.length)

/** The axis along which a load is consecutive in memory. */
function consecutiveAxis(l: Load | LocalRead): string | undefined {
  const last = l.index.at(-1)
  return last?.kind === "variable" ? last.name : undefined
}

/** Gives `count` elements to the last axes first; an axis that is larger than what is left gets a power of two. */
function spread(axes: readonly Axis[], count: number): ReadonlyMap<string, number> {
  const shares = new Map<string, number>()
  let left = count
  for (const a of [...axes].reverse()) {
    const extent = literalExtent(a.extent)
    const share = extent !== undefined && extent <= left ? extent : Math.min(power(left), power(size(a)))
    shares.set(a.name, Math.max(1, share))
    left = Math.max(1, Math.floor(left / Math.max(1, share)))
  }
  return shares
}

const product = (shares: ReadonlyMap<string, number>) => [...shares.values()].reduce((a, b) => a * b, 1)

/** The largest of 8, 4, 2, 1 that divides n and is at most `most`. */
const divisor = (n: number, most: number) => [8, 4, 2, 1].find((d) => d <= most && n % d === 0)!

/** Registers along some axes, the last first, at most `count` in all. */
function registers(shares: ReadonlyMap<string, number>, count: number): ReadonlyMap<string, number> {
  const made = new Map<string, number>()
  let left = count
  for (const [name, share] of shares) {
    const take = divisor(share, left)
    made.set(name, take)
    left = Math.floor(left / take)
  }
  return made
}

function contractionSchedule(
  store: Store,
  folds: readonly Reduce[],
  kernel: Kernel,
  target: ChunkTarget,
): Chunked | undefined {
  const chains = folds.map(chainOf)
  const [chain] = chains
  const last = chain!.at(-1)!
  const alike = chains.every((c) => c.length === chain!.length && c.every((r, i) => r.extent === chain![i]!.extent))
  const extent = literalExtent(last.extent)
  if (!alike || extent === undefined || extent < 16 || store.axes.length === 0) return undefined
  const axesOf = (x: Expression) => store.axes.filter((a) => freeVariables(x).has(a.name))
  const operands = chains.map((c) => operandsOf(c.at(-1)!.lift[0]!, axesOf))
  if (operands.some((o) => o === undefined)) return undefined
  const [{ rows, columns, batch }] = operands as readonly Operands[] as [Operands]
  const same = (p: readonly Axis[], q: readonly Axis[]) => p.length === q.length && p.every((a) => q.includes(a))
  if (!operands.every((o) => same(o!.rows, rows) && same(o!.columns, columns))) return undefined
  if (volume(rows) < 32 || volume(columns) < 32) return undefined
  const block = (axes: readonly Axis[], count: number) => spread(axes, Math.min(count, power(volume(axes))))
  // Several folds share the registers of a lane.
  const most = folds.length > 1 ? 64 : 128
  // Narrow products have smaller blocks, so that there are enough of them.
  const [rowBlock, columnBlock] = [block(rows, most), block(columns, volume(columns) > 2048 ? 128 : 64)]
  // A block of few threads waits for memory, whatever each of them has to do.
  const small = product(rowBlock) * product(columnBlock) < 64 * 128
  const [rowRegisters, columnRegisters] = [
    registers(rowBlock, folds.length > 1 || small ? 4 : 8),
    registers(columnBlock, 8),
  ]
  const threads = (product(rowBlock) * product(columnBlock)) / (product(rowRegisters) * product(columnRegisters))
  if (threads < 32 || threads > target.threads || !Number.isInteger(threads)) return undefined

  const staged: Record<string, StagedTile> = {}
  const loads = operands.flatMap((o) => [o!.row, o!.column])
  let vector: string | undefined
  // Small blocks have room for longer chunks, but what is computed for each of them takes registers.
  const copied = loads.every((l) => l.kind === "load")
  const chunk = divisorUpTo(
    extent,
    Math.min(target.longest ?? 32, target.sharedBytes < 32768 ? 8 : small && copied ? 32 : 16),
  )
  if (chunk < 4) return undefined
  const folded = new Set(chains.map((c) => c.at(-1)!.axis))
  const factors = new Set(chains.flatMap((c) => factorsOf(c.at(-1)!.lift[0]!)))
  // What is kept in f32 is computed in f32 (half-products.ts).
  const inHalves = target.packed === true && [...written(kernel)].every((b) => packed(bufferOf(kernel, b).storage))
  const asHalves = (l: Load) =>
    inHalves && factors.has(l) && packed(bufferOf(kernel, l.buffer).storage) ? { packed: true } : {}
  for (const l of loads) {
    const along = consecutiveAxis(l)
    if (l.kind === "localRead") {
      const local = kernel.items.find((i) => i.kind === "local" && i.name === l.local)
      const last = local?.axes.at(-1)
      staged[l.local] =
        along !== undefined && folded.has(along) && last
          ? { tile: { [last.name]: { vector: 4 } }, pad: 4 }
          : { tile: {} }
    } else if (along !== undefined && folded.has(along))
      staged[l.buffer] = { tile: { [last.axis]: { vector: 4 } }, pad: 4, ...asHalves(l) }
    else if (along !== undefined && columnBlock.has(along) && columnBlock.get(along)! % 4 === 0) {
      staged[l.buffer] = { tile: { [along]: { vector: 4 } }, ...asHalves(l) }
      vector = along
    } else staged[l.buffer] = { tile: {}, pad: 1 }
  }
  const tile: Record<string, AxisTile> = {}
  for (const a of batch) tile[a.name] = { block: 1 }
  for (const [name, b] of rowBlock) tile[name] = { block: b, perThread: rowRegisters.get(name)! }
  for (const [name, b] of columnBlock) {
    const wide =
      name === vector &&
      literalExtent(columns.find((a) => a.name === name)!.extent)! % 4 === 0 &&
      columnRegisters.get(name)! % 4 === 0
    tile[name] = wide
      ? { block: b, perThread: columnRegisters.get(name)! / 4, vector: 4 }
      : { block: b, perThread: columnRegisters.get(name)! }
  }
  // Sums in f16 are added in f32: the longer they are, the fewer conversions.
  const innerUnroll = inHalves && chunk % 8 === 0 ? 8 : 4
  const reduce: Record<string, ReductionTile> = { [last.axis]: { chunk, innerUnroll } }
  for (const c of chains) reduce[c.at(-1)!.axis] = { chunk, innerUnroll }
  return { threads, schedule: { tile, reduce, staged } }
}

/** The largest divisor of n up to `most` that is a multiple of 4. */
function divisorUpTo(n: number, most: number): number {
  for (let d = most; d >= 4; d -= 4) if (n % d === 0) return d
  return 1
}

interface Operands {
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  readonly batch: readonly Axis[]
  /** The loads that the operands are made of. */
  readonly row: Load | LocalRead
  readonly column: Load | LocalRead
}

/** The two operands of a product: what its factors depend on splits the axes into rows and columns. The columns' is the larger in memory. */
function operandsOf(lift: Expression, axesOf: (x: Expression) => readonly Axis[]): Operands | undefined {
  const groups = new Map<string, { readonly axes: readonly Axis[]; load: Load | LocalRead }>()
  for (const f of factorsOf(lift)) {
    const [load] = readsOf(f)
    if (load === undefined) continue
    const axes = axesOf(f)
    if (axes.length === 0) continue
    const key = axes.map((a) => a.name).join(" ")
    groups.set(key, groups.get(key) ?? { axes, load })
  }
  if (groups.size !== 2) return undefined
  const [p, q] = [...groups.values()].sort((a, b) => volume(a.axes) - volume(b.axes)) as [
    { axes: readonly Axis[]; load: Load | LocalRead },
    { axes: readonly Axis[]; load: Load | LocalRead },
  ]
  const rows = p.axes.filter((a) => !q.axes.includes(a))
  const columns = q.axes.filter((a) => !p.axes.includes(a))
  if (rows.length === 0 || columns.length === 0) return undefined
  return { rows, columns, batch: p.axes.filter((a) => q.axes.includes(a)), row: p.load, column: q.load }
}

function carriedSchedule(
  store: Store,
  folds: readonly Reduce[],
  kernel: Kernel,
  target: ChunkTarget,
): Chunked | undefined {
  const [first] = folds
  const { axis } = first!
  const score = first!.lift[0]!
  if (!folds.every((r) => r.axis === axis && r.lift[0] === score)) return undefined
  const moving = nodesOf(
    folds.flatMap((r) => r.lift),
    "load",
  ).filter((l) => freeVariables(l).has(axis))
  const inScore = (a: Axis) => freeVariables(score).has(a.name)
  const steady = (a: Axis) => moving.every((l) => !freeVariables(l).has(a.name))
  const wide = store.axes.filter((a) => !inScore(a))
  const rows = store.axes.filter((a) => inScore(a) && steady(a))
  const rest = store.axes.filter((a) => inScore(a) && !steady(a))
  if (wide.some((a) => literalExtent(a.extent) === undefined)) return undefined
  const channels = volume(wide)

  const last = wide.at(-1)
  const shape = bufferOf(kernel, store.buffer).shape
  const along =
    last !== undefined &&
    last === store.axes.at(-1) &&
    literalExtent(last.extent)! % 4 === 0 &&
    shape.at(-1)! % 4 === 0 &&
    target.vector >= 4
  const many = volume(rows) >= 16
  const rowBlock = spread(
    rows,
    Math.min(target.threads === 1 ? 16 : target.sharedBytes >= 40960 ? 128 : 32, power(volume(rows))),
  )
  const rowCount = product(rowBlock)
  const oneLane = target.threads === 1
  // Software adapters compile every statement for seconds.
  const small = target.registers === 1
  const rowRegisters = registers(rowBlock, small ? 1 : oneLane ? 2 : 8)
  const columnVector = along && (oneLane || many) ? 4 : 1
  const columnRegister =
    last === undefined ? 1 : divisor(size(last) / columnVector, small ? 1 : oneLane ? 4 : many ? 2 : 1)
  const points = (rowCount * channels) / (product(rowRegisters) * columnVector * columnRegister)
  const threads = oneLane ? 1 : Math.min(target.threads, Math.max(32, power(points)))
  const chunk = oneLane || many ? 32 : 64

  const tile: Record<string, AxisTile> = {}
  for (const a of rest) tile[a.name] = { block: 1 }
  for (const [name, b] of rowBlock) tile[name] = { block: b, perThread: rowRegisters.get(name)! }
  for (const a of wide)
    tile[a.name] = a === last ? { block: "all", perThread: columnRegister, vector: columnVector } : { block: "all" }

  const reduce: Record<string, ReductionTile> = {
    [axis]: small ? { chunk, peelTail: false } : { chunk, innerUnroll: oneLane ? 1 : 4 },
  }
  const staged: Record<string, StagedTile> = {}
  const inner = outermostFolds(score).flatMap(chainOf)
  const perLane = (rowCount * chunk) / threads
  const scoreRegisters = small
    ? { rows: 1, keys: 1 }
    : oneLane
      ? { rows: 4, keys: 2 }
      : many
        ? { rows: divisor(rowCount, 4), keys: divisor(chunk, Math.max(1, power(perLane / divisor(rowCount, 4)))) }
        : { rows: 1, keys: 1 }
  const scoreTile: Record<string, { perThread: number }> = { [axis]: { perThread: Math.min(4, scoreRegisters.keys) } }
  const scoreRows = registers(rowBlock, scoreRegisters.rows)
  for (const [name, r] of scoreRows) scoreTile[name] = { perThread: r }
  for (const r of inner) {
    const extent = literalExtent(r.extent) ?? 0
    const direct = nodesOf(r.lift, "load").every((l) => !freeVariables(l).has(r.axis) || consecutiveAxis(l) === r.axis)
    if (!direct || extent % 4 !== 0) continue
    if (oneLane || small) reduce[r.axis] = { vector: 4 }
    else if (many) reduce[r.axis] = { innerUnroll: 4 }
    else reduce[r.axis] = { vector: 4, ...(target.subgroup >= 8 && extent % 32 === 0 ? { group: 8 } : {}) }
    if (many && !oneLane && target.contraction)
      for (const l of nodesOf(r.lift, "load"))
        if (
          freeVariables(l).has(axis) &&
          4 * chunk * (extent + 4) + 4 * rowCount * (chunk + 4) + 8 * rowCount <= target.sharedBytes
        )
          staged[l.buffer] = { tile: { [r.axis]: { vector: 4 } }, pad: 4 }
  }
  const fold: ReductionTile = oneLane ? { vector: 4 } : {}
  staged.scores = { tile: scoreTile, fold, ...(oneLane ? {} : { pad: 4 }) }
  return { threads, schedule: { tile, reduce, staged } }
}
