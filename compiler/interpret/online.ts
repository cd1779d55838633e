/**
 * What an online monoid means: the folds, one after the other, that it does at once.
 *
 *   online(exp, 2)_{k < n}(s, 1, v).2   →   sum_{k'< n}(exp(s − max_{k < n}(s)) * v)
 *
 * The interpreters compute this and never append or merge: they are the more accurate side, and the programs that do both are compared with
 * them. Components of one reduction become reductions of their own.
 */
import { component as componentOf, literal, mul, reduce, rewriter, substitute, variable } from "../ir/expression.js"
import { liftCount, type Monoid, monoidParts, partOf } from "../ir/monoid.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { recipeOf } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"

const isOnline = (m: Monoid): boolean => monoidParts(m).some(({ monoid }) => monoid.kind === "online")

/** The expression over plain monoids only. */
export function inPasses(root: Expression, memo: Map<Expression, Expression> = new Map()): Expression {
  const visit = rewriter((x) => {
    const fold = x.kind === "component" ? x.of : x
    return fold.kind === "reduce" && isOnline(fold.monoid)
      ? componentInPasses(fold, x.kind === "component" ? x.index : 0, x.kind === "component" ? x.slot : undefined)
      : undefined
  }, memo)
  const componentInPasses = (fold: Reduce, index: number, slot: Expression | undefined): Expression => {
    const { monoid, at, component } = partOf(fold.monoid, index)!
    const lift = fold.lift.slice(at).map(visit)
    const extent = visit(fold.extent)
    if (monoid.kind !== "online") {
      const alone = reduce(fold.axis, extent, monoid, lift.slice(0, liftCount(monoid)))
      return componentOf(alone, index - component, slot === undefined ? undefined : visit(slot))
    }
    return onlineInPasses({ axis: fold.axis, extent, lift }, monoid, index - component)
  }
  return visit(root)
}

function onlineInPasses(
  { axis, extent, lift }: Pick<Reduce, "axis" | "extent" | "lift">,
  monoid: Monoid & { kind: "online" },
  index: number,
): Expression {
  const recipe = recipeOf(monoid.recipe)
  const [score, ...values] = lift as [Expression, ...Expression[]]
  const pivot = (i: number) => {
    const { fold, of } = recipe.pivots[i]!
    return reduce(axis, extent, { kind: fold }, [instantiate(of, { $0: score })])
  }
  const count = recipe.pivots.length
  if (index < count) return pivot(index)
  // The pivots stand inside of the second pass, whose axis has a name of its own.
  const second = `${axis}'`
  const at = new Map([[axis, variable(second)]])
  const pivots = numbered(
    "$p",
    recipe.pivots.map((_, i) => pivot(i)),
  )
  const weight = instantiate(recipe.weight, { $0: substitute(score, at), ...pivots })
  const value = substitute(values[index - count]!, at)
  const one = value === literal(1, "f32")
  return reduce(second, extent, { kind: "sum" }, [one ? weight : mul(weight, value)])
}
