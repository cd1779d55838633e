/**
 * Chunks in runs: each chunk of a long fold is one run, whose accumulators are merged by pairs with those of other chunks.
 *
 *   for c { fill scores; pivot = max scores; scores = exp(scores − pivot);   for point { sum = Σ scores · v;   merge (pivot, sum) by pairs } }
 *
 * A chunk has pivots of its own, which a lane keeps with its sums for the rows of its points; at the end each point has the pivots of all.
 */

import { apply, literal, localRead, splat, substitute, variable, walk } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import { identityValue } from "../ir/monoid.js"
import type { Expression, LocalRead, Reduce } from "../ir/nodes.js"
import { type Pivot as PivotOf, recipeOf } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"
import { type Accumulators, declare } from "./accumulators.js"
import { combine, identityOf, isComponentwise } from "./fold.js"
import { eachIteration, type Iterations } from "./iterations.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { scoresIn } from "./online.js"
import { pivotOperation } from "./online-step.js"
import { countOf, type Kept, widthIn } from "./pipeline-accumulators.js"
import { createPairs, levelsFor, type Merge, type Places } from "./runs.js"
import { type Online, pivotName } from "./staging/operands.js"
import type { StagedInChunks } from "./staging/stage.js"
import type { Copy } from "./store-copies.js"
import { lowerValues } from "./values.js"

/** A fold of one point: `whole` is what the value reads, `leaf` what a chunk adds to it. */
export interface Fold {
  readonly whole: Reduce
  readonly leaf: Reduce
}

/** A pivot of some rows of a point. */
interface Pivot {
  readonly read: LocalRead
  readonly of: PivotOf
  readonly loose: boolean
}

/** Accumulators that each chunk starts anew; `chunks`: how many there are at most. */
export function createChunkRuns(
  folds: readonly Fold[],
  iterations: Iterations,
  copies: readonly Copy[],
  staged: StagedInChunks,
  online: readonly Online[],
  chunks: number,
  scope: Scope,
  lowerer: Lowerer,
): Kept {
  const widthOf = (x: Expression) => widthIn(scope, x)
  const pivots = pivotsOf(folds, copies, staged, online)
  const open = (out: Statement[]): Accumulators =>
    folds.map(({ whole }) => declare(whole, widthOf(whole), out, lowerer))
  const named = (values: readonly Expression[], out: Statement[]): readonly Expression[] =>
    values.map((value) => {
      const name = lowerer.fresh("pivot")
      out.push({ kind: "let", name, value, mutable: true })
      return variable(name, value.dtype, value.width)
    })
  const identities = pivots.map(({ of, read }) => splat(literal(identityValue(of.fold, "f32"), "f32"), widthOf(read)))
  const count = countOf(iterations)
  const places = count > 1 ? { count, at: variable(iterations.name) as Places["at"] } : undefined
  const merge = mergeOf(folds, pivots, online, [...identities, ...open([]).flat()])
  const pairs = createPairs(merge, levelsFor(chunks), scope.out, lowerer, places)
  const around = (to: Statement[], fill: (inner: Statement[]) => void) => {
    if (count > 1) return eachIteration(iterations, to, fill)
    const body: Statement[] = []
    fill(body)
    to.push({ kind: "block", body })
  }
  return {
    each: (to, body) =>
      around(to, (inner) => {
        const own = open(inner)
        body(inner, own)
        const reads = pivots.map((p) => p.read)
        const moved = named(lowerValues(reads, { ...scope, out: inner }, lowerer), inner)
        pairs.push([...moved, ...own.flat()], inner)
      }),
    finish: (to, body) =>
      around(to, (inner) => {
        const totals = named(identities, inner)
        const own = open(inner)
        pairs.collapse([...totals, ...own.flat()], inner)
        body(inner, own, new Map(pivots.map(({ read }, i) => [read, [totals[i]!]] as const)))
      }),
  }
}

/** Pivots, then the components of the folds: those of an online fold move with its pivots. */
function mergeOf(
  folds: readonly Fold[],
  pivots: readonly Pivot[],
  online: readonly Online[],
  components: readonly Expression[],
): Merge {
  const places = folds.map(({ leaf }) => {
    const reads = pivotsFor(leaf, online).map(({ read }) => pivots.findIndex((p) => p.read === read))
    return { recipe: scoresIn(leaf, online)?.of.recipe, reads }
  })
  const combineAll: Merge["combine"] = (left, right) => {
    const moved = pivots.map(({ of, loose }, i) => apply(pivotOperation(of, loose), left[i]!, right[i]!))
    let from = pivots.length
    const channels = folds.flatMap(({ whole }, i) => {
      const { recipe, reads } = places[i]!
      if (recipe === undefined) {
        const count = declaredCount(whole)
        from += count
        return combine(whole.monoid, left.slice(from - count, from), right.slice(from - count, from))
      }
      const at = from++
      const side = (own: readonly Expression[]) =>
        instantiate(recipeOf(recipe).advance, {
          $c: own[at]!,
          ...numbered(
            "$p",
            reads.map((r) => own[r]!),
          ),
          ...numbered(
            "$q",
            reads.map((r) => moved[r]!),
          ),
        })
      return [apply("add", side(left), side(right))]
    })
    return [...moved, ...channels]
  }
  const independent = pivots.length === 0 && folds.every(({ whole }) => isComponentwise(whole.monoid))
  return { components, independent, combine: combineAll }
}

/** Components of an accumulator. */
const declaredCount = (r: Reduce): number =>
  identityOf(
    r.monoid,
    r.lift.map((l) => l.dtype),
    1,
  ).length

/** The pivots that the sums of a point are relative to, and those that its values read. */
function pivotsOf(
  folds: readonly Fold[],
  copies: readonly Copy[],
  { store, beside }: StagedInChunks,
  online: readonly Online[],
): readonly Pivot[] {
  const known = new Map<string, Omit<Pivot, "read">>()
  for (const { scores, recipe, loose } of online)
    for (const [i, of] of recipeOf(recipe).pivots.entries()) known.set(pivotName(scores, i), { of, loose })
  const found = new Map<LocalRead, Pivot>()
  for (const { leaf } of folds) for (const p of pivotsFor(leaf, online)) found.set(p.read, p)
  for (const s of [store, ...beside])
    for (const copy of copies)
      walk(substitute(s.value, copy.at), (x) => {
        const pivot = x.kind === "localRead" ? known.get(x.local) : undefined
        if (pivot !== undefined) found.set(x as LocalRead, { read: x as LocalRead, ...pivot })
      })
  return [...found.values()]
}

/** The pivots of the scores that a fold weighs with. */
function pivotsFor(leaf: Reduce, online: readonly Online[]): readonly Pivot[] {
  const found = scoresIn(leaf, online)
  if (found === undefined) return []
  const { read, of } = found
  const rows = read.index.slice(0, -1)
  return recipeOf(of.recipe).pivots.map((pivot, i) => ({
    read: localRead(pivotName(of.scores, i), rows, "f32"),
    of: pivot,
    loose: of.loose,
  }))
}
