/**
 * Online folds by matrix units: the scores of a chunk are one product, stay where it leaves them, become weights there, and are the operand of the next.
 *
 *   q staged;  for turn { k, v of later chunks under way;  S = q · k;  S = score(S);  pivots of rows move, sums and O follow;  S = weight(S);  O += S · v }
 *
 * A lane holds some registers of some rows: a pivot is folded over its registers, and by exchanges with the lanes that hold the others. No score goes
 * through memory. Chunks of which no element counts for the block are left out; those of which all do are not looked at element by element.
 */
import { add, apply, literal, mul, variable } from "../../ir/expression.js"
import { type Atom, fragmentSize } from "../../ir/fragments/atoms.js"
import type { Store } from "../../ir/kernel.js"
import type { Place, Statement, Tile } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import type { BlockAxis, Build } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { emitStaged } from "../staging/homes.js"
import type { StagedLocal } from "../staging/staged.js"
import {
  chunkAt,
  keysAt,
  type OnlineBlock,
  type OnlineStaged,
  onlineBlock,
  onlineStaged,
  sizeOf,
  turnsOf,
} from "./online-block.js"
import { onlineProductsOf } from "./online-operands.js"
import { emitOnlineResults } from "./online-results.js"
import { emitWeights, openRows } from "./online-rows.js"
import { allocate, clear, type Groups, when } from "./registers.js"
import { fragmentsOf, slotOf, termsOf, tilesOf } from "./ring.js"
import { emitStage, type StagedOperand } from "./staged.js"

/** Emits a store, and those made along with it, whose fold is an online one, by matrix units. */
export function emitOnline(
  given: readonly Store[],
  atom: Atom,
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  locals: readonly StagedLocal[],
  start: Scope,
  parts: Build,
): void {
  const { out } = start
  const of = onlineProductsOf(given, parts.kernel, { storage: atom.a.storage, terms: parts.terms })
  const block = onlineBlock(of, atom, axes, schedule, parts)
  const operands = [of.queries, of.keys, ...of.values].map((x) => x.value)
  const values = [...of.stores.flatMap((s) => [s.value, ...s.index]), ...operands]
  const folding = (axis: string) => schedule.reduce[axis] ?? {}
  const { lowerer } = emitStaged({ values, axes, locals, chunk: undefined, folding }, parts, out)
  const scope: Scope = { ...start, bound: new Set([...start.bound, "lane"]), vector: undefined }
  const staged = onlineStaged(block, lowerer, parts)
  const { from, count } = turnsOf(block, scope, lowerer)
  const size = sizeOf(block.scores)
  const scores = allocate({ groups: block.scores }, "c", "scores", size, out, lowerer)
  const terms = Math.max(...of.values.map((v) => v.terms))
  const weights = Array.from({ length: terms }, () =>
    allocate({ groups: block.results }, "a", "weight", size, out, lowerer),
  )
  const results = of.values.map(() =>
    allocate({ groups: block.results }, "c", "result", sizeOf(block.results), out, lowerer),
  )
  for (const array of results) clear(array, sizeOf(block.results), out, lowerer)
  const rows = openRows(block, scope, lowerer)
  emitStage(staged.queries, literal(0), block.fixed, staged.inner, scope, lowerer)
  emitTurns(block, staged, from, count, scope, lowerer, (slot, number, inside) => {
    const done: readonly Statement[] = atom.asynchronous
      ? [
          { kind: "commit", of: "products" },
          { kind: "wait", of: "products", groups: 0 },
        ]
      : []
    clear(scores, size, inside.out, lowerer)
    emitProduct(block.scores, scores, staged.queries, [staged.keys, slot], inside, lowerer)
    inside.out.push(...done)
    emitWeights({ block, rows, scores, weights, results, number }, inside, lowerer)
    for (const [i, v] of staged.values.entries())
      emitProduct(block.results, results[i]!, weights, [v, slot], inside, lowerer)
    inside.out.push(...done)
  })
  emitOnlineResults({ block, rows, results }, scope, lowerer, parts)
}

/** The loop over chunks: those of later turns are under way while one is folded. */
function emitTurns(
  block: OnlineBlock,
  staged: OnlineStaged,
  from: Expression,
  count: Expression,
  scope: Scope,
  lowerer: Lowerer,
  emit: (slot: Expression, number: Expression, inside: Scope) => void,
): void {
  const { out } = scope
  const ahead = block.stages - 1
  const wait = (groups: number): Statement => ({ kind: "wait", of: "copies", groups })
  const commit: Statement = { kind: "commit", of: "copies" }
  const fill = (turn: Expression, inside: Scope) => {
    const slot = slotOf(turn, block.stages)
    const number = add(from, turn)
    emitStage({ ...staged.keys, side: keysAt(block, number) }, slot, block.fixed, staged.inner, inside, lowerer)
    for (const v of staged.values) emitStage(v, slot, block.fixed, chunkAt(block, number), inside, lowerer)
  }
  for (let i = 0; i < ahead; i++) {
    const body: Statement[] = []
    fill(literal(i), { ...scope, out: body })
    out.push(...when(apply("lt", literal(i), count), body), commit)
  }
  const turn = lowerer.fresh("turn")
  const here = variable(turn)
  const bound = new Set(scope.bound).add(turn)
  const later: Statement[] = []
  fill(add(here, literal(ahead)), { ...scope, out: later, bound })
  const filled = [...when(apply("lt", add(here, literal(ahead)), count), later), commit]
  const body: Statement[] =
    ahead === 0
      ? [{ kind: "barrier" }, ...filled, wait(0), { kind: "barrier" }]
      : [wait(ahead - 1), { kind: "barrier" }, ...filled]
  emit(slotOf(here, block.stages), add(from, here), { ...scope, out: body, bound })
  out.push({ kind: "for", variable: turn, extent: count, bind: "serial", body })
}

/** Adds a product to fragments: of a staged operand, or of fragments that hold its terms, with a staged one. */
function emitProduct(
  groups: Groups,
  result: string,
  left: StagedOperand | readonly string[],
  [right, slot]: readonly [StagedOperand, Expression],
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { atom, down, across } = groups
  const step = lowerer.fresh("step")
  const first = mul(variable(step), literal(atom.k))
  const out: Statement[] = []
  const inside = { ...scope, out }
  const [i, j] = [lowerer.fresh("down"), lowerer.fresh("across")]
  const staged = (operand: "a" | "b", x: StagedOperand, slot: Expression): readonly (Place | Tile)[] => {
    const number = variable(operand === "a" ? i : j)
    if (atom[operand].places.includes("shared")) return tilesOf({ groups }, operand, x, slot, first, number)
    const size = literal(fragmentSize(atom, operand))
    return fragmentsOf({ groups }, operand, x, slot, first, inside.out, lowerer).map((array) => ({
      array,
      offset: mul(number, size),
    }))
  }
  const depth = right.chunk
  const held = (array: string): Place => {
    const size = fragmentSize(atom, "a")
    const row = mul(variable(i), literal((depth / atom.k) * size))
    return { array, offset: add(row, mul(variable(step), literal(size))) }
  }
  const a = isStaged(left) ? staged("a", left, literal(0)) : left.map(held)
  const b = staged("b", right, slot)
  const c = {
    array: result,
    offset: mul(add(mul(variable(i), literal(across)), variable(j)), literal(fragmentSize(atom, "c"))),
  }
  const multiplies = termsOf(a, b).map(([a, b]): Statement => ({ kind: "multiply", atom: atom.name, c, a, b }))
  const columns: Statement = { kind: "for", variable: j, extent: literal(across), bind: "unroll", body: multiplies }
  out.push({ kind: "for", variable: i, extent: literal(down), bind: "unroll", body: [columns] })
  scope.out.push({ kind: "for", variable: step, extent: literal(depth / atom.k), bind: "unroll", body: out })
}

const isStaged = (x: StagedOperand | readonly string[]): x is StagedOperand => !Array.isArray(x)
