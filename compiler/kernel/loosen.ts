/**
 * loosen: kernel → kernel. Pivots that nobody reads but their own fold may lose NaN, for its channels carry it.
 *
 *   y[i] = f.2 / f.1    f = online(exp, 2)_{k}(s, 1, v)    →    f = loose online(exp, 2)_{k}(s, 1, v)
 *   y[i] = f + log(f.1)                                     →    as it was: the maximum is part of a result
 *
 * A maximum that keeps NaN is eight instructions, and one that does not is one. What a recipe makes of a sum as a whole may read the pivots, too.
 */
import { component, operands, reduce, rewriter } from "../ir/expression.js"
import { type Kernel, mapItem, rootsOf } from "../ir/kernel.js"
import { loose, type Online } from "../ir/monoid.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import { recipeOf } from "../ir/recipes.js"
import { instantiate, numbered } from "../ir/terms.js"

type OnlineFold = Reduce & { readonly monoid: Online }

const isOnline = (x: Expression): x is OnlineFold => x.kind === "reduce" && x.monoid.kind === "online"

export function loosen(kernel: Kernel): Kernel {
  const read = readPivots(kernel.items.flatMap(rootsOf))
  const visit = rewriter((x, again) =>
    isOnline(x) && x.monoid.channels > 0 && !read.has(x)
      ? reduce(x.axis, again(x.extent), loose(x.monoid), x.lift.map(again))
      : undefined,
  )
  return { ...kernel, items: kernel.items.map((item) => mapItem(item, visit)) }
}

/** The online folds whose pivots are read, other than as a part of their sums. */
function readPivots(roots: readonly Expression[]): ReadonlySet<Expression> {
  const wholes = new Map(nodesOf(roots, "reduce").filter(isOnline).flatMap(wholesOf))
  const read = new Set<Expression>()
  const seen = new Set<Expression>()
  const visit = (x: Expression) => {
    const channel = wholes.get(x) ?? x
    if (seen.has(channel)) return
    seen.add(channel)
    const fold = channel.kind === "component" && isOnline(channel.of) ? channel.of : channel
    if (isOnline(fold)) {
      const index = channel.kind === "component" ? channel.index : 0
      if (index < recipeOf(fold.monoid.recipe).pivots.length) read.add(fold)
    }
    operands(fold).forEach(visit)
  }
  roots.forEach(visit)
  return read
}

/** What a program spells each channel as, and the channel. */
function wholesOf(fold: OnlineFold): readonly (readonly [Expression, Expression])[] {
  const { whole, pivots } = recipeOf(fold.monoid.recipe)
  if (whole === undefined) return []
  const names = numbered(
    "$p",
    pivots.map((_, i) => component(fold, i)),
  )
  return Array.from({ length: fold.monoid.channels }, (_, i) => {
    const channel = component(fold, pivots.length + i)
    return [instantiate(whole, { ...names, $c: channel }), channel] as const
  })
}
