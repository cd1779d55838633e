/**
 * Operands of products whose weights go straight into fragments: what follows an axis of the weights, and what does not.
 *
 *   y[o] = sum_k(x[k] · g[k] · w[o, k]) by o   →   weights w[o, k], one row of x[k] · g[k]
 *
 * Unlike other products these may have a single row that follows no axis. Folds of a store share it.
 */
import { freeVariables, literal, mul } from "../../../ir/expression.js"
import type { Kernel, Store } from "../../../ir/kernel.js"
import type { Expression, Reduce } from "../../../ir/nodes.js"
import { outermostFolds } from "../../../ir/query.js"
import type { Axis } from "../../../ir/tensor.js"
import { Refused } from "../../block.js"
import {
  chainOf,
  factorsOfChain,
  foldedOf,
  type Made,
  type Operand,
  operandOf,
  withoutPlainLocals,
} from "../operands.js"

export interface DirectProducts {
  readonly stores: readonly Store[]
  /** The axes that weights alone follow, and those that rows alone do. */
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  /** The folded axes, outermost first. */
  readonly folded: readonly Axis[]
  readonly folds: readonly Reduce[]
  /** Those of each fold. */
  readonly weights: readonly Operand[]
  /** What all folds multiply them with. */
  readonly other: Operand
}

/** @throws Refused where the folds of a store are no such products */
export function directOf(given: readonly Store[], rowAxis: string, kernel: Kernel, made: Made): DirectProducts {
  const { axes } = given[0]!
  const over = withoutPlainLocals(kernel)
  const stores = given.map((s) => ({ ...s, value: over(s.value), index: s.index.map(over) }))
  const folds = [...new Set(stores.flatMap((s) => [s.value, ...s.index].flatMap(outermostFolds)))]
  const chains = folds.map(chainOf)
  const [first] = chains
  if (first === undefined) throw new Refused("atom/fold", "the store folds nothing")
  const own = (x: Expression) => axes.filter((a) => freeVariables(x).has(a.name))
  const among = (all: readonly Expression[]) => axes.filter((a) => all.some((x) => own(x).includes(a)))
  const sides = chains.map((chain) => {
    const factors = factorsOfChain(chain, first)
    const isWeight = (x: Expression) => own(x).some((a) => a.name === rowAxis)
    const [weights, others] = [factors.filter(isWeight), factors.filter((x) => !isWeight(x))]
    return { weights: product(weights), other: product(others), own: among(weights), others: among(others) }
  })
  const [side] = sides
  const alike = (p: readonly Axis[], q: readonly Axis[]) => p.length === q.length && p.every((a) => q.includes(a))
  if (side!.own.length === 0) throw new Refused("atom/axes", `nothing that is folded follows '${rowAxis}'`)
  if (!sides.every((s) => alike(s.own, side!.own) && s.other === side!.other))
    throw new Refused("atom/axes", "the folds of a store follow different rows, or multiply different ones")
  const operand = (x: Expression) => operandOf(x, kernel, made)
  return {
    stores,
    rows: side!.own.filter((a) => !side!.others.includes(a)),
    columns: side!.others.filter((a) => !side!.own.includes(a)),
    folded: foldedOf(
      first,
      sides.flatMap((s) => [s.weights, s.other]),
      kernel,
    ),
    folds,
    weights: sides.map((s) => operand(s.weights)),
    other: operand(side!.other),
  }
}

const product = (factors: readonly Expression[]): Expression =>
  factors.length === 0 ? literal(1, "f32") : factors.reduce((x, y) => mul(x, y))
