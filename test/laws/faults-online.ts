/**
 * Planted faults of carried folds: wrong ways to begin, append and merge, as a mistake in a recipe or in its use would make them.
 *
 *   merge: advance(c, p, q) + c′      the second side is not rescaled
 */
import { apply, literal } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Recipe } from "../../compiler/ir/recipes.js"
import { instantiate, numbered } from "../../compiler/ir/terms.js"
import { carriedAppend, carriedIdentity, carriedMerge } from "../../compiler/passes/carried.js"
import { rightTerms, type Terms } from "./recipe-algebra.js"

const stuck = (recipe: Recipe): Recipe => ({ ...recipe, advance: "$c" })

const parts = (recipe: Recipe, element: readonly Expression[]) => ({
  pivots: element.slice(0, recipe.pivots.length),
  channels: element.slice(recipe.pivots.length),
})

/** Of any recipe. */
export const recipeFaults: Readonly<Record<string, Terms>> = {
  "forgotten rescale in an append": { ...rightTerms, append: (recipe, e, x) => carriedAppend(stuck(recipe), e, x) },
  "forgotten rescale in a merge": { ...rightTerms, merge: (recipe, l, r) => carriedMerge(stuck(recipe), l, r) },
  "one side of a merge not rescaled": {
    ...rightTerms,
    merge: (recipe, l, r) => {
      const [left, right] = [parts(recipe, l), parts(recipe, r)]
      const { pivots } = parts(recipe, carriedMerge(recipe, l, r))
      const names = { ...numbered("$p", left.pivots), ...numbered("$q", pivots) }
      const advanced = left.channels.map((c) => instantiate(recipe.advance, { ...names, $c: c }))
      return [...pivots, ...advanced.map((c, i) => apply("add", c, right.channels[i]!))]
    },
  },
  "wrong identity of the pivot": {
    ...rightTerms,
    identity: (recipe, channels, width) =>
      carriedIdentity(recipe, channels, width).map((x, i) => {
        const pivot = recipe.pivots[i]
        return pivot === undefined ? x : literal(pivot.fold === "max" ? 0 : 1, "f32")
      }),
  },
  "channel weighted with the old pivot": {
    ...rightTerms,
    append: (recipe, e, [score, ...values]) => {
      const none = values.map(() => literal(0, "f32"))
      const { pivots, channels } = parts(recipe, carriedAppend(recipe, e, [score!, ...none]))
      const stale = instantiate(recipe.weight, { $0: score!, ...numbered("$p", parts(recipe, e).pivots) })
      return [...pivots, ...channels.map((c, i) => apply("add", c, apply("mul", stale, values[i]!)))]
    },
  },
}
