/**
 * Chunks: folds that a workgroup takes part by part, with what it holds of each part.
 *
 *   y[s, o] = sum_{k}(x.held{s, k} · w.held{o, k})   →   64 accumulators; for c { barrier; fill x.held, w.held; barrier; for k < 16 { … } }; 64 stores
 *
 * All points of the block keep their accumulators from chunk to chunk: in variables when every lane has one point, in arrays when it has
 * several turns. All lanes go the same way: coordinates stay inside of the domain, and only points inside of it are stored. A chunk that
 * reaches over the end of the axis is a second body, for what is left.
 */
import { literalExtent } from "../ir/dim.js"
import { add, apply, literal, mul, substitute, variable } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { chainOf, outermostFolds } from "./order-folds.js"
import type { Staged } from "./stage.js"
import { type BlockAxis, type Build, Refused } from "./tile-block.js"
import { advance, type CarriedArrays, emitWeights } from "./tile-carried.js"
import { emitFill } from "./tile-fill.js"
import type { ChunkLocal, OpenChunk } from "./tile-locals.js"
import { type Accumulators, createAccumulators, emitStores, turnOf } from "./tile-turns.js"
import { accumulate, type Lowerer, lowerValues, type Scope } from "./tile-values.js"

export interface Chunking {
  readonly staged: Staged
  readonly chunk: OpenChunk
  /** The variable that holds the number of the chunk. */
  readonly number: string
  readonly locals: readonly ChunkLocal[]
  readonly carried: readonly CarriedArrays[]
  readonly axes: readonly BlockAxis[]
  readonly parts: Build
  readonly lowerer: Lowerer
}

/** A fold of one point: `whole` is what the value reads, `leaf` what a chunk adds to it. */
interface Fold {
  readonly whole: Reduce
  readonly leaf: Reduce
}

export function emitChunked(c: Chunking, start: Scope): void {
  const { staged, parts, lowerer } = c
  const turn = turnOf(c.axes, parts, start)
  const scope: Scope = { ...start, bound: turn.bound, vector: turn.vector }
  const folds = foldsOf(
    staged,
    turn.copies.map((copy) => copy.at),
    c,
  )
  const accumulators = createAccumulators(
    folds.map((f) => f.whole),
    turn,
    scope,
    parts,
    lowerer,
  )
  emitLoops(c, start, (out, count) => {
    accumulators.each(out, (body, open) => emitFold(c, folds, open, count, { ...scope, out: body }))
  })
  accumulators.finish(start.out, (body, open) => {
    const solved = new Map(scope.solved)
    for (const [i, f] of folds.entries()) solved.set(f.whole, open[i]!)
    emitStores(staged.store, turn, { ...scope, out: body, solved }, lowerer)
  })
}

/** The distinct chunked folds of the copies; folds that do not depend on a copy's own place are one. */
function foldsOf(
  staged: Staged,
  copies: readonly ReadonlyMap<string, Expression>[],
  { chunk }: Chunking,
): readonly Fold[] {
  const found = new Map<Expression, Fold>()
  for (const r of outermostFolds(staged.store.value)) {
    const chain = r.monoid.kind === "carried" ? [r] : chainOf(r)
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
  const bound = new Set([
    ...start.bound,
    ...[...chunk.outer.values()].map((v) => (v as { name: string }).name),
    c.number,
  ])
  const scope: Scope = { ...start, bound }
  const full = apply("floordiv", chunk.extent, size)
  const one = (whole: boolean, count: Expression): readonly Statement[] => {
    const out: Statement[] = []
    emitFills(c, { ...scope, out, vector: undefined }, whole, count)
    body(out, count)
    return out
  }
  if (literalExtent(full) !== 0)
    innermost.push({ kind: "for", variable: c.number, extent: full, bind: "serial", body: one(true, size) })
  const left = apply("sub", chunk.extent, mul(full, size))
  const extent = literalExtent(chunk.extent)
  if (extent === undefined || extent % chunk.size !== 0) {
    const rest: Statement = {
      kind: "if",
      condition: apply("lt", literal(0), left),
      body: one(false, left),
      otherwise: [],
    }
    innermost.push({ kind: "block", body: [{ kind: "let", name: c.number, value: full, mutable: false }, rest] })
  }
  const nest = [...staged.outer].reverse().reduce<readonly Statement[]>((inner, axis) => {
    const loop = chunk.outer.get(axis.name) as Expression & { kind: "variable" }
    return [{ kind: "for", variable: loop.name, extent: axis.extent, bind: "serial", body: inner }]
  }, innermost)
  start.out.push(...nest)
}

/** What the workgroup holds of a chunk. The scores of a carried fold come last, for they are made of the rest. */
function emitFills(c: Chunking, scope: Scope, whole: boolean, count: Expression): void {
  const several = c.parts.schedule.lanes > 1
  const fence = () => {
    if (several) scope.out.push({ kind: "barrier" })
  }
  if (c.locals.length === 0) return
  fence()
  const scores = new Set(c.carried.map((x) => x.scores))
  const fill = (l: ChunkLocal) =>
    emitFill(l.array, l.held(whole), l.local.value, l.tile.tile, scope, c.lowerer, c.parts)
  const operands = c.locals.filter((l) => !scores.has(l.local.name))
  for (const l of operands) fill(l)
  if (operands.length > 0) fence()
  for (const x of c.carried) {
    const local = c.locals.find((l) => l.local.name === x.scores)!
    fill(local)
    fence()
    emitWeights(x, local, c.chunk, count, whole, scope, fence, c.lowerer, c.parts)
  }
}

/** One chunk into the accumulators of a turn. */
function emitFold(c: Chunking, folds: readonly Fold[], open: Accumulators, count: Expression, scope: Scope): void {
  const { chunk, staged, lowerer } = c
  advance(
    folds.map((f) => f.leaf),
    open,
    c.carried,
    scope,
    lowerer,
  )
  const elements = literalExtent(count)
  const step = elements !== undefined && elements % staged.chunk.step === 0 ? staged.chunk.step : 1
  if (elements === undefined && step > 1) throw new Refused("reduce/chunk", "a step needs a known number of elements")
  const name = lowerer.fresh(chunk.name)
  const body: Statement[] = []
  const inner: Scope = { ...scope, out: body, bound: new Set(scope.bound).add(name).add(c.number) }
  for (let u = 0; u < step; u++) {
    const at = add(chunk.base, add(mul(variable(name), literal(step)), literal(u)))
    const lifts = folds.map(({ leaf }) => leaf.lift.map((l) => substitute(l, new Map([[leaf.axis, at]]))))
    const flat = lowerValues(lifts.flat(), inner, lowerer)
    let from = 0
    const lifted = lifts.map((l) => {
      from += l.length
      return flat.slice(from - l.length, from)
    })
    accumulate(
      folds.map((f) => f.leaf),
      open,
      lifted,
      body,
      lowerer,
    )
  }
  const extent = step === 1 ? count : literal(elements! / step)
  scope.out.push({ kind: "for", variable: name, extent, bind: "serial", body })
}
