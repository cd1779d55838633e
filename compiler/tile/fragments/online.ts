/**
 * Online folds by matrix units: the scores of a chunk are one product, stay where it leaves them, become weights there, and are the operand of the next.
 *
 *   q staged;  for turn { k, v of later chunks under way;  S = q · k;  S = score(S);  pivots of rows move, sums and O follow;  S = weight(S);  O += S · v }
 *
 * A lane holds some registers of some rows: a pivot is folded over its registers, and by exchanges with the lanes that hold the others. No score goes
 * through memory. Chunks of which no element counts for the block are left out; those of which all do are not looked at element by element.
 */
import { add, apply, literal, variable } from "../../ir/expression.js"
import type { Atom } from "../../ir/fragments/atoms.js"
import type { Store } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import { assign } from "../accumulators.js"
import type { BlockAxis, Build } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { emitStaged } from "../staging/homes.js"
import type { StagedLocal } from "../staging/staged.js"
import { chunkAt, keysAt, type OnlineStaged, onlineBlock, onlineStaged, sizeOf, turnsOf } from "./online-block.js"
import { emitKeep, emitRestore, openKept } from "./online-kept.js"
import { onlineProductsOf } from "./online-operands.js"
import { emitProduct } from "./online-products.js"
import { emitOnlineResults } from "./online-results.js"
import { openRows } from "./online-rows.js"
import { emitScores } from "./online-scores.js"
import { emitAdvance, emitOperand, emitWeights, type OpenFold, openMoves } from "./online-weights.js"
import { allocate, clear, when } from "./registers.js"
import { slotOf } from "./ring.js"
import { emitStage } from "./staged.js"

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
  const fold: OpenFold = { block, rows, scores, weights, results }
  const kept = block.run === undefined ? undefined : openKept(fold, scope, lowerer)
  const turns: Turns = { fold, staged, kept, from, count }
  emitStage(staged.queries, literal(0), block.fixed, staged.inner, scope, lowerer)
  if (atom.asynchronous && block.stages > 1) emitLapped(turns, scope, lowerer)
  else emitInTurn(turns, scope, lowerer)
  if (kept !== undefined) emitRestore(fold, kept, scope, lowerer)
  emitOnlineResults({ block, rows, results }, scope, lowerer, parts)
}

/** What is done with the chunks of a fold. */
interface Turns {
  readonly fold: OpenFold
  readonly staged: OnlineStaged
  readonly kept: ReturnType<typeof openKept> | undefined
  /** The first chunk, and how many there are. */
  readonly from: Expression
  readonly count: Expression
}

const wait = (of: "copies" | "products", groups: number): Statement => ({ kind: "wait", of, groups })
const commit = (of: "copies" | "products"): Statement => ({ kind: "commit", of })
const barrier: Statement = { kind: "barrier" }

/** Copies of a chunk's keys, or values, where there is such a chunk. */
function emitCopies(
  { fold: { block }, staged, from, count }: Turns,
  what: "keys" | "values",
  turn: Expression,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const body: Statement[] = []
  const inside = { ...scope, out: body }
  const [slot, number] = [slotOf(turn, block.stages), add(from, turn)]
  if (what === "keys")
    emitStage({ ...staged.keys, side: keysAt(block, number) }, slot, block.fixed, staged.inner, inside, lowerer)
  else for (const v of staged.values) emitStage(v, slot, block.fixed, chunkAt(block, number), inside, lowerer)
  scope.out.push(...when(apply("lt", turn, count), body))
}

/** Scores of a chunk, from its keys. */
function emitScoreProduct({ fold, staged }: Turns, turn: Expression, scope: Scope, lowerer: Lowerer): void {
  const { block, scores } = fold
  const keys = [staged.keys, slotOf(turn, block.stages)] as const
  emitProduct({ groups: block.scores, result: scores, left: staged.queries, right: keys, fresh: true }, scope, lowerer)
}

/** Adds the values of a chunk to the results, by their weights. */
function emitResultProducts({ fold, staged }: Turns, turn: Expression, scope: Scope, lowerer: Lowerer): void {
  const { block, results, weights } = fold
  const slot = slotOf(turn, block.stages)
  for (const [i, v] of staged.values.entries())
    emitProduct({ groups: block.results, result: results[i]!, left: weights, right: [v, slot] }, scope, lowerer)
}

function loop(
  extent: Expression,
  scope: Scope,
  lowerer: Lowerer,
  emit: (turn: Expression, inside: Scope) => void,
): void {
  if (extent.kind === "literal" && extent.value === 0) return
  const turn = lowerer.fresh("turn")
  const body: Statement[] = []
  emit(variable(turn), { ...scope, out: body, bound: new Set(scope.bound).add(turn) })
  scope.out.push({ kind: "for", variable: turn, extent, bind: "serial", body })
}

/** One chunk after the other: those of later turns are under way while one is folded. */
function emitInTurn(turns: Turns, scope: Scope, lowerer: Lowerer): void {
  const { fold, kept, from, count } = turns
  const { block } = fold
  const ahead = block.stages - 1
  const copies = (turn: Expression, inside: Scope) => {
    for (const what of ["keys", "values"] as const) emitCopies(turns, what, turn, inside, lowerer)
    inside.out.push(commit("copies"))
  }
  for (let i = 0; i < ahead; i++) copies(literal(i), scope)
  const done = block.scores.atom.asynchronous ? [commit("products"), wait("products", 0)] : []
  loop(count, scope, lowerer, (turn, inside) => {
    const { out } = inside
    out.push(...(ahead === 0 ? [barrier] : [wait("copies", ahead - 1), barrier]))
    copies(add(turn, literal(ahead)), inside)
    if (ahead === 0) out.push(wait("copies", 0), barrier)
    emitScoreProduct(turns, turn, inside, lowerer)
    out.push(...done)
    const number = add(from, turn)
    emitScores(block, fold.rows, fold.scores, number, inside, lowerer)
    emitAdvance(fold, emitWeights(fold, number, inside, lowerer), inside, lowerer)
    emitOperand(fold, inside, lowerer)
    emitResultProducts(turns, turn, inside, lowerer)
    out.push(...done)
    if (kept !== undefined) emitKeep(fold, kept, add(turn, literal(1)), inside, lowerer)
  })
}

/**
 * Scores of a chunk are multiplied beside the values of the one before it, whose weights are known; its own weights are found while those go on.
 *
 *   S = q · k0;  weights of S;  for turn from 1 { O ready: follows;  P = S;  S = q · k;  O += P · v before;  S ready: weights of S };  O follows;  O += S · v
 *
 * What is begun in one turn is waited for in the next: compilers move a wait up to the front of what does not need it, as far as loops let them.
 */
function emitLapped(turns: Turns, scope: Scope, lowerer: Lowerer): void {
  const { fold, kept, from, count } = turns
  const { block } = fold
  const ahead = block.stages - 1
  const moves = openMoves(fold, scope, lowerer)
  const copies = (keys: Expression, values: Expression | undefined, inside: Scope) => {
    emitCopies(turns, "keys", keys, inside, lowerer)
    if (values !== undefined) emitCopies(turns, "values", values, inside, lowerer)
    inside.out.push(commit("copies"))
  }
  const weigh = (turn: Expression, inside: Scope) => {
    const number = add(from, turn)
    emitScores(block, fold.rows, fold.scores, number, inside, lowerer)
    for (const [i, { moved }] of emitWeights(fold, number, inside, lowerer).entries())
      assign(moves[i]!.moved, moved, true, inside.out, lowerer)
  }
  const take = (inside: Scope) => {
    inside.out.push(wait("products", 0))
    emitAdvance(fold, moves, inside, lowerer)
    emitOperand(fold, inside, lowerer)
  }
  for (let i = 0; i < ahead; i++) copies(literal(i), i === 0 ? undefined : literal(i - 1), scope)
  const ready = [wait("copies", ahead - 1), barrier]
  const body: Statement[] = []
  const inside: Scope = { ...scope, out: body }
  body.push(...ready)
  emitScoreProduct(turns, literal(0), inside, lowerer)
  body.push(commit("products"))
  copies(literal(ahead), literal(ahead - 1), inside)
  body.push(wait("products", 0))
  weigh(literal(0), inside)
  const last = add(count, literal(-1))
  loop(last, inside, lowerer, (before, here) => {
    const { out } = here
    const turn = add(before, literal(1))
    take(here)
    if (kept !== undefined) emitKeep(fold, kept, before, here, lowerer)
    out.push(...ready)
    emitScoreProduct(turns, turn, here, lowerer)
    out.push(commit("products"))
    emitResultProducts(turns, before, here, lowerer)
    out.push(commit("products"))
    copies(add(turn, literal(ahead)), add(before, literal(ahead)), here)
    out.push(wait("products", 1))
    weigh(turn, here)
  })
  take(inside)
  body.push(...ready)
  emitResultProducts(turns, last, inside, lowerer)
  body.push(commit("products"), wait("products", 0))
  scope.out.push(...when(apply("lt", literal(0), count), body))
}
