/**
 * The few rows of products whose weights go straight into fragments, in the workgroup's memory: once for all of its weights, in the order in which lanes take
 * them.
 *
 *   x[s, k] of 2 rows and 4,096 k, pairs 4 apart   →   halves [2][4096] in the order 0 4 1 5 2 6 3 7 of each eight
 *
 * Beyond the end of the folded axis there are zeros, whatever weights are multiplied with them. What follows no axis of the weights is made once for all
 * blocks that a workgroup takes.
 */
import { literalExtent } from "../../../ir/dim.js"
import {
  add,
  apply,
  freeVariables,
  identity,
  lane,
  literal,
  mul,
  ramp,
  splat,
  substitute,
  variable,
  vector,
} from "../../../ir/expression.js"
import type { Half, Statement } from "../../../ir/loop.js"
import type { Expression } from "../../../ir/nodes.js"
import { nodesOf } from "../../../ir/query.js"
import type { Axis } from "../../../ir/tensor.js"
import type { Build, Home } from "../../block.js"
import type { Lowerer, Scope } from "../../lowerer.js"
import { shareMemory } from "../../staging/staged.js"
import { guarded } from "../../store-copies.js"
import { lowerValues } from "../../values.js"
import type { Operand } from "../operands.js"
import { readableAt, type Side } from "../places.js"
import { chunksOf } from "../ring.js"
import { storeTermsAt } from "../staged.js"

/** Rows as they are asked for. */
export interface RowsWanted {
  readonly of: Operand
  readonly side: Side
  readonly folded: readonly Axis[]
  readonly storage: Half
  /** Elements of the last folded axis that a group of lanes takes in a step. */
  readonly step: number
  /** How far apart in the fold the two elements of a word are. */
  readonly apart: number
  /** Whether zeros follow, as many as a lane takes: then four lanes have a row, whose stretches lie as they are. */
  readonly zeros: boolean
  readonly fixed: ReadonlyMap<string, Expression>
  /** Steps that memory holds at once; left out: all. */
  readonly part?: number
}

/** Where they lie: the terms of each row one behind the other. */
export interface Rows {
  readonly array: string
  /** Elements of a term of a row. */
  readonly stride: number
  /** Brings the steps from one on there: nothing where all are there from the beginning. */
  readonly bring: ((first: Expression, scope: Scope) => void) | undefined
}

/** Elements that a lane stores at once, and takes at once. */
export const piece = 8

/** Which element of a stretch is at a place. */
export const elementOfPlace = (place: number, apart: number): number => {
  const within = place % (2 * apart)
  return place - within + (within >> 1) + apart * (within & 1)
}

export function emitRows(
  wanted: RowsWanted,
  cells: readonly string[],
  homes: ReadonlyMap<string, Home>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): Rows {
  const { of, side, folded, storage, step, zeros } = wanted
  const all = literalExtent(chunksOf(folded, step).count)!
  const steps = Math.min(wanted.part ?? all, all)
  const lines = side.count * of.terms
  const stride = strideOf(lines, steps * step)
  const size = lines * stride + (zeros ? step / 4 : 0)
  const { prologue } = parts
  const value = substitute(of.value, wanted.fixed)
  const at = readableAt(side, variable("row"))
  const common = new Set(prologue?.homes.values())
  const isCommon =
    prologue !== undefined &&
    steps === all &&
    nodesOf([value], "localRead").every((l) => common.has(homes.get(l.local)!)) &&
    [value, ...at.values()].every((x) => cells.every((c) => !freeVariables(x).has(c)))
  // Stores name their axes as they like, folded ones and those of rows.
  const folds = folded.map((a, i) => [a.name, variable(`folded ${i}`)] as const)
  const alike = identity(substitute(value, new Map([...folds, ...at])))
  const key = `rows ${alike} ${folded.map((a) => literalExtent(a.extent))} ${[size, step, wanted.apart, of.terms]}`
  const known = isCommon ? prologue.homes.get(key) : undefined
  if (known !== undefined) return { array: known.array!, stride, bring: undefined }
  const kind = { dtype: "f32", size, storage } as const
  const array = isCommon ? parts.fresh("rows") : shareMemory("rows", kind, parts)
  if (isCommon) {
    parts.shared.set(array, kind)
    prologue.kept.add(array)
  }
  const out = isCommon ? prologue.out : scope.out
  if (isCommon) prologue.fences.before(array, value, out)
  const pieces = { array, stride, steps, all }
  if (zeros) emitZeros(array, lines * stride, step / 4, out)
  if (steps === all) emitPieces(wanted, value, pieces, literal(0), { ...scope, out }, lowerer)
  if (!isCommon) out.push({ kind: "barrier" })
  const home: Home = { array, shape: [size], scalar: undefined, offset: () => literal(0) }
  if (isCommon) prologue.homes.set(key, home)
  const bring = (first: Expression, there: Scope) => {
    there.out.push({ kind: "barrier" })
    emitPieces(wanted, value, pieces, first, there, lowerer)
    there.out.push({ kind: "barrier" })
  }
  return { array, stride, bring: steps === all ? undefined : bring }
}

/** Rows one behind the other begin at other banks. */
export const strideOf = (lines: number, length: number): number =>
  lines > 1 && (length / 32) % 2 === 0 ? length + 32 : length

function emitZeros(array: string, from: number, count: number, out: Statement[]): void {
  const place = mul(variable("lane"), literal(piece))
  const value = splat(literal(0, "f32"), piece)
  const store: Statement = { kind: "store", array, offset: add(literal(from), place), value }
  out.push({ kind: "if", condition: apply("lt", place, literal(count)), body: [store], otherwise: [] })
}

function emitPieces(
  { of, side, folded, step, apart, zeros }: RowsWanted,
  value: Expression,
  {
    array,
    stride,
    steps,
    all,
  }: { readonly array: string; readonly stride: number; readonly steps: number; readonly all: number },
  begin: Expression,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const inRow = (steps * step) / piece
  const count = side.count * inRow
  const turn = lowerer.fresh("piece")
  const number = add(mul(variable(turn), literal(lowerer.threads)), variable("lane"))
  const several = side.count > 1
  const row = several ? apply("floordiv", number, literal(inRow)) : literal(0)
  const within = several ? apply("floormod", number, literal(inRow)) : number
  const first = mul(zeros ? within : dealtOut(within, step), literal(piece))
  const own = lowerer.fresh("lane")
  const out: Statement[] = []
  const whole = add(within, mul(begin, literal(step / piece)))
  const { at, k, extent } = placeOf(folded, step, whole)
  const [low, high] = halvesOf(k, whole, apart)
  const inside: Scope = {
    ...scope,
    out,
    bound: new Set([...scope.bound, turn, "lane", own]),
    vector: { name: own, base: literal(0), width: piece / 2 },
  }
  const known = literalExtent(extent)!
  const isWhole = known % step === 0
  const places = readableAt(side, row)
  const read = (from: Expression) => {
    const last = known % (piece / 2) === 0
    const k = isWhole
      ? add(from, variable(own))
      : last
        ? add(apply("min", from, literal(known - piece / 2)), variable(own))
        : apply("min", add(from, variable(own)), literal(known - 1))
    return substitute(value, new Map([...places, ...at, [folded.at(-1)!.name, k]]))
  }
  const lowered = lowerValues([read(low), read(high)], inside, lowerer)
  const halves = lowered.map((x, i): Expression => {
    const from = i === 0 ? low : high
    const wide = splat(x, piece / 2)
    const counts = apply("lt", ramp(from, piece / 2), literal(known))
    const name = lowerer.fresh("own")
    const kept = isWhole ? wide : apply("select", counts, wide, literal(0, "f32"))
    out.push({ kind: "let", name, value: kept, mutable: false })
    return variable(name, "f32", piece / 2)
  })
  const order = Array.from({ length: piece }, (_, place) => {
    const element = apart < 4 ? elementOfPlace(place, apart) : (place >> 1) + 4 * (place & 1)
    return lane(halves[element >> 2]!, element & 3)
  })
  const to = lowerValues(
    Array.from({ length: of.terms }, (_, t) =>
      add(mul(row, literal(of.terms * stride)), add(first, literal(t * stride))),
    ),
    { ...inside, vector: undefined },
    lowerer,
  )
  storeTermsAt(
    to.map((offset) => ({ array, offset })),
    vector(order),
    out,
    lowerer,
  )
  const isOwn = count % lowerer.threads === 0 ? literal(1, "bool") : apply("lt", number, literal(count))
  const isThere = all % steps === 0 ? literal(1, "bool") : apply("lt", whole, literal((all * step) / piece))
  const body = guarded(apply("and", isOwn, isThere), out)
  const turns = Math.ceil(count / lowerer.threads)
  const bind = turns <= mostUnrolled ? "unroll" : "serial"
  scope.out.push({ kind: "for", variable: turn, extent: literal(turns), bind, body })
}

/** Where a piece of a row lies: of the stretches of four lanes the pieces that they take at once are neighbours, in banks of their own. */
function dealtOut(within: Expression, step: number): Expression {
  const [inStep, inStretch] = [step / piece, step / piece / 4]
  if (inStretch === 1) return within
  const number = apply("floormod", within, literal(inStep))
  const [stretch, at] = [apply("floordiv", number, literal(inStretch)), apply("floormod", number, literal(inStretch))]
  return add(add(mul(apply("floordiv", within, literal(inStep)), literal(inStep)), mul(at, literal(4))), stretch)
}

/** Turns whose reads are under way at once. */
const mostUnrolled = 4

/** Where a piece of a row lies in the folds. */
function placeOf(folded: readonly Axis[], step: number, within: Expression) {
  const inStep = literal(step / piece)
  if (folded.length === 1)
    return { at: new Map<string, Expression>(), k: mul(within, literal(piece)), extent: folded[0]!.extent }
  const { base, outer, extent } = chunksOf(folded, step).at(apply("floordiv", within, inStep))
  return { at: outer, k: add(base, mul(apply("floormod", within, inStep), literal(piece))), extent }
}

/** The elements that a piece begins with in each of its halves. */
function halvesOf(k: Expression, within: Expression, apart: number): readonly [Expression, Expression] {
  if (apart <= piece / 2) return [k, add(k, literal(piece / 2))]
  // Of what is so far apart a piece is a part.
  const number = apply("floormod", within, literal((2 * apart) / piece))
  const low = add(k, mul(number, literal(-piece / 2)))
  return [low, add(low, literal(apart))]
}
