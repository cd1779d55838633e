/**
 * Online monoids in the loop language: identity, append and merge of (pivots …, channels …), made of a recipe's terms.
 *
 *   exp, append (s, x)      →   [max(p, s),  c · exp(p − max(p, s)) + exp(s − max(p, s)) · x]
 *   exp, merge (p′, c′)     →   [q = max(p, p′),  c · exp(p − q) + c′ · exp(p′ − q)]
 *
 * No recipe is treated by name. All terms are pointwise, so that accumulators may be vectors.
 */
import { apply, isLiteral, literal, splat } from "../ir/expression.js"
import { identityValue } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import type { Operation } from "../ir/operations.js"
import type { Pivot, Recipe } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"

/** Pivots, then channels. */
type Element = readonly Expression[]

export function onlineIdentity(recipe: Recipe, channels: number, width: number): Element {
  const pivots = recipe.pivots.map((p) => identityValue(p.fold, "f32"))
  return [...pivots, ...Array.from({ length: channels }, () => 0)].map((n) => splat(literal(n, "f32"), width))
}

/** The operation that two values of a pivot are folded by. */
export function pivotOperation(pivot: Pivot, loose: boolean): Operation {
  if (pivot.fold === "sum") return "add"
  return loose && pivot.loose === true ? "looseMax" : pivot.fold
}

/** The element after one more (score, value of each channel). */
export function onlineAppend(recipe: Recipe, element: Element, [score, ...values]: Element, loose = false): Element {
  const lifted = recipe.pivots.map((p) => instantiate(p.of, { $0: score! }))
  const pivots = folded(recipe, element, lifted, loose)
  const weight = instantiate(recipe.weight, { $0: score!, ...numbered("$p", pivots) })
  return [
    ...pivots,
    ...advanced(recipe, element, pivots).map((c, i) => {
      const x = values[i]!
      return apply("add", c, isOne(x) ? weight : apply("mul", weight, x))
    }),
  ]
}

/** Two elements into one. */
export function onlineMerge(recipe: Recipe, left: Element, right: Element, loose = false): Element {
  const pivots = folded(recipe, left, right, loose)
  const others = advanced(recipe, right, pivots)
  return [...pivots, ...advanced(recipe, left, pivots).map((c, i) => apply("add", c, others[i]!))]
}

const folded = (recipe: Recipe, left: Element, right: Element, loose: boolean): Element =>
  recipe.pivots.map((p, i) => apply(pivotOperation(p, loose), left[i]!, right[i]!))

/** The channels of an element once its pivots have become `pivots`. */
function advanced(recipe: Recipe, element: Element, pivots: Element): Element {
  const count = recipe.pivots.length
  const names = { ...numbered("$p", element.slice(0, count)), ...numbered("$q", pivots) }
  return element.slice(count).map((c) => instantiate(recipe.advance, { ...names, $c: c }))
}

const isOne = (x: Expression): boolean => isLiteral(x) && x.value === 1
