/**
 * Weights of a chunk: pivots of rows move to where its scores take them, sums follow, and scores become weights where they are.
 *
 *   for each row { seen = max over its registers, and over lanes ^ 1, ^ 2;  moved = max(pivot, seen);  sum = sum · exp(pivot − moved) + Σ w,  w = exp(score − moved) }
 *
 * A lane adds up the weights that it holds; what a row's lanes have is added up at the end.
 *
 * Results follow when nothing is added to them any more, before the chunk's own part is: that may be later than its weights are known. Weights that are
 * rounded to halves are powers of two (powers.ts).
 */
import { add, apply, fetch, freeVariables, literal, mul, substitute, variable } from "../../ir/expression.js"
import { type Atom, fragmentSize } from "../../ir/fragments/atoms.js"
import { foldOf } from "../../ir/fragments/layout.js"
import { identityValue } from "../../ir/monoid.js"
import type { Expression, Variable } from "../../ir/nodes.js"
import type { Pivot } from "../../ir/recipes.js"
import { instantiate, numbered } from "../../ir/terms.js"
import { assign } from "../accumulators.js"
import { Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { pivotOperation } from "../online-step.js"
import { lowerValues } from "../values.js"
import type { OnlineBlock } from "./online-block.js"
import { eachRegister, type HeldRow } from "./online-rows.js"
import { scoreAt } from "./online-scores.js"
import { inPowersOfTwo } from "./powers.js"
import { storeTerms } from "./staged.js"

export interface OpenFold {
  readonly block: OnlineBlock
  readonly rows: readonly HeldRow[]
  /** Registers of the scores, of the weights' terms, and of the results. */
  readonly scores: string
  readonly weights: readonly string[]
  readonly results: readonly string[]
}

/** A row's pivots with a chunk. */
export interface MovedRow {
  readonly row: HeldRow
  readonly moved: readonly Expression[]
}

/** Variables for pivots of rows that results do not follow yet. */
export function openMoves({ block, rows }: OpenFold, scope: Scope, lowerer: Lowerer): readonly MovedRow[] {
  const open = ({ fold }: Pivot) => variableOf("next", literal(identityValue(fold, "f32"), "f32"), scope, lowerer)
  return rows.map((row) => ({ row, moved: block.of.recipe.pivots.map(open) }))
}

/** Makes weights of the scores of a chunk, in their registers. */
export function emitWeights(c: OpenFold, number: Expression, scope: Scope, lowerer: Lowerer): readonly MovedRow[] {
  return c.rows.map((row) => {
    const moved = movePivots(c, row, scope, lowerer)
    const sums = row.sums.filter((s) => s !== undefined)
    assign(
      sums,
      sums.map((x) => advanced(c, row.pivots, moved, x)),
      true,
      scope.out,
      lowerer,
    )
    weighRow(c, { row, moved }, number, scope, lowerer)
    return { row, moved }
  })
}

/** The pivots of a row with this chunk. */
function movePivots({ block, scores }: OpenFold, row: HeldRow, scope: Scope, lowerer: Lowerer): readonly Expression[] {
  const { of } = block
  return of.recipe.pivots.map((pivot, i) => {
    const operation = pivotOperation(pivot, of.loose)
    const seen = variableOf("seen", literal(identityValue(pivot.fold, "f32"), "f32"), scope, lowerer)
    eachRegister(block.scores, row, scope, lowerer, (registers, { out }) => {
      for (const { register } of registers) {
        const value = apply(operation, seen, instantiate(pivot.of, { $0: fetch(scores, register, "f32") }))
        out.push({ kind: "assign", name: seen.name, value })
      }
    })
    exchange(seen, (p, q) => apply(operation, p, q), block.scores.atom, scope, lowerer)
    const name = lowerer.fresh("moved")
    const value = apply(operation, row.pivots[i]!, scoreAt(block, seen))
    scope.out.push({ kind: "let", name, value, mutable: false })
    return variable(name, "f32")
  })
}

/** Folds a variable over the lanes that hold a row. */
function exchange(
  x: Variable,
  fold: (p: Expression, q: Expression) => Expression,
  atom: Atom,
  { out }: Scope,
  lowerer: Lowerer,
): void {
  const { masks, beyond } = foldOf(atom.c.layout!, "column")
  if (beyond.length > 0) throw new Refused("atom/fold", `lanes of several subgroups hold a row of '${atom.name}'`)
  for (const mask of masks) {
    const name = lowerer.fresh("other")
    out.push(
      { kind: "shuffle", name, value: x, mask },
      { kind: "assign", name: x.name, value: fold(x, variable(name, "f32")) },
    )
  }
}

function variableOf(stem: string, value: Expression, { out }: Scope, lowerer: Lowerer) {
  const name = lowerer.fresh(stem)
  out.push({ kind: "let", name, value, mutable: true })
  return variable(name, "f32")
}

/** Exponentials as exact as what they become. */
const shortened = ({ weights }: OpenFold, x: Expression): Expression => (weights.length === 1 ? inPowersOfTwo(x) : x)

/** What sums and results become where pivots move. */
export function advanced(
  c: OpenFold,
  from: readonly Expression[],
  to: readonly Expression[],
  x: Expression,
): Expression {
  const names = { ...numbered("$p", from), ...numbered("$q", to) }
  return shortened(c, instantiate(c.block.of.recipe.advance, { ...names, $c: x }))
}

/** Results of rows where their pivots have moved, and the pivots there. */
export function emitAdvance(c: OpenFold, moves: readonly MovedRow[], scope: Scope, lowerer: Lowerer): void {
  for (const { row, moved } of moves) {
    eachRegister(c.block.results, row, scope, lowerer, (registers, { out }) => {
      for (const { register } of registers)
        for (const array of c.results) {
          const value = advanced(c, row.pivots, moved, fetch(array, register, "f32"))
          out.push({ kind: "store", array, offset: register, value })
        }
    })
    assign(row.pivots, moved, true, scope.out, lowerer)
  }
}

/** Weights of a row, and the sums that they have a part in. */
function weighRow(c: OpenFold, { row, moved }: MovedRow, number: Expression, scope: Scope, lowerer: Lowerer): void {
  const { block, scores } = c
  const { of, chunk } = block
  const base = mul(number, literal(chunk))
  const sums = row.sums.map((s) => s && variableOf("part", literal(0, "f32"), scope, lowerer))
  eachRegister(block.scores, row, scope, lowerer, (registers, inside) => {
    const { out } = inside
    for (const { register, column } of registers) {
      const name = lowerer.fresh("weight")
      const score = scoreAt(block, fetch(scores, register, "f32"))
      const value = shortened(c, instantiate(of.recipe.weight, { $0: score, ...numbered("$p", moved) }))
      const weight = variable(name, "f32")
      out.push(
        { kind: "let", name, value, mutable: false },
        { kind: "store", array: scores, offset: register, value: weight },
      )
      for (const [i, channel] of of.channels.entries()) {
        const sum = sums[i]
        if (sum === undefined || channel.kind !== "sum") continue
        const at = new Map([...row.at, [of.fold.axis, add(base, column)] as const])
        const isOne = channel.value.kind === "literal" && channel.value.value === 1
        if (!isOne && freeVariables(channel.value).has(of.fold.axis))
          throw new Refused("atom/fold", "what is added up follows the elements")
        const [x] = isOne ? [literal(1, "f32")] : lowerValues([substitute(channel.value, at)], inside, lowerer)
        out.push({ kind: "assign", name: sum.name, value: add(sum, isOne ? weight : apply("mul", weight, x!)) })
      }
    }
  })
  for (const [i, part] of sums.entries()) {
    if (part === undefined) continue
    assign([row.sums[i]!], [apply("add", row.sums[i]!, part)], true, scope.out, lowerer)
  }
}

/** Sums of rows, of what the lanes that hold them have added up. */
export function emitSums({ block, rows }: OpenFold, scope: Scope, lowerer: Lowerer): void {
  for (const { sums } of rows)
    for (const sum of sums)
      if (sum !== undefined) exchange(sum, (p, q) => apply("add", p, q), block.scores.atom, scope, lowerer)
}

/** Weights as the operand of a product. */
export function emitOperand({ block, scores, weights }: OpenFold, scope: Scope, lowerer: Lowerer): void {
  const size = block.scores.down * block.scores.across * fragmentSize(block.scores.atom, "c")
  const name = lowerer.fresh("pair")
  const offset = mul(variable(name), literal(2))
  const out: Parameters<typeof storeTerms>[3] = []
  storeTerms(weights, offset, fetch(scores, offset, "f32", 2), out, lowerer)
  scope.out.push({ kind: "for", variable: name, extent: literal(size / 2), bind: "unroll", body: out })
}
