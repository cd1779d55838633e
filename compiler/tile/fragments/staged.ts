/**
 * Staged operands: the part of an operand that a workgroup multiplies from, in its memory, several chunks of it.
 *
 *   x[m, k] of 128 rows and 64 k, k in order in memory     →   [stage][128][64], pieces of 16 bytes copied as they are
 *   w[k, n] of 128 columns and 64 k, n in order            →   [stage][2][64][64]: panels of 64 columns
 *
 * The axis that is in order in memory is in order here, too, in panels as wide as a swizzle permutes. What is no plain copy, or one
 * where a condition holds and zeros elsewhere, is computed by ordinary code and rounded where it is stored; each further term holds what those before it have lost.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, freeVariables, literal, mul, ramp, splat, substitute, variable } from "../../ir/expression.js"
import { bufferOf } from "../../ir/kernel.js"
import type { BoxCopy, Half, Place, Statement } from "../../ir/loop.js"
import type { Expression, Load } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import type { Build } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { shareMemory } from "../staging/staged.js"
import { lowerValues } from "../values.js"
import { wideOffset } from "../vector.js"
import { type BoxedOperand, type BoxesAsked, boxedOperand, mostRows, placed } from "./boxes.js"
import { type Operand, storedOf } from "./operands.js"
import { type Neighbours, readableAt, type Side } from "./places.js"

/** Elements of an array that lie together in a row: what a swizzle permutes. */
type Panel = 16 | 32 | 64

export interface StagedOperand extends Operand {
  readonly side: Side
  /** Which axis is in order: that of the fold, or the last one of the side. */
  readonly inner: "fold" | "side"
  /** The folded elements of a chunk. */
  readonly chunk: number
  readonly panel: Panel
  /** One for each term. */
  readonly arrays: readonly string[]
  /** Elements of a stage. */
  readonly size: number
  /** Whether all of it is copied as it lies. */
  readonly copied: boolean
  /** What boxes of it are of, where the copy engine brings it. */
  readonly boxed?: BoxedOperand
}

/** A chunk: where its elements lie, along the folded axes. */
export interface ChunkAt {
  /** The first element of the innermost axis. */
  readonly base: Expression
  /** The places of the axes around it. */
  readonly outer: ReadonlyMap<string, Expression>
  /** The innermost axis and its end. */
  readonly axis: string
  readonly extent: Expression
  /** Whether no chunk reaches beyond the end. */
  readonly whole: boolean
}

/** Elements of one copy: 16 bytes of halves. */
const piece = 8

/** `boxes`: where the copy engine may bring what is copied. */
export function stagedOperand(
  operand: Operand,
  side: Side,
  chunk: number,
  stages: number,
  storage: Half,
  fixed: ReadonlyMap<string, Expression>,
  fold: ChunkAt,
  lowerer: Lowerer,
  parts: Build,
  boxes?: BoxesAsked,
): StagedOperand {
  const made = (inner: "fold" | "side", copied: boolean): StagedOperand => {
    const along = inner === "fold" ? chunk : side.places
    const panel = ([64, 32, 16] as const).find((p) => along % p === 0)!
    const size = chunk * side.places
    const kind = { dtype: "f32", size: size * stages, storage, swizzle: (2 * panel) as 32 | 64 | 128 } as const
    const arrays = Array.from({ length: operand.terms }, () => shareMemory("operand", kind, parts))
    return { ...operand, side, inner, chunk, panel, arrays, size, copied }
  }
  const copies = (["fold", "side"] as const).find((inner) => isCopied(operand, side, inner, fixed, fold, lowerer))
  if (copies !== undefined) {
    const { value } = operand
    const boxed = boxes && value.kind === "load" ? boxedOperand(value, side, copies, fold, boxes, lowerer) : undefined
    return { ...made(copies, true), ...(boxed === undefined ? {} : { boxed }) }
  }
  // As the largest of what is read lies.
  const elements = (l: Load) => bufferOf(parts.kernel, l.buffer).shape.reduce((n, extent) => n * extent, 1)
  const [largest] = [...nodesOf([operand.value], "load")].sort((p, q) => elements(q) - elements(p))
  const last = largest?.index.at(-1)
  const along = last === undefined ? new Set<string>() : freeVariables(last)
  const bySide = !along.has(fold.axis) && side.axes.some((a) => along.has(a.axis.name))
  return made(bySide ? "side" : "fold", false)
}

/** Whether pieces of an operand lie in memory as they are held, each whole where it is not beyond the end. */
function isCopied(
  { value, terms }: Operand,
  side: Side,
  inner: "fold" | "side",
  fixed: ReadonlyMap<string, Expression>,
  fold: ChunkAt,
  lowerer: Lowerer,
): boolean {
  const stored = storedOf(value)
  if (stored === undefined || terms !== 1) return false
  const along = inner === "fold" ? fold.axis : side.axes.at(-1)?.axis.name
  // Neighbours count together.
  if (stored.counts !== undefined && (along === undefined || freeVariables(stored.counts).has(along))) return false
  const extent = literalExtent(fold.extent)
  if (inner === "fold" && (extent === undefined || extent % piece !== 0)) return false
  const lane = "piece"
  const at = coordinates(side, inner, fixed, fold, mul(variable("p"), literal(piece)), variable("q"), {
    lane,
    width: piece,
  })
  return pieceAt(stored.load, at, { lane, width: piece }, lowerer) !== undefined
}

/** The offset of a load's elements that are read together, where they lie side by side. */
function pieceAt(
  value: Load,
  at: ReadonlyMap<string, Expression>,
  { lane, width }: Neighbours,
  lowerer: Lowerer,
): { readonly array: string; readonly offset: Expression } | undefined {
  const moved = substitute(value, at) as Load
  const { array, offset } = lowerer.place(moved)
  const start = wideOffset(offset, { name: lane, base: literal(0), width })
  return start === undefined ? undefined : { array, offset: start }
}

/** Where neighbours of an operand are read: `along` counts elements in order, `across` the others. */
function coordinates(
  side: Side,
  inner: "fold" | "side",
  fixed: ReadonlyMap<string, Expression>,
  fold: ChunkAt,
  along: Expression,
  across: Expression,
  neighbours: Neighbours,
): ReadonlyMap<string, Expression> {
  const byFold = inner === "fold"
  const rows = readableAt(side, byFold ? across : along, byFold ? undefined : neighbours)
  const k = add(fold.base, byFold ? along : across)
  return new Map([
    ...fixed,
    ...rows,
    ...fold.outer,
    [fold.axis, readableFold(k, fold, byFold ? neighbours : undefined)],
  ])
}

/** An element of the fold that may be read. */
function readableFold(k: Expression, { extent, whole }: ChunkAt, along: Neighbours | undefined): Expression {
  const known = literalExtent(extent)
  const lane = along === undefined ? literal(0) : variable(along.lane)
  if (whole) return add(k, lane)
  if (along === undefined) return apply("min", k, add(extent, literal(-1)))
  if (known !== undefined && known % along.width === 0) return add(apply("min", k, literal(known - along.width)), lane)
  return apply("min", add(k, lane), add(extent, literal(-1)))
}

/** Where an element lies: `along` in order, a multiple of a panel's part, and `across`. */
export function offsetIn(
  { panel, chunk, side, inner, size }: StagedOperand,
  stage: Expression,
  along: Expression,
  across: Expression,
): Expression {
  const rows = inner === "fold" ? side.places : chunk
  const width = inner === "fold" ? chunk : side.places
  const within =
    width === panel
      ? along
      : add(
          mul(apply("floordiv", along, literal(panel)), literal(panel * rows)),
          apply("floormod", along, literal(panel)),
        )
  return add(add(mul(stage, literal(size)), within), mul(across, literal(panel)))
}

/** The boxes of a stage, and what has to be computed for them. */
export function boxesOf(
  { side, inner, chunk, panel, size, arrays }: StagedOperand,
  { array, rows, columns, stride, row, column }: BoxedOperand,
  stage: Expression,
  fixed: ReadonlyMap<string, Expression>,
  fold: ChunkAt,
  scope: Scope,
  lowerer: Lowerer,
): readonly BoxCopy[] {
  const first = new Map([
    ...fixed,
    ...side.axes.map((a) => [a.axis.name, a.base] as const),
    ...fold.outer,
    [fold.axis, fold.base] as const,
  ])
  const [wide, tall] = inner === "fold" ? [chunk, side.places] : [side.places, chunk]
  const given = [row, column, { terms: new Map([[stage, size]]), constant: 0 }].map((x) => placed(x, first))
  const [top, left, start] = lowerValues(given, { ...scope, vector: undefined }, lowerer) as [
    Expression,
    Expression,
    Expression,
  ]
  const boxes: BoxCopy[] = []
  for (let along = 0; along < wide; along += panel)
    for (let across = 0; across < tall; across += mostRows) {
      const to = { array: arrays[0]!, offset: add(start, literal(along * tall + across * panel)) }
      const height = Math.min(mostRows, tall - across)
      const at = { row: add(top, literal(across)), column: add(left, literal(along)) }
      boxes.push({ to, from: { array, rows, columns, stride, ...at, height, width: panel } })
    }
  return boxes
}

/** Emits what fills a stage with a chunk: copies that are under way then, or stores. */
export function emitStage(
  operand: StagedOperand,
  stage: Expression,
  fixed: ReadonlyMap<string, Expression>,
  fold: ChunkAt,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { inner, side, copied } = operand
  const lane = lowerer.fresh("lane")
  const neighbours = { lane, width: piece }
  eachPiece(operand, scope, lowerer, ({ along, across }, inside) => {
    const { out } = inside
    const k = inner === "fold" ? add(fold.base, along) : add(fold.base, across)
    const at = coordinates(side, inner, fixed, fold, along, across, neighbours)
    const offset = offsetIn(operand, stage, along, across)
    if (!copied) {
      const vector = { name: lane, base: literal(0), width: piece }
      const own: Scope = { ...inside, bound: new Set(inside.bound).add(lane), vector }
      emitComputed(operand, substitute(operand.value, at), offset, fold.whole ? undefined : { k, fold }, own, lowerer)
      return
    }
    const { load, counts } = storedOf(operand.value)!
    const from = pieceAt(load, at, neighbours, lowerer)!
    const conditions = [
      ...(fold.whole ? [] : [apply("lt", k, fold.extent)]),
      ...(counts === undefined ? [] : [substitute(counts, at)]),
    ]
    const [source, to, ...lowered] = lowerValues([from.offset, offset, ...conditions], inside, lowerer)
    const valid = lowered.length === 0 ? {} : { valid: lowered.reduce((p, q) => apply("and", p, q)) }
    out.push({
      kind: "copy",
      to: { array: operand.arrays[0]!, offset: to! },
      from: { array: from.array, offset: source! },
      width: piece,
      ...valid,
    })
  })
}

/** Stores zeros where a stage has elements beyond the end of the fold. */
export function emitCleared(
  operand: StagedOperand,
  stage: Expression,
  fold: ChunkAt,
  scope: Scope,
  lowerer: Lowerer,
): void {
  eachPiece(operand, scope, lowerer, ({ along, across }, inside) => {
    const k = add(fold.base, operand.inner === "fold" ? along : across)
    const values = [apply("ge", k, fold.extent), offsetIn(operand, stage, along, across)]
    const [isBeyond, offset] = lowerValues(values, inside, lowerer) as [Expression, Expression]
    const value = splat(literal(0, "f32"), piece)
    const body: Statement[] = operand.arrays.map((array) => ({ kind: "store", array, offset, value }))
    inside.out.push({ kind: "if", condition: isBeyond, body, otherwise: [] })
  })
}

/** Emits statements for the pieces of a stage that a lane has. */
function eachPiece(
  { inner, chunk, side }: StagedOperand,
  scope: Scope,
  { fresh, threads }: Lowerer,
  emit: (at: ReturnType<typeof pieceOf>, inside: Scope) => void,
): void {
  const [width, rows] = inner === "fold" ? [chunk, side.places] : [side.places, chunk]
  const pieces = width / piece
  const all = pieces * rows
  const turn = fresh("piece")
  const out: Statement[] = []
  const bound = new Set([...scope.bound, turn, "lane"])
  emit(pieceOf(variable(turn), pieces, threads), { ...scope, out, bound, vector: undefined })
  const condition = apply("lt", numberOf(variable(turn), threads), literal(all))
  const body = all % threads === 0 ? out : [{ kind: "if", condition, body: out, otherwise: [] } as const]
  scope.out.push({ kind: "for", variable: turn, extent: literal(Math.ceil(all / threads)), bind: "unroll", body })
}

const numberOf = (turn: Expression, threads: number) => add(mul(turn, literal(threads)), variable("lane"))

/** The piece of a lane in a turn: neighbours have neighbours. */
function pieceOf(turn: Expression, pieces: number, threads: number) {
  const lane = variable("lane")
  if (threads % pieces === 0)
    return {
      along: mul(apply("floormod", lane, literal(pieces)), literal(piece)),
      across: add(mul(turn, literal(threads / pieces)), apply("floordiv", lane, literal(pieces))),
    }
  const number = numberOf(turn, threads)
  return {
    along: mul(apply("floormod", number, literal(pieces)), literal(piece)),
    across: apply("floordiv", number, literal(pieces)),
  }
}

/** Computes neighbours, and stores them in the terms; zeros beyond the end of the fold. */
function emitComputed(
  { arrays, inner }: StagedOperand,
  value: Expression,
  offset: Expression,
  rest: { readonly k: Expression; readonly fold: ChunkAt } | undefined,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const [lowered] = lowerValues([value], scope, lowerer)
  const [to] = lowerValues([offset], { ...scope, vector: undefined }, lowerer)
  const known = rest === undefined ? undefined : literalExtent(rest.fold.extent)
  const ends = (k: Expression, extent: Expression) =>
    inner === "fold" && !(known !== undefined && known % piece === 0)
      ? apply("lt", ramp(k, piece), extent)
      : apply("lt", k, extent)
  const zero = literal(0, "f32")
  const own = rest === undefined ? lowered! : apply("select", ends(rest.k, rest.fold.extent), lowered!, zero)
  const name = lowerer.fresh("own")
  scope.out.push({ kind: "let", name, value: splat(own, piece), mutable: false })
  storeTerms(arrays, to!, variable(name, "f32", piece), scope.out, lowerer)
}

/** Stores values in so many terms: each holds what those before it have lost, of an infinite value nothing. */
export const storeTerms = (
  arrays: readonly string[],
  offset: Expression,
  values: Expression,
  out: Statement[],
  lowerer: Lowerer,
): void =>
  storeTermsAt(
    arrays.map((array) => ({ array, offset })),
    values,
    out,
    lowerer,
  )

/** The same, each at a place of its own. */
export function storeTermsAt(places: readonly Place[], values: Expression, out: Statement[], lowerer: Lowerer): void {
  const named = (stem: string, value: Expression): Expression => {
    const name = lowerer.fresh(stem)
    out.push({ kind: "let", name, value, mutable: false })
    return variable(name, "f32", value.width)
  }
  let left = values
  for (const [i, place] of places.slice(0, -1).entries()) {
    const all = left.kind === "variable" ? left : named("all", left)
    const high = named("high", apply("fromBits", apply("bitand", apply("bits", all), literal(0xffff0000, "u32"))))
    const infinite = apply("eq", apply("abs", all), literal(Number.POSITIVE_INFINITY, "f32"))
    const lost = apply("sub", all, high)
    left = i === 0 ? apply("select", infinite, literal(0, "f32"), lost) : lost
    out.push({ kind: "store", ...place, value: high })
  }
  out.push({ kind: "store", ...places.at(-1)!, value: left })
}
