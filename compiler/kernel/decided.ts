/**
 * decided: kernel → kernel. What the predicate of a fold has decided is not asked again in its lift.
 *
 *   sum_{key}(select(key > past + s − 16, select(key >= past − 16, x[key], 0), 0))   →   sum_{key}(select(key > past + s − 16, x[key], 0))
 *
 * An element whose predicate fails adds the identity, whatever stands in its place; in an online fold so do the values that it would weigh. Where
 * values are read (indices, slots, ends of folds) everything is asked again: loops evaluate both sides of a select, and read in range by that.
 */
import { apply, component, operands, reduce, rewriter, scan } from "../ir/expression.js"
import { type Item, type Kernel, mapItem } from "../ir/kernel.js"
import { fromLinear, type Linear, linear } from "../ir/linear.js"
import type { Expression, Reduce, Scan } from "../ir/nodes.js"
import type { Axis } from "../ir/tensor.js"
import { boundsOf, maskOf, neverNegative } from "../ir/verify/masks.js"

export const decided = (kernel: Kernel): Kernel => ({ ...kernel, items: kernel.items.map(decidedItem) })

function decidedItem(item: Item): Item {
  const visit = rewriter((x, again) => (x.kind === "reduce" ? decidedFold(x, item.axes, again) : undefined))
  return mapItem(item, visit)
}

function decidedFold(x: Reduce, rows: readonly Axis[], again: (x: Expression) => Expression): Expression | undefined {
  const mask = maskOf(x, rows)
  if (mask === undefined) return undefined
  const within = [...rows, { name: x.axis, extent: x.extent }]
  const settle = rewriter((y, visit) => {
    if (y.kind === "load" || y.kind === "localRead") return y
    if (y.kind === "reduce") return reduce(y.axis, y.extent, y.monoid, y.lift.map(visit))
    if (y.kind === "scan") return scan(y.axis, y.at, y.monoid, y.lift.map(visit))
    if (y.kind === "component") return component(visit(y.of) as Reduce | Scan, y.index, y.slot)
    if (y.kind !== "operation" || y.operation !== "select") return undefined
    const asked = boundsOf(y.args[0]!)
    return asked?.every((b) => follows(b, mask.bounds, within)) ? visit(y.args[1]!) : undefined
  })
  const [first, ...rest] = x.lift as [Expression, ...Expression[]]
  const [condition, value, otherwise] = operands(first) as [Expression, Expression, Expression]
  const lift = [apply("select", condition, settle(value), otherwise), ...rest.map(settle)]
  return reduce(x.axis, again(x.extent), x.monoid, lift.map(again))
}

/** Whether one of what is at least 0 is no larger than `asked`. */
const follows = (asked: Linear, known: readonly Linear[], rows: readonly Axis[]): boolean =>
  known.some((k) => neverNegative(linear(apply("sub", fromLinear(asked), fromLinear(k))), rows))
