/**
 * Order of nested folds: a sum of sums may run in any order, so the axis that is consecutive in memory goes innermost.
 *
 *   sum_dim(sum_rep(sum_kv(x[kv, rep, dim] · w[o, kv, rep, dim])))   →   sum_kv(sum_rep(sum_dim(…)))
 *
 * Only chains of one monoid whose lifts are nothing but the next fold, with extents that do not depend on each other's axes.
 */
import { freeVariables, operands, rebuild, reduce, walk } from "../ir/expression.js"
import { bufferOf, type Item, type Kernel } from "../ir/kernel.js"
import type { Expression, Reduce } from "../ir/nodes.js"

export function orderFolds(kernel: Kernel): Kernel {
  const memo = new Map<Expression, Expression>()
  const visit = (x: Expression): Expression => {
    const known = memo.get(x)
    if (known !== undefined) return known
    const made =
      x.kind === "reduce" && chainOf(x).length > 1 ? reorder(x, kernel, visit) : rebuild(x, operands(x).map(visit))
    memo.set(x, made)
    return made
  }
  return { ...kernel, items: kernel.items.map((item): Item => ({ ...item, value: visit(item.value) })) }
}

/** A fold and those that its lift consists of, outermost first. */
export function chainOf(root: Reduce): readonly Reduce[] {
  const chain = [root]
  for (let at = root; ; ) {
    const [next] = at.lift
    const simple = at.monoid.kind === "sum" || at.monoid.kind === "max" || at.monoid.kind === "min"
    if (!simple || next?.kind !== "reduce" || next.monoid.kind !== at.monoid.kind) return chain
    if (chain.some((r) => freeVariables(next.extent).has(r.axis))) return chain
    chain.push(next)
    at = next
  }
}

/** Folds that are in no other fold. */
export function outermostFolds(root: Expression): readonly Reduce[] {
  const found = new Set<Reduce>()
  const seen = new Set<Expression>()
  const visit = (x: Expression) => {
    if (seen.has(x)) return
    seen.add(x)
    if (x.kind === "reduce") found.add(x)
    else for (const o of operands(x)) visit(o)
  }
  visit(root)
  return [...found]
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
