/**
 * The block of an online fold by matrix units: which rows and columns it has, how groups of lanes hold scores and results, what is staged, and which
 * chunks count for it.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, isLiteral, literal, mul, variable } from "../../ir/expression.js"
import { type Atom, atoms, fragmentSize } from "../../ir/fragments/atoms.js"
import { beside, type Layout, same } from "../../ir/fragments/layout.js"
import type { Expression } from "../../ir/nodes.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { contributingAny, type Masked, maskOf } from "../../ir/verify/masks.js"
import { type BlockAxis, type Build, laneVariable, Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { spanOf } from "../pipeline.js"
import { lowerValues } from "../values.js"
import type { BoxesAsked } from "./boxes.js"
import { longestChain } from "./chains.js"
import type { OnlineProducts } from "./online-operands.js"
import { columnsHeld, fixedOf, type Side, sideOf } from "./places.js"
import type { Groups } from "./registers.js"
import { type ChunkAt, type StagedOperand, stagedOperand } from "./staged.js"

/** What the parts of an online fold by matrix units share. */
export interface OnlineBlock {
  readonly of: OnlineProducts
  readonly axes: readonly BlockAxis[]
  readonly rows: Side
  readonly columns: Side
  /** Axes of which the block has one place. */
  readonly fixed: ReadonlyMap<string, Expression>
  readonly chunk: number
  readonly stages: number
  /** Chunks of which fragments add up the results, where there may be more: they are kept elsewhere then. */
  readonly run: number | undefined
  /** How groups hold the scores of a chunk, and the results. */
  readonly scores: Groups
  readonly results: Groups
  /** When an element counts, where that is known. */
  readonly mask: Masked | undefined
  /** Whether the copy engine brings what it can. */
  readonly boxes: boolean
}

export function onlineBlock(
  of: OnlineProducts,
  like: Atom,
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  parts: Build,
): OnlineBlock {
  const among = (side: readonly Axis[]) => axes.filter((a) => side.includes(a.axis))
  const [rowAxes, columnAxes] = [among(of.rows), among(of.columns)]
  const fixed = fixedOf(axes, rowAxes, columnAxes)
  const warps = schedule.warps ?? {}
  const down = of.rows.reduce((n, a) => n * (warps[a.name] ?? 1), 1)
  if (of.columns.some((a) => (warps[a.name] ?? 1) > 1))
    throw new Refused("atom/lanes", "lanes of one row of scores hold all columns")
  if (down * like.lanes !== parts.schedule.threads)
    throw new Refused("atom/lanes", `${down} groups of ${like.lanes} lanes are not ${parts.schedule.threads}`)
  const { chunk, stages = 1, run: given, ...rest } = schedule.reduce[of.fold.axis] ?? {}
  if (chunk === undefined || chunk % like.k !== 0 || Object.keys(rest).length > 0)
    throw new Refused("atom/tile", `matrix units take '${of.fold.axis}' in chunks of a multiple of ${like.k}`)
  const rows = sideOf(rowAxes, like.m * down)
  const columns = sideOf(columnAxes, columnsAtLeast(like))
  const row = mul(apply("floordiv", laneVariable, literal(like.lanes)), literal(rows.places / down))
  const groups = (places: number): Groups => {
    const atom = atomFor(like, places)
    return { atom, down: rows.places / down / like.m, across: places / atom.n, row, column: literal(0) }
  }
  const [scores, results] = [groups(chunk), groups(columns.places)]
  if (!turnsInto(scores.atom, results.atom))
    throw new Refused("atom/fold", `scores of '${scores.atom.name}' do not lie as what '${results.atom.name}' takes`)
  const mask = maskOf(
    of.fold,
    axes.map((a) => a.axis),
  )
  const longest = parts.lengths.longest.get(of.fold.axis) ?? Number.POSITIVE_INFINITY
  const most = Math.max(1, Math.floor(longestChain / chunk))
  const run = Math.min(given ?? most, most)
  const kept = { run: longest > run * chunk ? run : undefined }
  const boxes = schedule.atom!.boxes === true
  return { of, axes, rows, columns, fixed, chunk, stages, ...kept, scores, results, mask, boxes }
}

/** Atoms that differ from one in their columns alone. */
const kinOf = ({ m, arch, a: { storage }, lanes }: Atom): readonly Atom[] =>
  [...atoms.values()].filter((a) => a.m === m && a.arch === arch && a.a.storage === storage && a.lanes === lanes)

/** The number that columns of a block are filled up to a multiple of: what groups hold of the narrowest atom of a kind. */
export const columnsAtLeast = (like: Atom): number => Math.min(...kinOf(like).map(columnsHeld))

/** The broadest atom of a kind whose columns divide so many. */
function atomFor(like: Atom, columns: number): Atom {
  const kin = kinOf(like).filter((a) => columns % a.n === 0)
  const widest = kin.reduce<Atom | undefined>((x, y) => (x !== undefined && x.n >= y.n ? x : y), undefined)
  if (widest === undefined) throw new Refused("atom/tile", `no atom like '${like.name}' divides ${columns} columns`)
  return widest
}

/** Whether results of an atom lie as the first operands of another do, register by register. */
function turnsInto(from: Atom, to: Atom): boolean {
  if (!to.a.places.includes("fragment") || from.c.layout === undefined || to.a.layout === undefined) return false
  const wide = from.n < to.k ? beside(from.c.layout, "column", to.k / from.n, "register") : from.c.layout
  return same(firstColumns(wide, to.k), to.a.layout)
}

/** The layout of the first columns: the lowest registers hold them. */
const firstColumns = (l: Layout, columns: number): Layout => ({
  ...l,
  columns,
  register: l.register.slice(0, Math.log2((l.rows * columns) / 2 ** l.lane.length)),
})

/** Registers of a lane for scores or results. */
export const sizeOf = ({ atom, down, across }: Groups): number => down * across * fragmentSize(atom, "c")

/** What is staged of an online fold: the side of the rows once, the others by chunks. */
export interface OnlineStaged {
  readonly queries: StagedOperand
  /** Where the elements of the scores' own fold lie. */
  readonly inner: ChunkAt
  readonly keys: StagedOperand
  readonly values: readonly StagedOperand[]
}

export function onlineStaged(block: OnlineBlock, lowerer: Lowerer, parts: Build): OnlineStaged {
  const { of, rows, columns, fixed, chunk, stages, scores } = block
  const { storage } = scores.atom.a
  const { axis, extent } = of.inner
  const known = literalExtent(extent)
  if (known === undefined) throw new Refused("atom/fold", `how many elements '${axis}' has is not known`)
  const depth = Math.ceil(known / scores.atom.k) * scores.atom.k
  const inner: ChunkAt = { base: literal(0), outer: new Map(), axis, extent, whole: depth === known }
  const number = variable("turn")
  const extents = new Map([[axis, extent], ...block.axes.map((a) => [a.axis.name, a.axis.extent] as const)])
  const staged = (x: typeof of.queries, side: Side, elements: number, deep: number, at: ChunkAt, boxes?: BoxesAsked) =>
    stagedOperand(x, side, elements, deep, storage, fixed, at, lowerer, parts, block.boxes ? boxes : undefined)
  return {
    inner,
    queries: staged(of.queries, rows, depth, 1, inner),
    keys: staged(of.keys, keysAt(block, number), depth, stages, inner, { extents }),
    values: of.values.map((v) => {
      const at = chunkAt(block, number)
      return staged(v, columns, chunk, stages, at, { extents, anything: true })
    }),
  }
}

/** The elements of a chunk as the columns of its scores. */
export const keysAt = ({ of: { fold }, chunk, scores }: OnlineBlock, number: Expression): Side =>
  sideOf(
    [
      {
        axis: { name: fold.axis, extent: fold.extent },
        tile: { block: chunk },
        step: 1,
        cells: literal(1),
        points: literal(chunk),
        owned: chunk,
        cell: variable("turn"),
        base: mul(number, literal(chunk)),
      },
    ],
    scores.atom.n,
  )

/** The elements of a chunk as what is folded. */
export function chunkAt({ of: { fold }, chunk }: OnlineBlock, number: Expression): ChunkAt {
  const { axis, extent } = fold
  const known = literalExtent(extent)
  const whole = known !== undefined && known % chunk === 0
  return { base: mul(number, literal(chunk)), outer: new Map(), axis, extent, whole }
}

/** The chunks with elements that count for some row of the block: the first one, and how many there are. */
export function turnsOf(
  { of, axes, chunk, mask }: OnlineBlock,
  scope: Scope,
  lowerer: Lowerer,
): { readonly from: Expression; readonly count: Expression } {
  const spans = new Map(axes.map((a) => [a.axis.name, spanOf(a)] as const))
  const { first, end } = contributingAny(mask === undefined ? [] : [mask], of.fold.axis, spans)
  const size = literal(chunk)
  const named = (stem: string, value: Expression): Expression => {
    const [lowered] = lowerValues([value], scope, lowerer)
    if (isLiteral(lowered!)) return lowered!
    const name = lowerer.fresh(`${of.fold.axis}_${stem}`)
    scope.out.push({ kind: "let", name, value: lowered!, mutable: false })
    return variable(name)
  }
  const from =
    first === undefined ? literal(0) : named("from", apply("floordiv", apply("max", literal(0), first), size))
  const last = end === undefined ? of.fold.extent : apply("min", of.fold.extent, end)
  const chunks = apply("floordiv", add(last, literal(chunk - 1)), size)
  return { from, count: named("count", apply("max", literal(0), apply("sub", chunks, from))) }
}
