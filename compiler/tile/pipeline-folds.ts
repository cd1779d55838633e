/**
 * One chunk into the accumulators of a point: folds side by side, those that all lanes share by themselves, and in runs where the fold is long.
 */

import { literalExtent } from "../ir/dim.js"
import { add, freeVariables, literal, mul, reduce, substitute, variable } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { type Accumulators, accumulate } from "./accumulators.js"
import type { BlockAxis } from "./block.js"
import { Refused } from "./block.js"
import { combine, isComponentwise } from "./fold.js"
import { type Scope, withAxis } from "./lowerer.js"
import { advance, type InChunks } from "./online.js"
import type { Fold } from "./pipeline-runs.js"
import { type ChunkShape, createRuns, emitTurns, fitInLine } from "./runs.js"
import type { StagedInChunks } from "./staging/stage.js"
import { lifts, lowerValues } from "./values.js"

export interface Chunking extends InChunks {
  readonly staged: StagedInChunks
  /** The variable that holds the number of the chunk. */
  readonly number: string
  readonly axes: readonly BlockAxis[]
  /** How chunks are added up where they have accumulators of their own. */
  readonly shape: ChunkShape | undefined
}

/** One chunk into the accumulators of a point. */
export function emitFold(
  c: Chunking,
  folds: readonly Fold[],
  open: Accumulators,
  count: Expression,
  scope: Scope,
): void {
  const leaves = folds.map((f) => f.leaf)
  if (c.run === undefined) advance(leaves, open, c.online, scope, c.lowerer)
  const apart = folds.map(({ leaf }) => foldsAlone(c, leaf, scope))
  const pick = <T>(list: readonly T[], which: boolean) => list.filter((_, i) => apart[i] === which)
  if (apart.includes(true)) emitAlone(c, pick(folds, true), pick(open, true), count, scope)
  if (apart.includes(false)) emitTogether(c, pick(folds, false), pick(open, false), count, scope)
}

/**
 * Whether a fold is taken for itself, in vectors along the chunk: it is the same in all lanes of the point's vector, so that among vectors its
 * accumulators would only take registers, and one lane has nobody else to spread it over.
 */
const foldsAlone = (c: Chunking, leaf: Reduce, { vector }: Scope): boolean =>
  c.parts.schedule.threads === 1 &&
  vector !== undefined &&
  leaf.monoid.kind === "sum" &&
  !freeVariables(leaf).has(vector.name) &&
  widthAlone(c) !== undefined

/** Vectors of the scores are those of what is folded of them. */
const widthAlone = ({ arrays, online: [first] }: Chunking): number | undefined =>
  first && arrays.get(first.scores)!.local.tile.fold?.vector

function emitAlone(c: Chunking, folds: readonly Fold[], open: Accumulators, count: Expression, scope: Scope): void {
  const element = c.lowerer.fresh(c.chunk.name)
  const sums = folds.map(({ leaf }) => {
    const at = new Map([[leaf.axis, add(c.chunk.base, variable(element))]])
    return reduce(
      element,
      count,
      leaf.monoid,
      leaf.lift.map((l) => substitute(l, at)),
    )
  })
  const alone = { vector: widthAlone(c)!, ...(c.run && { run: c.run }) }
  const bound = new Set([...scope.bound, c.number, ...freeVariables(count)])
  const values = lowerValues(
    sums,
    { ...scope, bound, vector: undefined },
    withAxis(c.lowerer, element, alone, c.chunk.size),
  )
  accumulate(
    folds.map((f) => f.leaf),
    open,
    values.map((v) => [v]),
    scope.out,
    c.lowerer,
  )
}

function emitTogether(c: Chunking, folds: readonly Fold[], open: Accumulators, count: Expression, scope: Scope): void {
  const { chunk, staged, lowerer } = c
  const elements = literalExtent(count)
  const step = elements !== undefined && elements % staged.chunk.step === 0 ? staged.chunk.step : 1
  if (elements === undefined && step > 1) throw new Refused("reduce/chunk", "a step needs a known number of elements")
  const leaves = folds.map((f) => f.leaf)
  const together =
    c.shape !== undefined && elements === chunk.size && leaves.every((r) => isComponentwise(r.monoid))
      ? c.shape.together
      : 1
  if (together > 1) {
    emitTurns(
      leaves,
      literal(elements! / together),
      [open],
      scope,
      lowerer,
      undefined,
      (turn, [accumulators], body) => {
        const bound = new Set([...scope.bound, ...freeVariables(turn), c.number])
        const inner: Scope = { ...scope, out: body, bound }
        const lifted = Array.from({ length: together }, (_, u) =>
          lifts(leaves, add(chunk.base, add(mul(turn, literal(together)), literal(u))), inner, lowerer),
        )
        const sums = leaves.map((r, i) => lifted.map((l) => l[i]!).reduce((a, b) => combine(r.monoid, a, b)))
        accumulate(leaves, accumulators!, sums, body, lowerer)
      },
    )
    return
  }
  const turns = step === 1 ? count : literal(elements! / step)
  const after: Statement[] = []
  const run = Math.max(1, Math.floor((c.run ?? 1) / step))
  const most = Math.ceil(chunk.size / step / run)
  const runs =
    c.run === undefined || (most === 1 && c.shape!.inLine.chunks === 1)
      ? undefined
      : createRuns(
          leaves,
          open,
          { turns: run, sets: 1, most, inLine: fitInLine(run * step, most) },
          { out: scope.out, after },
          lowerer,
        )
  emitTurns(leaves, turns, [open], scope, lowerer, runs, (turn, [accumulators], body) => {
    const bound = new Set([...scope.bound, ...freeVariables(turn), c.number])
    const inner: Scope = { ...scope, out: body, bound }
    for (let u = 0; u < step; u++) {
      const at = add(chunk.base, add(mul(turn, literal(step)), literal(u)))
      accumulate(leaves, accumulators!, lifts(leaves, at, inner, lowerer), body, lowerer)
    }
  })
  scope.out.push(...after)
}
