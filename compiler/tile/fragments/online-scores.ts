/**
 * Scores of a chunk: what products left, as far as it counts.
 *
 *   a chunk that counts whole, scores product · 0.25     →   nothing: registers keep products, and the factor is part of what reads them
 *   any other                                            →   for each register { score = key <= row ? product : −∞ }
 *
 * Elements that do not count have the score that counts for nothing. Whether a chunk is whole follows from the ranges of its rows.
 */
import { add, apply, fetch, freeVariables, literal, mul, rewriter, substitute, variable } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { nodesOf, outermostFolds } from "../../ir/query.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { spanOf } from "../pipeline.js"
import { allCount } from "../range.js"
import { lowerValues, scansAsReductions } from "../values.js"
import type { OnlineBlock } from "./online-block.js"
import { eachRegister, type HeldRow } from "./online-rows.js"

/** A score as registers hold it, times what it is left without. */
export const scoreAt = (
  {
    of: {
      score: { factor },
    },
  }: Pick<OnlineBlock, "of">,
  held: Expression,
): Expression => (factor.kind === "literal" && factor.value === 1 ? held : apply("mul", held, factor))

/** Emits what makes scores of products. */
export function emitScores(
  block: OnlineBlock,
  rows: readonly HeldRow[],
  scores: string,
  number: Expression,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { of, chunk, axes, mask } = block
  const { held } = of.score
  const base = mul(number, literal(chunk))
  const last = add(base, literal(chunk - 1))
  const emit = (value: Expression, whole: boolean): readonly Statement[] => {
    const out: Statement[] = []
    // Products are what they are.
    if (whole && value === of.inner) return out
    const reads = !whole && readsAlong(value, of.fold.axis)
    for (const row of rows)
      eachRegister(block.scores, row, { ...scope, out }, lowerer, (registers, inside) => {
        for (const { register, column } of registers) {
          const key = lowerer.fresh(of.fold.axis)
          const [element] = lowerValues([add(base, column)], inside, lowerer)
          inside.out.push({ kind: "let", name: key, value: element!, mutable: false })
          const bound = new Set(inside.bound).add(key)
          const read = reads ? apply("min", variable(key), add(of.fold.extent, literal(-1))) : variable(key)
          const score = scansAsReductions(substitute(value, new Map([...row.at, [of.fold.axis, read]])))
          const [product] = outermostFolds(score) as [Reduce]
          const solved = new Map(inside.solved).set(product, [fetch(scores, register, "f32")])
          const counts = apply("lt", variable(key), of.fold.extent)
          const own = whole ? score : apply("select", counts, score, literal(of.recipe.absent!, "f32"))
          const [lowered] = lowerValues([own], { ...inside, bound, solved }, lowerer)
          inside.out.push({ kind: "store", array: scores, offset: register, value: lowered! })
        }
      })
    return out
  }
  const part = emit(held, false)
  const spans = new Map(axes.map((a) => [a.axis.name, spanOf(a)] as const)).set(of.fold.axis, { low: base, high: last })
  const all = mask === undefined ? literal(1, "bool") : allCount(mask, spans)
  const [isWhole] = lowerValues([apply("and", apply("lt", last, of.fold.extent), all)], scope, lowerer)
  const whole = emit(mask === undefined ? held : unmasked(held), true)
  if (isWhole!.kind === "literal") scope.out.push(...(isWhole!.value === 0 ? part : whole))
  else if (whole.length > 0) scope.out.push({ kind: "if", condition: isWhole!, body: whole, otherwise: part })
  else scope.out.push({ kind: "if", condition: apply("not", isWhole!), body: part, otherwise: [] })
}

/** What a score is where its element counts. */
const unmasked = (held: Expression): Expression =>
  held.kind === "operation" && held.operation === "select" ? held.args[1]! : held

/** Whether a score reads something that follows the elements, beside its product: beyond the end there is none. */
function readsAlong(score: Expression, axis: string): boolean {
  const folds = new Set<Expression>(outermostFolds(score))
  const rest = rewriter((x) => (folds.has(x) ? literal(0, "f32") : undefined))(score)
  return nodesOf([rest], "load", "localRead").some((x) => freeVariables(x).has(axis))
}
