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
import { onlineBlock, onlineStaged, sizeOf, turnsOf } from "./online-block.js"
import { type Chunks, type Coming, openCopies } from "./online-copies.js"
import { emitKeep, emitRestore, openKept } from "./online-kept.js"
import { onlineProductsOf } from "./online-operands.js"
import { emitProduct } from "./online-products.js"
import { emitOnlineResults } from "./online-results.js"
import { openRows } from "./online-rows.js"
import { emitScores } from "./online-scores.js"
import { emitAdvance, emitOperand, emitSums, emitWeights, type OpenFold, openMoves } from "./online-weights.js"
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
  const lapped = atom.asynchronous && block.stages > 1
  const chunks = { block, staged, from, count }
  const coming = openCopies(chunks, lapped, scope, lowerer)
  const turns: Turns = { ...chunks, fold, kept, coming }
  emitStage(staged.queries, literal(0), block.fixed, staged.inner, scope, lowerer)
  if (lapped) emitLapped(turns, scope, lowerer)
  else emitInTurn(turns, scope, lowerer)
  if (kept !== undefined) emitRestore(fold, kept, scope, lowerer)
  emitSums(fold, scope, lowerer)
  emitOnlineResults({ block, rows, results }, scope, lowerer, parts)
}

/** What is done with the chunks of a fold. */
interface Turns extends Chunks {
  readonly fold: OpenFold
  readonly coming: Coming
  readonly kept: ReturnType<typeof openKept> | undefined
}

const wait = (groups: number): Statement => ({ kind: "wait", of: "products", groups })
const commit: Statement = { kind: "commit", of: "products" }

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
  const { fold, kept, from, count, coming } = turns
  const { block } = fold
  coming.begin(scope)
  const done = block.scores.atom.asynchronous ? [commit, wait(0)] : []
  loop(count, scope, lowerer, (turn, inside) => {
    const { out } = inside
    coming.keys(turn, inside)
    emitScoreProduct(turns, turn, inside, lowerer)
    out.push(...done)
    coming.keysRead(turn, inside)
    const number = add(from, turn)
    emitScores(block, fold.rows, fold.scores, number, inside, lowerer)
    emitAdvance(fold, emitWeights(fold, number, inside, lowerer), inside, lowerer)
    emitOperand(fold, inside, lowerer)
    coming.values(turn, true, inside)
    emitResultProducts(turns, turn, inside, lowerer)
    out.push(...done)
    coming.valuesRead(turn, inside)
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
  const { fold, kept, from, count, coming } = turns
  const { block } = fold
  const moves = openMoves(fold, scope, lowerer)
  const weigh = (turn: Expression, inside: Scope) => {
    const number = add(from, turn)
    emitScores(block, fold.rows, fold.scores, number, inside, lowerer)
    for (const [i, { moved }] of emitWeights(fold, number, inside, lowerer).entries())
      assign(moves[i]!.moved, moved, true, inside.out, lowerer)
  }
  const take = (inside: Scope) => {
    emitAdvance(fold, moves, inside, lowerer)
    emitOperand(fold, inside, lowerer)
  }
  coming.begin(scope)
  const body: Statement[] = []
  const inside: Scope = { ...scope, out: body }
  const [first, last] = [literal(0), add(count, literal(-1))]
  coming.keys(first, inside)
  emitScoreProduct(turns, first, inside, lowerer)
  body.push(commit)
  coming.beside(first, inside)
  body.push(wait(0))
  coming.keysRead(first, inside)
  weigh(first, inside)
  loop(last, inside, lowerer, (before, here) => {
    const { out } = here
    const turn = add(before, literal(1))
    out.push(wait(0))
    const earlier: Statement[] = []
    coming.valuesRead(add(before, literal(-1)), { ...here, out: earlier })
    if (earlier.length > 0) out.push(...when(apply("lt", first, before), earlier))
    take(here)
    if (kept !== undefined) emitKeep(fold, kept, before, here, lowerer)
    coming.keys(turn, here)
    emitScoreProduct(turns, turn, here, lowerer)
    out.push(commit)
    coming.values(before, false, here)
    emitResultProducts(turns, before, here, lowerer)
    out.push(commit)
    coming.beside(turn, here)
    out.push(wait(1))
    coming.keysRead(turn, here)
    weigh(turn, here)
  })
  body.push(wait(0))
  take(inside)
  coming.values(last, true, inside)
  emitResultProducts(turns, last, inside, lowerer)
  body.push(commit, wait(0))
  scope.out.push(...when(apply("lt", literal(0), count), body))
}
