/**
 * Order of nested folds: a sum of sums may run in any order, so the axis that is consecutive in memory goes innermost.
 *
 *   sum_dim(sum_rep(sum_kv(x[kv, rep, dim] · w[o, kv, rep, dim])))   →   sum_kv(sum_rep(sum_dim(…)))
 *
 * Only chains of one monoid whose lifts are nothing but the next fold, with extents that do not depend on each other's axes.
 */

import { freeVariables, reduce, rewriter, walk } from "../ir/expression.js"
import { bufferOf, type Item, type Kernel } from "../ir/kernel.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { chainOf } from "../ir/query.js"

export function orderFolds(kernel: Kernel): Kernel {
  const visit = rewriter((x, again) =>
    x.kind === "reduce" && chainOf(x).length > 1 ? reorder(x, kernel, again) : undefined,
  )
  return { ...kernel, items: kernel.items.map((item): Item => ({ ...item, value: visit(item.value) })) }
}

function reorder(root: Reduce, kernel: Kernel, visit: (x: Expression) => Expression): Expression {
  const chain = chainOf(root)
  const lift = visit(chain.at(-1)!.lift[0]!)
  const strides = new Map(chain.map((r) => [r, stride(r.axis, lift, kernel)] as const))
  const order = [...chain].sort((a, b) => strides.get(a)! - strides.get(b)!)
  return order.reduce<Expression>((inner, r) => reduce(r.axis, r.extent, r.monoid, [inner]), lift)
}

/** The distance in memory of neighbours along an axis, summed over the loads of a value; a load that does not depend on it adds nothing. */
function stride(axis: string, value: Expression, kernel: Kernel): number {
  let sum = 0
  walk(value, (x) => {
    if (x.kind !== "load" || !freeVariables(x).has(axis)) return
    const { shape } = bufferOf(kernel, x.buffer)
    const at = x.index.findLastIndex((i) => freeVariables(i).has(axis))
    sum += shape.slice(at + 1).reduce((n, s) => n * s, 1)
  })
  return sum
}
