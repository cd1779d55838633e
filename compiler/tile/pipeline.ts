/**
 * Chunks: folds that a workgroup takes part by part, with what it stages of each part.
 *
 *   y[s, o] = sum_{k}(x.staged{s, k} · w.staged{o, k})   →   64 accumulators; for c { barrier; fill x.staged, w.staged; barrier; for k < 16 { … } }; 64 stores
 *
 * All points of the block keep their accumulators from chunk to chunk: in variables when every lane has one point, in arrays when it has
 * several points. All lanes go the same way: coordinates stay inside of the domain, and only points inside of it are stored. A chunk that
 * reaches over the end of the axis is a second body, for what is left.
 */

import { literalExtent } from "../ir/dim.js"
import { add, apply, freeVariables, literal, mul, substitute, variable } from "../ir/expression.js"
import { elementsInside, longestLoop } from "../ir/fold-lengths.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { chainOf, nodesOf, outermostFolds } from "../ir/query.js"
import { contributingAny, maskedLift, type Span } from "../ir/verify/masks.js"
import { type BlockAxis, type Fences, Refused } from "./block.js"
import { copiesOf, firstPlaces, type Iterations, iterationsOf } from "./iterations.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { emitWeights } from "./online.js"
import { createAccumulators, type Kept } from "./pipeline-accumulators.js"
import { type Chunking, emitFold } from "./pipeline-folds.js"
import { createChunkRuns, type Fold } from "./pipeline-runs.js"
import { allCount } from "./range.js"
import { type ChunkShape, longestRun, runOf, shapeOfChunk } from "./runs.js"
import { createFences, emitFill, inChunk, inWholeChunk } from "./staging/fill.js"
import type { StagedInChunks } from "./staging/stage.js"
import type { StagedArray } from "./staging/staged.js"
import { type Copies, emitStores } from "./store-copies.js"
import { scansAsReductions } from "./values.js"

/** Elements of the runs that a chunk is taken in, or undefined where all chunks have the same accumulators. */
export function runOfChunks(staged: StagedInChunks, lowerer: Lowerer): number | undefined {
  const { store, beside, chunk } = staged
  const folds = [store, ...beside].flatMap((s) => outermostFolds(s.value))
  const axes = [...chunk.outer, chunk].map((a) => a.name)
  const part = axes.some(lowerer.long)
  const longest = part ? Number.POSITIVE_INFINITY : axes.reduce((n, a) => n * lowerer.longest(a), 1)
  const inside = insideOf(staged, lowerer)
  const run = runOf(folds, longest, inside, chunk.run)
  const most = Math.max(1, Math.floor(longestRun / inside))
  if (run !== undefined && longest > longestLoop && chunk.step > most)
    throw new Refused("reduce/run", `steps of ${chunk.step} of '${chunk.name}' lose digits; ${most} is the most`)
  return run
}

/** How the chunks of a long fold are added up. */
export function shapeOf(run: number, staged: StagedInChunks, lowerer: Lowerer): ChunkShape {
  const { size, step, extent, outer } = staged.chunk
  const whole = outer.length === 0 || (literalExtent(extent) ?? 1) % size === 0
  // One whole chunk and one element, at worst.
  const least = whole ? size : size / 2
  return shapeOfChunk({ size, step, run, inside: insideOf(staged, lowerer), least, own: staged.online.length > 0 })
}

/** Elements of the folds inside of each element of a chunk at most. */
function insideOf({ store, beside, chunk }: StagedInChunks, { longest }: Lowerer): number {
  const chains = [store, ...beside].flatMap((s) => outermostFolds(s.value).map(chainOf))
  const leaves = chains.flatMap((chain) => chain.filter((r) => r.axis === chunk.name))
  return elementsInside(leaves, longest)
}

export function emitChunked(c: Chunking, start: Scope): void {
  const { staged, lowerer } = c
  const iterations = iterationsOf(c.axes, { together: 1, spread: true, uniform: true }, start, lowerer)
  const made = copiesOf(iterations, lowerer)
  const { copies, vector } = made
  const bound = new Set([...iterations.bound, ...(vector === undefined ? [] : [vector.name]), ...outerNames(c)])
  const scope: Scope = { ...start, bound, vector }
  const folds = foldsOf(
    staged,
    copies.map((copy) => copy.at),
    c,
  )
  const accumulators = accumulatorsOf(c, folds, iterations, made, scope)
  emitLoops(c, start, (out, count) => {
    accumulators.each(out, (body, open) => emitFold(c, folds, open, count, { ...scope, out: body }))
  })
  accumulators.finish(start.out, (body, open, known) => {
    const solved = new Map([...scope.solved, ...known])
    // As the values will be looked at.
    for (const [i, f] of folds.entries()) solved.set(scansAsReductions(f.whole), open[i]!)
    emitStores(staged.store, made, { ...scope, out: body, solved }, lowerer)
    for (const s of staged.beside) emitStores(s, firstPlaces(made, s), { ...scope, out: body, solved }, lowerer)
  })
}

/** Those of all chunks, or of each chunk. */
function accumulatorsOf(
  c: Chunking,
  folds: readonly Fold[],
  iterations: Iterations,
  { copies }: Copies,
  scope: Scope,
): Kept {
  const { staged, online, chunk, lowerer } = c
  const whole = folds.map((f) => f.whole)
  if (c.run === undefined) return createAccumulators(whole, iterations, scope, lowerer)
  const around = staged.chunk.outer.reduce((n, a) => n * lowerer.longest(a.name), 1)
  const chunks = around * Math.ceil(lowerer.longest(chunk.name) / chunk.size)
  return createChunkRuns(folds, iterations, copies, staged, online, { chunks, inLine: c.shape!.inLine }, scope, lowerer)
}

/** The variables of the loops around a chunk. */
const outerNames = ({ chunk }: Chunking): readonly string[] =>
  [...chunk.outer.values()].flatMap((v) => [...freeVariables(v)])

/** The distinct chunked folds of the copies; folds that do not depend on a copy's own place are one. */
function foldsOf(
  staged: StagedInChunks,
  copies: readonly ReadonlyMap<string, Expression>[],
  { chunk }: Chunking,
): readonly Fold[] {
  const found = new Map<Expression, Fold>()
  for (const r of [staged.store, ...staged.beside].flatMap((s) => outermostFolds(s.value))) {
    const chain = r.monoid.kind === "online" ? [r] : chainOf(r)
    const at = chain.findIndex((x) => x.axis === chunk.name)
    if (at < 0) continue
    for (const copy of copies) {
      const whole = substitute(r, copy) as Reduce
      if (found.has(whole)) continue
      const leaf = substitute(chain[at]!, new Map([...copy, ...chunk.outer])) as Reduce
      found.set(whole, { whole, leaf })
    }
  }
  return [...found.values()]
}

/** The loops around a chunk, the fills, and `body` for each chunk with the number of its elements. */
function emitLoops(c: Chunking, start: Scope, body: (out: Statement[], count: Expression) => void): void {
  const { chunk, staged } = c
  const size = literal(chunk.size)
  const innermost: Statement[] = []
  const bound = new Set([...start.bound, ...outerNames(c), c.number])
  const scope: Scope = { ...start, bound }
  const one = (whole: boolean, count: Expression): readonly Statement[] => {
    const out: Statement[] = []
    fillChunk(c, { ...scope, out, vector: undefined }, whole, count)
    body(out, count)
    return out
  }
  const { from, end } = range(c, innermost)
  for (const x of [from, end]) for (const name of freeVariables(x)) bound.add(name)
  const whole = staged.chunk.peelTail
  const full = apply("floordiv", whole ? end : add(end, literal(chunk.size - 1)), size)
  // One body for all chunks: it takes as many elements as there are.
  const here = whole ? size : apply("min", size, apply("sub", end, chunk.base))
  const number = (value: Expression): Statement => ({ kind: "let", name: c.number, value, mutable: false })
  const deep = staged.chunk.depth === 2
  if (deep) {
    // The first chunk; then each fills the next one, in the other half, when all lanes are done with the one before.
    const start: Statement[] = [number(from)]
    const fences = createFences(c.parts)
    fences.barrier(innermost)
    fillOperands(c, fences, { ...scope, out: start, vector: undefined }, true)
    const scoped: Statement = { kind: "block", body: start }
    innermost.push({ kind: "if", condition: apply("lt", from, full), body: [scoped], otherwise: [] })
  }
  const each = () => (deep ? fillAhead(c, scope, full, here, body) : one(whole, here))
  if (literalExtent(from) === 0) {
    if (literalExtent(full) !== 0)
      innermost.push({ kind: "for", variable: c.number, extent: full, bind: "serial", body: each() })
  } else {
    const turn = c.lowerer.fresh(chunk.name)
    const body = [number(add(from, variable(turn))), ...each()]
    innermost.push({ kind: "for", variable: turn, extent: apply("sub", full, from), bind: "serial", body })
  }
  const left = apply("sub", end, mul(full, size))
  const extent = literalExtent(chunk.extent)
  if (whole && (extent === undefined || extent % chunk.size !== 0)) {
    const rest: Statement = {
      kind: "if",
      condition: apply("lt", literal(0), left),
      body: one(false, left),
      otherwise: [],
    }
    innermost.push({ kind: "block", body: [number(full), rest] })
  }
  const bases = new Map(c.axes.map((a) => [a.axis.name, a.base] as const))
  const nest = [...staged.chunk.outer].reverse().reduce<readonly Statement[]>((inner, axis) => {
    const loop = chunk.outer.get(axis.name) as Expression & { kind: "variable" }
    return [{ kind: "for", variable: loop.name, extent: substitute(axis.extent, bases), bind: "serial", body: inner }]
  }, innermost)
  start.out.push(...nest)
}

/** A chunk that is there already, while the next one is filled into the other half. */
function fillAhead(
  c: Chunking,
  scope: Scope,
  chunks: Expression,
  count: Expression,
  body: (out: Statement[], count: Expression) => void,
): readonly Statement[] {
  const out: Statement[] = []
  const inside: Scope = { ...scope, out, vector: undefined }
  const fences = createFences(c.parts)
  fences.barrier(out)
  const ahead: Statement[] = []
  // The other half, which nobody reads before the next barrier.
  fillOperands(c, createFences(c.parts), { ...inside, out: ahead }, true, true)
  const more = apply("lt", add(variable(c.number), literal(1)), chunks)
  out.push({ kind: "if", condition: more, body: ahead, otherwise: [] })
  fillScores(c, fences, inside, true, count)
  body(out, count)
  return out
}

/** The first chunk and the last element that can count for the block, by the predicates of the folds. */
function range(c: Chunking, out: Statement[]): { readonly from: Expression; readonly end: Expression } {
  const { chunk, staged, axes, lowerer } = c
  const whole = { from: literal(0), end: chunk.extent }
  if (staged.chunk.masks.length === 0) return whole
  const rows = new Map(axes.map((a) => [a.axis.name, spanOf(a)] as const))
  const { first, end: last } = contributingAny(staged.chunk.masks, chunk.name, rows)
  const size = literal(chunk.size)
  const named = (stem: string, value: Expression): Expression => {
    const name = lowerer.fresh(`${chunk.name}_${stem}`)
    out.push({ kind: "let", name, value, mutable: false })
    return variable(name)
  }
  // Whole chunks where there are enough elements: what is too much of them fails its predicate.
  const rounded = last && mul(apply("floordiv", add(last, literal(chunk.size - 1)), size), size)
  return {
    from: first === undefined ? whole.from : named("from", apply("max", literal(0), apply("floordiv", first, size))),
    end:
      rounded === undefined ? whole.end : named("end", apply("max", literal(0), apply("min", chunk.extent, rounded))),
  }
}

/** The elements of an axis that a block owns, those beyond the end included. */
export function spanOf(a: BlockAxis): Span {
  const last = add(a.axis.extent, literal(-1))
  const high = a.owned === undefined || a.cell === undefined ? last : add(a.base, literal(a.owned - 1))
  return { low: a.base, high }
}

/** What the workgroup stages of a chunk. The scores of an online fold come last, for they are made of the rest. */
function fillChunk(c: Chunking, scope: Scope, whole: boolean, count: Expression): void {
  if (![...c.arrays.values()].some((a) => a.perChunk)) return
  const fences = createFences(c.parts)
  fences.barrier(scope.out)
  fillOperands(c, fences, scope, whole)
  fillScores(c, fences, scope, whole, count)
}

/** Fills the operands of this chunk, or of the next one. */
function fillOperands(c: Chunking, fences: Fences, scope: Scope, whole: boolean, next = false): void {
  const at = new Map(next ? [[c.number, add(variable(c.number), literal(1))] as const] : [])
  for (const a of c.arrays.values()) {
    const { value, moves } = a.local
    if (!a.perChunk || moves === true) continue
    if (a.half !== undefined && nodesOf([value], "localRead").some((x) => c.arrays.get(x.local)?.perChunk))
      throw new Refused("reduce/chunk", "operands that are made of others are staged one chunk at a time")
    fences.before(a.local.name, value, scope.out)
    emitFill(inChunk(whole ? inWholeChunk(a) : a, at), value, scope, c.lowerer, c.parts)
  }
}

/** Scores are made of what is filled, and become weights; then all of the chunk is there. */
function fillScores(c: Chunking, fences: Fences, scope: Scope, whole: boolean, count: Expression): void {
  for (const x of c.online) {
    const scores = c.arrays.get(x.scores)!
    fences.before(scores.local.name, scores.local.value, scope.out)
    emitScores(c, whole ? inWholeChunk(scores) : scores, scope, whole)
    emitWeights(x, c, count, fences, scope)
  }
  fences.settle(scope.out)
}

/** The scores of a chunk; where all of them count, without looking at each. */
function emitScores(c: Chunking, to: StagedArray, scope: Scope, whole: boolean): void {
  const fill = (value: Expression, out: Statement[]) => emitFill(to, value, { ...scope, out }, c.lowerer, c.parts)
  const { value } = to.local
  const mask = whole && c.staged.chunk.masks.length > 0 ? maskedLift(value, "max") : undefined
  if (mask === undefined) {
    fill(value, scope.out)
    return
  }
  const spans = new Map(
    to.axes.map((a) => [a.axis.name, { low: a.base, high: add(a.base, literal(a.size - 1)) }] as const),
  )
  const [plain, masked]: [Statement[], Statement[]] = [[], []]
  fill(mask.value, plain)
  fill(value, masked)
  scope.out.push({ kind: "if", condition: allCount(mask, spans), body: plain, otherwise: masked })
}
