/**
 * Chunks in runs: accumulators that take some chunks of a long fold in line, and whose sums are merged by pairs with those of other runs.
 *
 *   for c { fill scores; pivot = max(pivot, max scores); scores = exp(scores − pivot);   sum = Σ scores · v;
 *           total = total · exp(its pivot − pivot) + sum;   if 4 chunks are done { merge (pivot, total) by pairs; total = 0 } }
 *
 * What lies in variables is added in line as long as the bound of the error allows, so that few chunks end with a merge, whose levels lie in arrays. A
 * lane of many points has its accumulators in arrays in any case: there each chunk is a run. A pivot that is a maximum goes on from run to run, for
 * one of all that came before does as well as a run's own, and only what is kept has to move.
 */

import { add, apply, literal, localRead, splat, substitute, variable, walk } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import { identityValue } from "../ir/monoid.js"
import type { Expression, LocalRead, Reduce } from "../ir/nodes.js"
import { type Pivot as PivotOf, recipeOf } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"
import { type Accumulators, assign, declare, unflatten } from "./accumulators.js"
import { combine, identityOf, isComponentwise } from "./fold.js"
import { eachIteration, type Iterations } from "./iterations.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { runsOn, scoresIn } from "./online.js"
import { pivotOperation } from "./online-step.js"
import { countOf, type Kept, widthIn } from "./pipeline-accumulators.js"
import { createPairs, type InLine, levelsFor, type Merge, type Pairs, type Places } from "./runs.js"
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

/** What is kept of a fold over the chunks of a point. */
interface Parts {
  readonly pivots: readonly Pivot[]
  readonly merge: Merge
  /** Pivots and accumulators where nothing is folded. */
  readonly empty: Accumulators
}

/** Accumulators of runs of chunks; `chunks`: how many there are at most; `inLine`: how many are added up before they are merged by pairs. */
export function createChunkRuns(
  folds: readonly Fold[],
  iterations: Iterations,
  copies: readonly Copy[],
  staged: StagedInChunks,
  online: readonly Online[],
  { chunks, inLine }: { readonly chunks: number; readonly inLine: InLine },
  scope: Scope,
  lowerer: Lowerer,
): Kept {
  const pivots = pivotsOf(folds, copies, staged, online)
  const reads = pivots.map((p) => p.read)
  const none = pivots.map(({ of, read }) => splat(literal(identityValue(of.fold, "f32"), "f32"), widthIn(scope, read)))
  const empty = [none, ...folds.map(({ whole }) => identityAt(whole, scope))]
  const merge = mergeOf(folds, pivots, online, empty.flat())
  const count = countOf(iterations)
  const places = count > 1 ? { count, at: variable(iterations.name) as Places["at"] } : undefined
  const open = (out: Statement[]) => folds.map(({ whole }) => declare(whole, widthIn(scope, whole), out, lowerer))
  const now = (out: Statement[]) => named("pivot", lowerValues(reads, { ...scope, out }, lowerer), out, lowerer)
  /** Those of what is merged last: a pivot that goes on is the same everywhere by then. */
  const last = (out: Statement[]) => {
    const at = pivots.some(goesOn) ? lowerValues(reads, { ...scope, out }, lowerer) : none
    return named(
      "pivot",
      pivots.map((p, i) => (goesOn(p) ? at[i]! : none[i]!)),
      out,
      lowerer,
    )
  }
  const runs =
    places === undefined
      ? createLine({ pivots, merge, empty }, inLine, chunks, scope.out, lowerer)
      : createPairs(merge, levelsFor(chunks), scope.out, lowerer, places)
  const own = inLine.chunks > 1 && places === undefined ? open(scope.out) : undefined
  const around = (to: Statement[], fill: (inner: Statement[]) => void) => {
    if (places !== undefined) return eachIteration(iterations, to, fill)
    const body: Statement[] = []
    fill(body)
    to.push({ kind: "block", body })
  }
  return {
    each: (to, body) =>
      around(to, (inner) => {
        const accumulators = own ?? open(inner)
        body(inner, accumulators)
        runs.push([...now(inner), ...accumulators.flat()], inner)
      }),
    finish: (to, body) =>
      around(to, (inner) => {
        const totals = [...last(inner), ...(own ?? open(inner)).flat()]
        runs.collapse(totals, inner)
        const [moved, ...sums] = unflatten(totals, empty)
        body(inner, sums, new Map(reads.map((read, i) => [read, [moved![i]!]] as const)))
      }),
  }
}

/** Whether a pivot of a run is that of all that came before. */
const goesOn = (p: Pivot): boolean => runsOn(p.of)

/** Mutable variables. */
function named(
  stem: string,
  values: readonly Expression[],
  out: Statement[],
  { fresh }: Lowerer,
): readonly Expression[] {
  return values.map((value) => {
    const name = fresh(stem)
    out.push({ kind: "let", name, value, mutable: true })
    return variable(name, value.dtype, value.width)
  })
}

/** The accumulator of a fold that nothing is added to. */
const identityAt = (whole: Reduce, scope: Scope): readonly Expression[] =>
  identityOf(
    whole.monoid,
    whole.lift.map((l) => l.dtype),
    widthIn(scope, whole),
  )

/** Runs of chunks in line: accumulators start anew when they have been added to others, and those when they have been merged by pairs. */
function createLine(
  { pivots, merge, empty }: Parts,
  { chunks: first, sums: second }: InLine,
  chunks: number,
  out: Statement[],
  lowerer: Lowerer,
): Pairs {
  const length = first * second
  const done = lowerer.fresh("chunks")
  if (length > 1) out.push({ kind: "let", name: done, value: literal(0), mutable: true })
  const none = empty.flat()
  const totals = second === 1 ? undefined : named("total", none, out, lowerer)
  // As many levels as if each chunk were merged: how often a condition holds is not seen by the proof that accesses are in range.
  const pairs = createPairs(merge, levelsFor(chunks), out, lowerer)
  const restart = (set: readonly Expression[], to: Statement[]) => {
    for (const [i, x] of set.entries())
      if (x.kind === "variable" && !(i < pivots.length && goesOn(pivots[i]!)))
        to.push({ kind: "assign", name: x.name, value: none[i]! })
  }
  const each = (n: number, to: Statement[], body: readonly Statement[]) => {
    const condition = apply("eq", apply("bitand", variable(done), literal(n - 1)), literal(0))
    if (n === 1) to.push(...body)
    else to.push({ kind: "if", condition, body, otherwise: [] })
  }
  const put = (own: readonly Expression[], to: Statement[]) =>
    assign(totals!, merge.combine(totals!, own), merge.independent, to, lowerer)
  return {
    push: (own, to) => {
      if (length > 1) to.push({ kind: "assign", name: done, value: add(variable(done), literal(1)) })
      const [full, over]: [Statement[], Statement[]] = [[], []]
      if (totals !== undefined) put(own, full)
      pairs.push(totals ?? own, over)
      if (totals !== undefined) restart(totals, over)
      each(second === 1 ? 1 : length, full, over)
      if (first > 1) restart(own, full)
      each(first, to, full)
    },
    collapse: (into, to) => {
      if (totals !== undefined) assign(into, merge.combine(totals, into), merge.independent, to, lowerer)
      pairs.collapse(into, to)
    },
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
    const moved = pivots.map(({ of, loose }, i) =>
      runsOn(of) ? right[i]! : apply(pivotOperation(of, loose), left[i]!, right[i]!),
    )
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
      const stays = reads.every((r) => moved[r] === right[r])
      return [apply("add", side(left), stays ? right[at]! : side(right))]
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
