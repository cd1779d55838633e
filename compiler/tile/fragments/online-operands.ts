/**
 * Online folds as two products of matrices: scores are one, and what they weigh is the other.
 *
 *   online_key(sum_e(q[m, e] · k[key, e]) · scale, 1, v[key, n])   →   rows m, columns n;  q and k over e;  v over the keys;  1 is folded beside
 *
 * Axes that q and k both follow are a batch. Values that follow the columns are multiplied, those that follow rows and keys alone are added up.
 */
import { apply, freeVariables, literal } from "../../ir/expression.js"
import type { Kernel, Store } from "../../ir/kernel.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { nodesOf, outermostFolds } from "../../ir/query.js"
import { type Recipe, recipeOf, type Term } from "../../ir/recipes.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import { chainOf, type Made, type Operand, operandOf, sidesOf, withoutPlainLocals } from "./operands.js"

/** A value of an online fold: the number of an operand that is multiplied, or what is added up. */
export type Channel =
  | { readonly kind: "product"; readonly operand: number }
  | { readonly kind: "sum"; readonly value: Expression }

/** How scores follow from what registers hold of them: so many times that. */
export interface ScoreParts {
  /** What registers hold, over the product of the scores. */
  readonly held: Expression
  readonly factor: Expression
}

export interface OnlineProducts {
  readonly stores: readonly Store[]
  readonly fold: Reduce
  readonly recipe: Recipe
  readonly loose: boolean
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  readonly batch: readonly Axis[]
  /** The fold inside of the scores, and its sides: that of the rows and that of the folded elements. */
  readonly inner: Reduce
  readonly score: ScoreParts
  readonly queries: Operand
  readonly keys: Operand
  /** What is multiplied with the weights. */
  readonly values: readonly Operand[]
  readonly channels: readonly Channel[]
}

/**
 * The online fold of a store, and of those made along with it over its axes, as products.
 *
 * @throws Refused where it is none
 */
export function onlineProductsOf(given: readonly Store[], kernel: Kernel, made: Made): OnlineProducts {
  const { axes } = given[0]!
  const over = withoutPlainLocals(kernel)
  const stores = given.map((s) => ({ ...s, value: over(s.value), index: s.index.map(over) }))
  const [fold, ...others] = new Set(stores.flatMap((s) => [s.value, ...s.index].flatMap(outermostFolds)))
  if (fold?.monoid.kind !== "online" || others.length > 0)
    throw new Refused("atom/fold", "matrix units take one online fold of a store")
  const recipe: Recipe = recipeOf(fold.monoid.recipe)
  if (recipe.absent === undefined)
    throw new Refused(
      "atom/fold",
      "there is no score that counts for nothing, which elements beyond the end would have",
    )
  if (!scales(recipe.advance)) throw new Refused("atom/fold", "sums of lanes do not follow the pivots each by itself")
  if (freeVariables(fold.extent).size > 0 || nodesOf([fold.extent], "load", "localRead", "reduce", "scan").length > 0)
    throw new Refused("atom/fold", `'${fold.axis}' has not the same elements for all rows`)
  const [score, ...lifted] = fold.lift as [Expression, ...Expression[]]
  const [inner, ...more] = outermostFolds(score)
  const chain = inner && chainOf(inner)
  if (inner === undefined || chain === undefined || more.length > 0 || chain.folds.length > 1)
    throw new Refused("atom/fold", "the scores are made of no single product")
  const names = [...axes.map((a) => a.name), fold.axis]
  const { first, second } = sidesOf(chain, chain, names)
  const [q, k] = first.axes.includes(fold.axis) ? [second, first] : [first, second]
  const inBatch = k.axes.filter((n) => n !== fold.axis)
  if (q.axes.includes(fold.axis) || !k.axes.includes(fold.axis) || !inBatch.every((n) => q.axes.includes(n)))
    throw new Refused("atom/axes", `one side of the scores follows rows, and the other '${fold.axis}'`)
  const named = (pick: (n: string) => boolean) => axes.filter((a) => pick(a.name))
  const batch = named((n) => inBatch.includes(n))
  const rows = named((n) => q.axes.includes(n) && !inBatch.includes(n))
  const columns = named((n) => !q.axes.includes(n))
  const isColumn = (n: string) => columns.some((a) => a.name === n)
  if ([...freeVariables(score)].some(isColumn)) throw new Refused("atom/axes", "the scores follow columns")
  const values: Expression[] = []
  const channels = lifted.map((value): Channel => {
    const own = [...freeVariables(value)].filter((n) => names.includes(n))
    if (!own.some(isColumn)) return { kind: "sum", value }
    if (!own.includes(fold.axis) || !own.every((n) => isColumn(n) || n === fold.axis || inBatch.includes(n)))
      throw new Refused("atom/axes", "what is weighed follows rows as well")
    if (!values.includes(value)) values.push(value)
    return { kind: "product", operand: values.indexOf(value) }
  })
  if (values.length === 0 || nodesOf(lifted, "reduce", "scan").length > 0)
    throw new Refused("atom/fold", "what is weighed is no operand of a product")
  if (made.terms === 3) throw new Refused("atom/fold", "products of weights with what is weighed lose digits")
  const operand = (value: Expression) => operandOf(value, kernel, made)
  const { loose = false } = fold.monoid
  const sides = { queries: operand(q.value), keys: operand(k.value), values: values.map(operand) }
  const parts = scoreParts(score, inner, recipe)
  return { stores, fold, recipe, loose, rows, columns, batch, inner, score: parts, ...sides, channels }
}

/** Whether a channel that moves is multiplied: then parts of it are, each by itself. */
const scales = (advance: Term): boolean => typeof advance === "object" && advance[0] === "mul" && advance[1] === "$c"

/**
 * A positive factor of all scores is left to what reads them, where the largest score is that of the largest product, and what counts for nothing stays
 * that.
 */
function scoreParts(score: Expression, inner: Reduce, { absent, pivots }: Recipe): ScoreParts {
  const none = literal(absent!, "f32")
  let factor: Expression | undefined
  const without = (x: Expression): Expression => {
    if (x.kind !== "operation") return x
    const [a, b, c] = x.args as [Expression, Expression, Expression]
    if (x.operation === "select" && c === none) return apply("select", a, without(b), c)
    if (x.operation !== "mul" || a !== inner || b.kind !== "literal") return x
    factor = b
    return inner
  }
  const held = without(score)
  const isPlain = pivots.every((p) => p.fold === "max" && p.of === "$0")
  const value = factor?.kind === "literal" ? factor.value : 0
  if (isPlain && value > 0 && Number.isFinite(value) && absent! * value === absent) return { held, factor: factor! }
  return { held: score, factor: literal(1, "f32") }
}
