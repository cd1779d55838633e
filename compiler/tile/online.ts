/**
 * Online folds in chunks: the pivots of each row move once per chunk, the scores become weights, and the sums of all points follow.
 *
 *   for c { fill scores; old = pivot; pivot = max(old, max scores); scores = exp(scores − pivot);   … sum = sum · exp(old − pivot) + … }
 *
 * The recipe says how (ir/recipes.ts); a pivot is one number per row of the block.
 */

import { add, apply, literal, localRead, reduce, variable, walk } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import { identityValue, pivotMonoid } from "../ir/monoid.js"
import type { Expression, LocalRead, Reduce } from "../ir/nodes.js"
import { type Pivot, recipeOf } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"
import { type Accumulators, assign } from "./accumulators.js"
import type { Build, Fences } from "./block.js"
import { type Lowerer, type Scope, withAxis } from "./lowerer.js"
import { pivotOperation } from "./online-step.js"
import { emitFill } from "./staging/fill.js"
import type { OpenChunk } from "./staging/homes.js"
import { type Online, pivotName } from "./staging/operands.js"
import type { StagedArray, StagedLocal } from "./staging/staged.js"
import { lowerValues } from "./values.js"

/** What the chunks of a store share. */
export interface InChunks {
  readonly chunk: OpenChunk
  /** What is staged, by the names of its locals. */
  readonly arrays: ReadonlyMap<string, StagedArray>
  readonly online: readonly Online[]
  readonly parts: Build
  readonly lowerer: Lowerer
  /** Elements of a run, where each chunk has accumulators of its own. */
  readonly run: number | undefined
}

const oldName = (scores: string, i: number) => `${pivotName(scores, i)}_old`

/** The pivots of an online fold at some rows: those of now, or those before this chunk. */
const pivotsAt = ({ scores, recipe }: Online, rows: readonly Expression[], name = pivotName): readonly LocalRead[] =>
  recipeOf(recipe).pivots.map((_, i) => localRead(name(scores, i), rows, "f32"))

/** The pivots of an online fold as values that are staged; those before a chunk are kept where they move from chunk to chunk. */
export function stagedPivots({ scores, recipe, rows }: Online, moving: boolean): readonly StagedLocal[] {
  return recipeOf(recipe).pivots.flatMap((pivot, i) => {
    const value = literal(identityValue(pivot.fold, "f32"), "f32")
    const made = { kind: "local", axes: rows, value, tile: { tile: {} }, moves: true } as const
    const now = { ...made, name: pivotName(scores, i) }
    return moving ? [{ ...made, name: oldName(scores, i), empty: true }, now] : [now]
  })
}

/** The reads that decide where an online fold's scores and pivots lie, for nothing else may read them. */
export const stagedReads = (online: Online, moving: boolean): readonly LocalRead[] => [
  online.read,
  ...pivotsAt(online, online.read.index.slice(0, -1)),
  ...(moving ? pivotsAt(online, online.read.index.slice(0, -1), oldName) : []),
]

/** Whether a pivot of all that came before serves a run as well as its own. */
export const runsOn = (pivot: Pivot): boolean => pivot.fold === "max"

/** A chunk's scores move the pivots, or have pivots of their own in runs, and become weights. */
export function emitWeights(x: Online, c: InChunks, count: Expression, fences: Fences, scope: Scope): void {
  const { chunk, lowerer, parts, run } = c
  const recipe = recipeOf(x.recipe)
  const scores = c.arrays.get(x.scores)!
  const rows = x.rows.map((a) => variable(a.name))
  const now = pivotsAt(x, rows)
  const before = pivotsAt(x, rows, oldName)
  const write = (to: StagedArray, value: Expression, by = lowerer) => {
    fences.before(to.local.name, value, scope.out)
    emitFill(to, value, scope, by, parts)
  }
  if (run === undefined) for (const [i, old] of before.entries()) write(c.arrays.get(old.local)!, now[i]!)
  const element = lowerer.fresh(`${chunk.name}_score`)
  const score = localRead(x.scores, [...rows, add(chunk.base, variable(element))], "f32")
  const { fold } = scores.local.tile
  const inChunk = withAxis(lowerer, element, run === undefined ? (fold ?? {}) : { ...fold, run }, chunk.size)
  for (const [i, pivot] of recipe.pivots.entries()) {
    const seen = reduce(element, count, pivotMonoid(pivot, x.loose), [instantiate(pivot.of, { $0: score })])
    const from = run === undefined ? before[i]! : runsOn(pivot) ? now[i]! : undefined
    const moved = from === undefined ? seen : apply(pivotOperation(pivot, x.loose), from, seen)
    const to = c.arrays.get(now[i]!.local)!
    // A place beyond the end moves its own pivot, while another lane moves that of the last row.
    write(from === now[i] ? everyPlace(to) : to, moved, inChunk)
  }
  const place = scores.axes.at(-1)!
  const weight = instantiate(recipe.weight, {
    $0: localRead(x.scores, [...rows, variable(place.axis.name)], "f32"),
    ...numbered("$p", now),
  })
  const vector = fold?.vector ?? 1
  const tile = { tile: place.size % vector === 0 ? { [place.axis.name]: { vector } } : {} }
  // The places beyond the end hold no scores of this chunk, and nobody reads them.
  write(everyPlace({ ...scores, local: { ...scores.local, tile } }), weight)
}

/** With the places beyond the end of an axis as they are. */
const everyPlace = (to: StagedArray): StagedArray => ({
  ...to,
  axes: to.axes.map((a) => ({ ...a, end: undefined })),
})

/** What the sums of a turn become when the pivots have moved. */
export function advance(
  folds: readonly Reduce[],
  open: Accumulators,
  online: readonly Online[],
  scope: Scope,
  lowerer: Lowerer,
): void {
  const targets: Expression[] = []
  const values: Expression[] = []
  for (const [i, r] of folds.entries()) {
    const found = scoresIn(r, online)
    if (found === undefined) continue
    const { read, of } = found
    const rows = read.index.slice(0, -1)
    const [sum] = open[i]!
    targets.push(sum!)
    values.push(
      instantiate(recipeOf(of.recipe).advance, {
        $c: sum!,
        ...numbered("$p", pivotsAt(of, rows, oldName)),
        ...numbered("$q", pivotsAt(of, rows)),
      }),
    )
  }
  if (targets.length === 0) return
  const body: Statement[] = []
  const bound = new Set(scope.bound)
  for (const t of targets) if (t.kind === "variable") bound.add(t.name)
  const lowered = lowerValues(values, { ...scope, out: body, bound }, lowerer)
  assign(targets, lowered, true, body, lowerer)
  scope.out.push(...body)
}

/** The scores that a fold weighs with. */
export function scoresIn(
  r: Reduce,
  online: readonly Online[],
): { readonly read: LocalRead; readonly of: Online } | undefined {
  let found: { read: LocalRead; of: Online } | undefined
  for (const l of r.lift)
    walk(l, (x) => {
      const of = x.kind === "localRead" ? online.find((c) => c.scores === x.local) : undefined
      if (of !== undefined) found = { read: x as LocalRead, of }
    })
  return found
}
