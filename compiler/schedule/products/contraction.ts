/**
 * Contractions with much reuse, in chunks of the folded axis, for hardware whose threads wait for memory.
 *
 *   y[s, o] = sum_{k}(x[s, k] · w[o, k])   →   blocks of 128 × 128 in registers of 8 × 8, both operands staged 16 k at a time
 *
 * A contraction has two operands that depend on different axes of the store: rows and columns. Axes of both are a batch, of which a block has
 * one place.
 */

import { literalExtent } from "../../ir/dim.js"
import { freeVariables } from "../../ir/expression.js"
import { bufferOf, type Kernel, type Store, written } from "../../ir/kernel.js"
import { packed } from "../../ir/loop.js"
import type { ChunkTarget } from "../../ir/machine.js"
import type { Expression, Load, LocalRead, Reduce } from "../../ir/nodes.js"
import { chainOf, nodesOf } from "../../ir/query.js"
import type { AxisTile, ReductionTile, StagedTile } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { factorsOf } from "../../tile/staging/operands.js"
import { elementsOfLoad as wide } from "../rules.js"
import { type Chunked, consecutiveAxis, power, product, registers, type Shares, spread, volume } from "../shares.js"
import { contractionRules as rules } from "./rules.js"

type Read = Load | LocalRead

/** The folds of a store as products of rows and columns. */
interface Product {
  /** Each fold as the folds that it consists of; the last one is chunked. */
  readonly chains: readonly (readonly Reduce[])[]
  /** Elements of the chunked axis. */
  readonly extent: number
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  readonly batch: readonly Axis[]
  /** The loads that the operands of all folds are made of, those of rows before those of columns. */
  readonly reads: readonly Read[]
}

/** How a block of the product is dealt out. */
interface Blocks {
  readonly rows: Shares
  readonly columns: Shares
  readonly rowRegisters: Shares
  readonly columnRegisters: Shares
  readonly threads: number
  /** Of so few elements that each thread has fewer rows. */
  readonly fewElements: boolean
}

export function contractionSchedule(
  store: Store,
  folds: readonly Reduce[],
  kernel: Kernel,
  target: ChunkTarget,
): Chunked | undefined {
  const of = productOf(store, folds)
  const blocks = of && blocksOf(of, target.threads)
  const chunk = blocks && chunkOf(of, blocks, target)
  if (of === undefined || blocks === undefined || chunk === undefined) return undefined
  // What is kept in f32 is computed in f32 (half-products.ts).
  const inHalves = target.packed === true && [...written(kernel)].every((b) => packed(bufferOf(kernel, b).storage))
  const { staged, vector } = stagedOperands(of, blocks, kernel, inHalves)
  const innerUnroll =
    inHalves && chunk % rules.innerUnrollOfHalves === 0 ? rules.innerUnrollOfHalves : rules.innerUnroll
  const reduce: Record<string, ReductionTile> = {}
  for (const c of of.chains) reduce[c.at(-1)!.axis] = { chunk, innerUnroll }
  return { threads: blocks.threads, schedule: { tile: tilesOf(of, blocks, vector), reduce, staged } }
}

function productOf(store: Store, folds: readonly Reduce[]): Product | undefined {
  const chains = folds.map(chainOf)
  const [chain] = chains
  const alike = chains.every((c) => c.length === chain!.length && c.every((r, i) => r.extent === chain![i]!.extent))
  const extent = literalExtent(chain!.at(-1)!.extent)
  if (!alike || extent === undefined || extent < rules.extent || store.axes.length === 0) return undefined
  const axesOf = (x: Expression) => store.axes.filter((a) => freeVariables(x).has(a.name))
  const operands = chains.flatMap((c) => operandsOf(c.at(-1)!.lift[0]!, axesOf) ?? [])
  if (operands.length < chains.length) return undefined
  const [{ rows, columns, batch }] = operands as [Operands]
  const same = (p: readonly Axis[], q: readonly Axis[]) => p.length === q.length && p.every((a) => q.includes(a))
  if (!operands.every((o) => same(o.rows, rows) && same(o.columns, columns))) return undefined
  if (volume(rows) < rules.rows || volume(columns) < rules.rows) return undefined
  return { chains, extent, rows, columns, batch, reads: operands.flatMap((o) => [o.row, o.column]) }
}

function blocksOf(of: Product, threadsOfMachine: number): Blocks | undefined {
  const several = of.chains.length > 1
  const block = (axes: readonly Axis[], count: number) => spread(axes, Math.min(count, power(volume(axes))))
  const rows = block(of.rows, several ? rules.blockRowsOfSeveral : rules.blockRows)
  const narrow = volume(of.columns) <= rules.narrowColumns
  const columns = block(of.columns, narrow ? rules.blockColumnsOfNarrow : rules.blockColumns)
  const fewElements = product(rows) * product(columns) < rules.elementsOfLarge
  const rowRegisters = registers(rows, several || fewElements ? rules.rowsPerThreadOfSmall : rules.perThread)
  const columnRegisters = registers(columns, rules.perThread)
  const threads = (product(rows) * product(columns)) / (product(rowRegisters) * product(columnRegisters))
  if (threads < rules.threads || threads > threadsOfMachine || !Number.isInteger(threads)) return undefined
  return { rows, columns, rowRegisters, columnRegisters, threads, fewElements }
}

/** Elements of a chunk: a divisor of the folded axis, a whole number of loads. */
function chunkOf({ reads, extent }: Product, { fewElements }: Blocks, target: ChunkTarget): number | undefined {
  const copied = reads.every((l) => l.kind === "load")
  const elements =
    target.sharedBytes < rules.littleMemory
      ? rules.chunkOfLittleMemory
      : fewElements && copied
        ? rules.chunkOfCopies
        : rules.chunk
  const longest = Math.min(target.longest ?? elements, elements)
  for (let chunk = longest; chunk >= wide; chunk -= wide) if (extent % chunk === 0) return chunk
  return undefined
}

/** How the operands are staged, and the axis of columns along which they are by vectors. */
function stagedOperands(
  { chains, reads }: Product,
  { columns }: Blocks,
  kernel: Kernel,
  inHalves: boolean,
): { readonly staged: Readonly<Record<string, StagedTile>>; readonly vector: string | undefined } {
  const folded = new Set(chains.map((c) => c.at(-1)!.axis))
  const chunked = chains[0]!.at(-1)!.axis
  const factors = new Set(chains.flatMap((c) => factorsOf(c.at(-1)!.lift[0]!)))
  const asHalves = (l: Load) =>
    inHalves && factors.has(l) && packed(bufferOf(kernel, l.buffer).storage) ? { packed: true } : {}
  const transposed = (axis: string): StagedTile => ({ tile: { [axis]: { vector: wide } }, pad: rules.padOfVectors })
  const staged: Record<string, StagedTile> = {}
  let vector: string | undefined
  for (const l of reads) {
    const along = consecutiveAxis(l)
    const alongFold = along !== undefined && folded.has(along)
    if (l.kind === "localRead") {
      const local = kernel.items.find((i) => i.kind === "local" && i.name === l.local)
      const last = local?.axes.at(-1)
      staged[l.local] = alongFold && last ? transposed(last.name) : { tile: {} }
    } else if (alongFold) staged[l.buffer] = { ...transposed(chunked), ...asHalves(l) }
    else if (along !== undefined && columns.has(along) && columns.get(along)! % wide === 0) {
      staged[l.buffer] = { tile: { [along]: { vector: wide } }, ...asHalves(l) }
      vector = along
    } else staged[l.buffer] = { tile: {}, pad: rules.pad }
  }
  return { staged, vector }
}

function tilesOf(of: Product, blocks: Blocks, vector: string | undefined): Readonly<Record<string, AxisTile>> {
  const tile: Record<string, AxisTile> = {}
  for (const a of of.batch) tile[a.name] = { block: 1 }
  for (const [name, block] of blocks.rows) tile[name] = { block, perThread: blocks.rowRegisters.get(name)! }
  for (const [name, block] of blocks.columns) {
    const perThread = blocks.columnRegisters.get(name)!
    const byVectors =
      name === vector &&
      literalExtent(of.columns.find((a) => a.name === name)!.extent)! % wide === 0 &&
      perThread % wide === 0
    tile[name] = byVectors ? { block, perThread: perThread / wide, vector: wide } : { block, perThread }
  }
  return tile
}

interface Operands extends Pick<Product, "rows" | "columns" | "batch"> {
  /** The loads that the operands are made of. */
  readonly row: Read
  readonly column: Read
}

/** The two operands of a product: what its factors depend on splits the axes into rows and columns. The columns' is the larger in memory. */
function operandsOf(lift: Expression, axesOf: (x: Expression) => readonly Axis[]): Operands | undefined {
  const groups = new Map<string, { readonly axes: readonly Axis[]; readonly load: Read }>()
  for (const f of factorsOf(lift)) {
    // The one with most axes tells where the factor lies in memory.
    const [load] = [...nodesOf([f], "load", "localRead")].sort((a, b) => b.index.length - a.index.length)
    const axes = axesOf(f)
    if (load === undefined || axes.length === 0) continue
    const key = axes.map((a) => a.name).join(" ")
    groups.set(key, groups.get(key) ?? { axes, load })
  }
  const [p, q] = [...groups.values()].sort((a, b) => volume(a.axes) - volume(b.axes))
  if (p === undefined || q === undefined || groups.size !== 2) return undefined
  const rows = p.axes.filter((a) => !q.axes.includes(a))
  const columns = q.axes.filter((a) => !p.axes.includes(a))
  if (rows.length === 0 || columns.length === 0) return undefined
  return { rows, columns, batch: p.axes.filter((a) => q.axes.includes(a)), row: p.load, column: q.load }
}
