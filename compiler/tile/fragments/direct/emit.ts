/**
 * Few rows times many weights, which go from memory straight into fragments.
 *
 *   y[o] = sum_k(x[k] · w[o, k]) over o < 4096, k < 4096   with   { atom: { name: "mma.m16n8k16.bf16", rows: "o", direct: true },
 *                                                                   tile: { o: { block: 16 } }, warps: { k: 8 }, reduce: { k: { chunk: 128, innerUnroll: 4 } } }
 *   →  x as halves in the workgroup's memory;  8 groups of lanes have every eighth step of 128 k each: a lane 32 k of two rows of w, 16 bytes of 4-bit codes;
 *      for 8 products { fragments of a ← w;  fragments of b ← x;  c += a · b };  what groups have is added up;  y
 *
 * Which elements of the fold are which column of a fragment does not matter as long as both operands agree: a lane has neighbours, which lie together in
 * memory. Where factors leave a product (terms.ts), each lane has its own: then a column of b is one row of x at those elements alone that belong to one of four lanes, and zeros
 * elsewhere, so that the sums of a lane's own stretch of the fold are its own registers of c, one for each of two rows of x. Its factor is applied to them there.
 */
import { add, apply, fetch, literal, mul, substitute, variable } from "../../../ir/expression.js"
import type { Atom } from "../../../ir/fragments/atoms.js"
import type { Store } from "../../../ir/kernel.js"
import type { Statement } from "../../../ir/loop.js"
import type { Expression, Reduce } from "../../../ir/nodes.js"
import type { StoreSchedule } from "../../../ir/schedule.js"
import { type BlockAxis, type Build, laneVariable, Refused } from "../../block.js"
import { firstPlaces } from "../../iterations.js"
import type { Lowerer, Scope } from "../../lowerer.js"
import { emitStaged } from "../../staging/homes.js"
import { type StagedLocal, shareMemory } from "../../staging/staged.js"
import { emitStores, guarded } from "../../store-copies.js"
import { scansAsReductions } from "../../values.js"
import { fixedOf, placeAt } from "../places.js"
import { allocate, clear } from "../registers.js"
import { type DirectProducts, directOf } from "./operands.js"
import { type Plan, planOf } from "./plan.js"
import { emitRows } from "./rows.js"
import { emitSteps } from "./steps.js"

/** Emits a store, and those made along with it. */
export function emitDirect(
  given: readonly Store[],
  atom: Atom,
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  locals: readonly StagedLocal[],
  start: Scope,
  parts: Build,
): void {
  const rowAxis = schedule.atom!.rows
  if (rowAxis === undefined) throw new Refused("atom/axes", "which axis the weights follow is not said")
  if (atom.lanes !== 32 || atom.c.layout === undefined)
    throw new Refused("atom/fold", `where operands of '${atom.name}' lie is not known, or they lie in memory`)
  const of = directOf(given, rowAxis, parts.kernel, { storage: atom.a.storage, terms: parts.terms })
  const among = (side: DirectProducts["rows"]) => axes.filter((a) => side.includes(a.axis))
  const [rowAxes, columnAxes] = [among(of.rows), among(of.columns)]
  const fixed = fixedOf(axes, rowAxes, columnAxes)
  const plan = planOf(of, atom, rowAxes, columnAxes, schedule, fixed, parts)
  const values = [...of.stores.flatMap((s) => [s.value, ...s.index]), ...[...of.weights, of.other].map((x) => x.value)]
  const { lowerer, homes } = emitStaged(
    { values, axes, locals, chunk: undefined, folding: (axis) => schedule.reduce[axis] ?? {} },
    parts,
    start.out,
  )
  const cells = axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name]))
  const scope: Scope = { ...start, bound: new Set([...start.bound, "lane"]) }
  const wanted = {
    of: of.other,
    side: plan.columns,
    folded: of.folded,
    storage: atom.b.storage,
    step: plan.step,
    apart: plan.apart,
    zeros: plan.isOwn,
    fixed,
    part: plan.part,
  }
  const rows = emitRows(wanted, cells, homes, scope, lowerer, parts)
  const sums = of.folds.map(() => {
    const array = allocate({ groups: { atom } }, "c", "sum", plan.sums, scope.out, lowerer)
    clear(array, plan.sums, scope.out, lowerer)
    return array
  })
  emitSteps(plan, rows, sums, scope, lowerer)
  emitResults(of, plan, fixed, sums, scope, lowerer, parts)
}

/** Adds up what lanes and groups have, and stores what becomes of it: a lane has a point. */
function emitResults(
  of: DirectProducts,
  plan: Plan,
  fixed: ReadonlyMap<string, Expression>,
  sums: readonly string[],
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const { rows, columns, lines, shared } = plan
  const points = rows.places * columns.count
  const { terms } = of.other
  const arrays = sums.map(() => shareMemory("part", { dtype: "f32", size: shared * rows.places * lines }, parts))
  for (const [n, from] of sums.entries()) emitParts(plan, from, arrays[n]!, scope, lowerer)
  scope.out.push({ kind: "barrier" })
  const turn = lowerer.fresh("turn")
  const point = lowerer.fresh("point")
  const out: Statement[] = []
  const number = add(mul(variable(turn), literal(lowerer.threads)), laneVariable)
  out.push({ kind: "let", name: point, value: number, mutable: false })
  const whole: Statement[] = []
  const row = apply("floormod", variable(point), literal(rows.places))
  const column = columns.count === 1 ? literal(0) : apply("floordiv", variable(point), literal(rows.places))
  const [down, across] = [placeAt(rows, row), placeAt(columns, column)]
  const at = new Map([...fixed, ...down.at, ...across.at])
  const solved = new Map(scope.solved)
  for (const [n, fold] of of.folds.entries()) {
    // The terms of a row one behind the other.
    const first = add(mul(column, literal(terms * rows.places)), row)
    const total = Array.from({ length: shared * terms }, (_, i) => {
      const behind = Math.floor(i / terms) * rows.places * lines + (i % terms) * rows.places
      return fetch(arrays[n]!, add(terms === 1 ? variable(point) : first, literal(behind)), "f32") as Expression
    }).reduce((x, y) => add(x, y))
    const name = lowerer.fresh("total")
    whole.push({ kind: "let", name, value: total, mutable: false })
    solved.set(scansAsReductions(substitute(fold, at)) as Reduce, [variable(name, "f32")])
  }
  const bound = new Set([...scope.bound, turn, point])
  const inner: Scope = { ...scope, out: whole, bound, solved }
  const copies = { copies: [{ at, inside: literal(1, "bool") }], vector: undefined }
  for (const s of of.stores) emitStores(s, s === of.stores[0] ? copies : firstPlaces(copies, s), inner, lowerer)
  const isThere = points % lowerer.threads === 0 ? literal(1, "bool") : apply("lt", variable(point), literal(points))
  out.push(...guarded(apply("and", isThere, apply("and", down.inside, across.inside)), whole))
  scope.out.push({
    kind: "for",
    variable: turn,
    extent: literal(Math.ceil(points / lowerer.threads)),
    bind: "unroll",
    body: out,
  })
}

/** Puts what a group of lanes has of all points into memory, its columns one behind the other. */
function emitParts(plan: Plan, from: string, to: string, scope: Scope, lowerer: Lowerer): void {
  const { down, tall, rows, lines, isOwn, along, own, line } = plan
  const points = rows.places * lines
  const body: Statement[] = []
  for (let i = 0; i < down; i++)
    for (let j = 0; j < plan.across; j++)
      for (let e = 0; e < 4; e++) {
        const column = isOwn ? literal(2 * j + (e & 1)) : add(literal(8 * j + (e & 1)), mul(own, literal(2)))
        if ((isOwn ? 2 : 8) * j + (e & 1) >= lines) continue
        const register = literal(4 * (i * plan.across + j) + e)
        let value: Expression = fetch(from, register, "f32") as Expression
        if (isOwn)
          for (const mask of [1, 2]) {
            const [mine, other] = [lowerer.fresh("mine"), lowerer.fresh("other")]
            body.push({ kind: "let", name: mine, value, mutable: false })
            body.push({ kind: "shuffle", name: other, value: variable(mine, "f32"), mask })
            value = add(variable(mine, "f32"), variable(other, "f32"))
          }
        const row = add(add(mul(tall, literal(16 * down)), literal(16 * i + 8 * (e >> 1))), line)
        const offset = add(add(mul(along, literal(points)), mul(column, literal(rows.places))), row)
        const store: Statement = { kind: "store", array: to, offset, value }
        const isFirst = isOwn ? apply("eq", own, literal(0)) : literal(1, "bool")
        const isThere = isOwn || 8 * (j + 1) <= lines ? literal(1, "bool") : apply("lt", column, literal(lines))
        body.push(...guarded(apply("and", isFirst, isThere), [store]))
      }
  scope.out.push(...body)
}
