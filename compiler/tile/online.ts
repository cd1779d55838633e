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
import { recipeOf } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"
import { type Accumulators, assign } from "./accumulators.js"
import type { Build, Home } from "./block.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { pivotOperation } from "./online-step.js"
import { allocate, emitFill, type StagedAxis, stagedOffset, stagedShape } from "./staging/fill.js"
import type { ChunkLocal, OpenChunk } from "./staging/locals.js"
import { type Online, pivotName } from "./staging/stage.js"
import { lowerValues } from "./values.js"

export interface OnlineArrays extends Online {
  /** Per pivot: the arrays of its value before this chunk and now. */
  readonly arrays: readonly { readonly old: string | undefined; readonly now: string }[]
  readonly staged: readonly StagedAxis[]
}

const oldName = (scores: string, i: number) => `${pivotName(scores, i)}_old`

/** Allocates the pivots of an online fold and gives them their identities; those before a chunk are kept where they move from chunk to chunk. */
export function emitIdentities(
  online: Online,
  local: ChunkLocal,
  homes: Map<string, Home>,
  shapes: Map<string, readonly number[]>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
  moving: boolean,
): OnlineArrays {
  const staged = local.staged(false).slice(0, -1)
  const shape = stagedShape(staged, 0)
  const size = shape.reduce((n, s) => n * s, 1)
  const place = (name: string): string => {
    const array = allocate(name, "f32", size, parts, scope.out)
    shapes.set(array, shape)
    homes.set(name, { array, scalar: undefined, offset: stagedOffset(staged, shape) })
    return array
  }
  const arrays = recipeOf(online.recipe).pivots.map((pivot, i) => {
    const old = moving ? place(oldName(online.scores, i)) : undefined
    const made = { old, now: place(pivotName(online.scores, i)) }
    emitFill(made.now, staged, literal(identityValue(pivot.fold, "f32"), "f32"), {}, scope, lowerer, parts)
    return made
  })
  return { ...online, arrays, staged }
}

/** A chunk's scores move the pivots, or have pivots of their own in runs of `run`, and become weights. */
export function emitWeights(
  c: OnlineArrays,
  local: ChunkLocal,
  chunk: OpenChunk,
  count: Expression,
  whole: boolean,
  scope: Scope,
  fence: () => void,
  lowerer: Lowerer,
  parts: Build,
  run: number | undefined,
): void {
  const recipe = recipeOf(c.recipe)
  const rows = c.staged.map((h) => variable(h.axis.name))
  const pivots = (name: (scores: string, i: number) => string) =>
    c.arrays.map((_, i) => localRead(name(c.scores, i), rows, "f32"))
  const now = pivots(pivotName)
  for (const [i, { old }] of c.arrays.entries())
    if (old !== undefined) emitFill(old, c.staged, now[i]!, {}, scope, lowerer, parts)
  if (run === undefined) fence()
  const element = lowerer.fresh(`${chunk.name}_score`)
  const score = localRead(c.scores, [...rows, add(chunk.base, variable(element))], "f32")
  const before = pivots(oldName)
  const own = run === undefined ? local.tile.fold : { ...local.tile.fold, run }
  const folding: Lowerer["folding"] = (axis) => (axis === element ? (own ?? {}) : lowerer.folding(axis))
  const longest: Lowerer["longest"] = (axis) => (axis === element ? chunk.size : lowerer.longest(axis))
  for (const [i, pivot] of recipe.pivots.entries()) {
    const seen = reduce(element, count, pivotMonoid(pivot, c.loose), [instantiate(pivot.of, { $0: score })])
    const moved = run === undefined ? apply(pivotOperation(pivot, c.loose), before[i]!, seen) : seen
    emitFill(c.arrays[i]!.now, c.staged, moved, {}, scope, { ...lowerer, folding, longest }, parts)
  }
  fence()
  const staged = local.staged(whole)
  const place = variable(staged.at(-1)!.axis.name)
  const weight = instantiate(recipe.weight, {
    $0: localRead(c.scores, [...rows, place], "f32"),
    ...numbered("$p", now),
  })
  // The places beyond the end hold no scores of this chunk, and nobody reads them.
  const unclamped = staged.map((h) => ({ ...h, end: undefined }))
  const vector = local.tile.fold?.vector ?? 1
  const tile = staged.at(-1)!.size % vector === 0 ? { [staged.at(-1)!.axis.name]: { vector } } : {}
  emitFill(local.array, unclamped, weight, tile, scope, lowerer, parts)
  fence()
}

/** What the sums of a turn become when the pivots have moved. */
export function advance(
  folds: readonly Reduce[],
  open: Accumulators,
  online: readonly OnlineArrays[],
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
    const pivots = (name: (scores: string, i: number) => string) =>
      of.arrays.map((_, p) => localRead(name(of.scores, p), rows, "f32"))
    const [sum] = open[i]!
    targets.push(sum!)
    values.push(
      instantiate(recipeOf(of.recipe).advance, {
        $c: sum!,
        ...numbered("$p", pivots(oldName)),
        ...numbered("$q", pivots(pivotName)),
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
  online: readonly OnlineArrays[],
): { readonly read: LocalRead; readonly of: OnlineArrays } | undefined {
  let found: { read: LocalRead; of: OnlineArrays } | undefined
  for (const l of r.lift)
    walk(l, (x) => {
      const of = x.kind === "localRead" ? online.find((c) => c.scores === x.local) : undefined
      if (of !== undefined) found = { read: x as LocalRead, of }
    })
  return found
}
