/**
 * prune: kernel → kernel. What nobody reads of an online fold goes.
 *
 *   y[i] = online(exp, 2)_{k}(s, 1, v).1   →   y[i] = online(exp, 1)_{k}(s, 1).1
 *   y[i] = online(exp, 1)_{k}(s, 1)        →   y[i] = max_{k}(s)
 *
 * Folds are joined before the program is cut into kernels; where a cut has parted them again, an item keeps the channels that it reads.
 */
import { component, operands, reduce, rewriter } from "../ir/expression.js"
import { type Item, type Kernel, mapItem, rootsOf } from "../ir/kernel.js"
import { pivotMonoid } from "../ir/monoid.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { recipeOf } from "../ir/recipes.js"
import { instantiate } from "../ir/terms.js"

export const prune = (kernel: Kernel): Kernel => ({ ...kernel, items: kernel.items.map(pruneItem) })

function pruneItem(item: Item): Item {
  const used = usedComponents(rootsOf(item))
  if (used.size === 0) return item
  return mapItem(
    item,
    rewriter((x, again) => prunedComponent(x, used, again)),
  )
}

const isOnline = (x: Expression): x is Reduce => x.kind === "reduce" && x.monoid.kind === "online"

/** The components that some values read of each online fold; the fold itself is its component 0. */
function usedComponents(roots: readonly Expression[]): ReadonlyMap<Reduce, ReadonlySet<number>> {
  const used = new Map<Reduce, Set<number>>()
  const seen = new Set<Expression>()
  const read = (of: Reduce, index: number) => used.set(of, (used.get(of) ?? new Set<number>()).add(index))
  const visit = (x: Expression) => {
    if (isOnline(x)) read(x, 0)
    const fold = x.kind === "component" && isOnline(x.of) ? x.of : undefined
    if (fold !== undefined && x.kind === "component") read(fold, x.index)
    if (seen.has(x)) return
    seen.add(x)
    for (const o of operands(fold ?? x)) visit(o)
  }
  roots.forEach(visit)
  return used
}

/** A component of an online fold without the channels that nobody reads. */
function prunedComponent(
  x: Expression,
  used: ReadonlyMap<Reduce, ReadonlySet<number>>,
  visit: (x: Expression) => Expression,
): Expression | undefined {
  const fold = x.kind === "component" ? x.of : x
  if (fold.kind !== "reduce" || fold.monoid.kind !== "online") return undefined
  const index = x.kind === "component" ? x.index : 0
  const { axis, extent, lift } = fold
  const { recipe, channels } = fold.monoid
  const { pivots } = recipeOf(recipe)
  const kept = Array.from({ length: channels }, (_, i) => i).filter((i) => used.get(fold)!.has(pivots.length + i))
  const score = visit(lift[0]!)
  const pivot = pivots[index]
  if (kept.length === 0 && pivot !== undefined)
    return reduce(axis, visit(extent), pivotMonoid(pivot, fold.monoid.loose), [instantiate(pivot.of, { $0: score })])
  const values = kept.map((i) => visit(lift[1 + i]!))
  const made = reduce(axis, visit(extent), { ...fold.monoid, channels: kept.length }, [score, ...values])
  return component(made, pivot === undefined ? pivots.length + kept.indexOf(index - pivots.length) : index)
}
