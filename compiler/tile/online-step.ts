/**
 * Online monoids in the loop language: identity, append and merge of (pivots …, channels …), made of a recipe's terms.
 *
 *   exp, append (s, x)      →   [max(p, s),  c · exp(p − max(p, s)) + exp(s − max(p, s)) · x]
 *   exp, merge (p′, c′)     →   [q = max(p, p′),  c · exp(p − q) + c′ · exp(p′ − q)]
 *
 * Several elements are appended, or merged, at once: the pivots move to where all of them take it, and what is added is added in pairs.
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
export const onlineAppend = (recipe: Recipe, element: Element, taken: Element, loose = false): Element =>
  onlineExtend(recipe, element, [taken], loose)

/** The element after some more of (score, value of each channel), at least one. */
export function onlineExtend(recipe: Recipe, element: Element, taken: readonly Element[], loose = false): Element {
  const lifted = taken.map(([score]) => recipe.pivots.map((p) => instantiate(p.of, { $0: score! })))
  const pivots = folded(
    recipe,
    element,
    inPairs<Element>(lifted, (p, q) => folded(recipe, p, q, loose)),
    loose,
  )
  const weights = taken.map(([score]) => instantiate(recipe.weight, { $0: score!, ...numbered("$p", pivots) }))
  const added = (channel: number) =>
    taken.map((t, i) => {
      const [weight, x] = [weights[i]!, t[1 + channel]!]
      return isOne(x) ? weight : apply("mul", weight, x)
    })
  return [...pivots, ...advanced(recipe, element, pivots).map((c, i) => apply("add", c, inPairs(added(i), plus)))]
}

/** Two elements into one. */
export const onlineMerge = (recipe: Recipe, left: Element, right: Element, loose = false): Element =>
  onlineMergeAll(recipe, [left, right], loose)

/** Some elements into one, at least one. */
export function onlineMergeAll(recipe: Recipe, elements: readonly Element[], loose = false): Element {
  const pivots = inPairs<Element>(
    elements.map((e) => e.slice(0, recipe.pivots.length)),
    (p, q) => folded(recipe, p, q, loose),
  )
  const moved = elements.map((e) => advanced(recipe, e, pivots))
  const channels = moved[0]!.map((_, i) =>
    inPairs(
      moved.map((m) => m[i]!),
      plus,
    ),
  )
  return [...pivots, ...channels]
}

const plus = (a: Expression, b: Expression) => apply("add", a, b)

/** Neighbours first, so that an element goes through as many steps as the list has halves. */
export function inPairs<T>(list: readonly T[], join: (a: T, b: T) => T): T {
  if (list.length === 1) return list[0]!
  const half = 2 ** (Math.ceil(Math.log2(list.length)) - 1)
  return join(inPairs(list.slice(0, half), join), inPairs(list.slice(half), join))
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
