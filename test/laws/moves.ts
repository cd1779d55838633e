/**
 * Random index maps: every spelling of `reindex`, and some that the language has no word for.
 *
 *   rename  a → n        slice  n = a + 2         reverse  a = 4 − a        roll  a = (a + 3) mod 5       pad, shift  with a validity
 *   merge   (a, b) → n   split  n → (a, b)        stride   n = 2a + 1       spread over an axis that is not read       diagonal  a = b = n
 *
 * As in models an axis may keep its name while its extent changes; then later steps that meet the old one do not apply.
 */
import { literalExtent, maximum } from "../../compiler/ir/dim.js"
import { add, apply, literal, mul, sub, variable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import * as ir from "../../compiler/ir/tensor.js"
import type { Choices } from "./choices.js"
import { affordable, type Growing, type Value } from "./program.js"

type Move = (g: Growing, choose: Choices, x: ir.Tensor, axis: ir.Axis) => ir.Tensor | undefined

/** x with one axis replaced by others, whose coordinates give its index. */
function replaced(
  x: ir.Tensor,
  axis: ir.Axis,
  made: readonly ir.Axis[],
  index: Expression,
  valid?: Expression,
  fill?: number,
): ir.Tensor {
  const axes = x.axes.flatMap((a) => (a === axis ? made : [a]))
  const map = new Map(x.axes.map((a) => [a.name, a === axis ? index : variable(a.name)] as const))
  return ir.reindex(x, axes, map, valid, fill)
}

/** The axis with another extent, under its own name or a new one. */
function resized(g: Growing, choose: Choices, axis: ir.Axis, extent: Expression): ir.Axis {
  return choose.chance(40) ? { name: axis.name, extent } : g.fresh(extent)
}

const rename: Move = (g, _, x, axis) => {
  const made = g.fresh(axis.extent)
  return replaced(x, axis, [made], variable(made.name))
}

const slice: Move = (g, choose, x, axis) => {
  const whole = literalExtent(axis.extent)
  if (whole === undefined) {
    // What is behind the past: the part that this step appended.
    if (axis.extent.kind !== "operation" || axis.extent.args[0] !== g.past) return undefined
    const made = resized(g, choose, axis, axis.extent.args[1]!)
    return replaced(x, axis, [made], add(variable(made.name), g.past))
  }
  const fewer = choose.below(whole + 1)
  const start = choose.below(fewer + 1)
  const made = resized(g, choose, axis, literal(whole - fewer))
  return replaced(x, axis, [made], add(variable(made.name), literal(start)))
}

const reverse: Move = (_, __, x, axis) =>
  replaced(x, axis, [axis], sub(sub(axis.extent, literal(1)), variable(axis.name)))

const roll: Move = (_, choose, x, axis) => {
  const whole = literalExtent(axis.extent)
  if (whole === undefined || whole === 0) return undefined
  return replaced(
    x,
    axis,
    [axis],
    apply("floormod", add(variable(axis.name), literal(choose.below(whole))), literal(whole)),
  )
}

const pad: Move = (g, choose, x, axis) => {
  // A buffer without elements has none to read where the padding is.
  if (literalExtent(axis.extent) === 0) return undefined
  const [before, after] = [choose.below(3), choose.below(3)]
  const made = resized(g, choose, axis, add(axis.extent, literal(before + after)))
  const at = sub(variable(made.name), literal(before))
  const valid = apply("and", apply("ge", at, literal(0)), apply("lt", at, axis.extent))
  return replaced(x, axis, [made], at, valid, x.dtype === "bool" ? choose.below(2) : choose.below(4))
}

/** The element before (or after) each one. */
const shift: Move = (_, choose, x, axis) => {
  const by = 1 + choose.below(2)
  const back = choose.chance(50)
  const at = back ? add(variable(axis.name), literal(by)) : sub(variable(axis.name), literal(by))
  const valid = back ? apply("lt", at, axis.extent) : apply("ge", at, literal(0))
  return replaced(x, axis, [axis], at, valid, x.dtype === "bool" ? 1 : choose.below(4))
}

const merge: Move = (g, choose, x, axis) => {
  const other = x.axes.filter((a) => a !== axis && a.extent.kind === "literal" && a.extent.value > 0)
  if (other.length === 0) return undefined
  const inner = choose.of(other)
  const made = g.fresh(mul(axis.extent, inner.extent))
  const flat = variable(made.name)
  const index = new Map(
    x.axes.map((a) => {
      const at =
        a === axis
          ? apply("floordiv", flat, inner.extent)
          : a === inner
            ? apply("floormod", flat, inner.extent)
            : variable(a.name)
      return [a.name, at] as const
    }),
  )
  return ir.reindex(x, [...x.axes.filter((a) => a !== axis && a !== inner), made], index)
}

const split: Move = (g, choose, x, axis) => {
  const whole = literalExtent(axis.extent)
  const symbolic = axis.extent.kind === "operation" && axis.extent.operation === "mul" ? axis.extent.args : undefined
  const divisors = [2, 3, 4, 5, 7, 1].filter((d) => whole !== undefined && whole % d === 0 && d <= whole)
  if (symbolic === undefined && divisors.length === 0) return undefined
  const inner = symbolic === undefined ? literal(choose.of(divisors)) : symbolic[1]!
  const outer = symbolic === undefined ? literal(whole! / maximum(inner)) : symbolic[0]!
  const made = [g.fresh(outer), g.fresh(inner)]
  return replaced(x, axis, made, add(mul(variable(made[0]!.name), inner), variable(made[1]!.name)))
}

const stride: Move = (g, choose, x, axis) => {
  const whole = literalExtent(axis.extent)
  if (whole === undefined || whole < 2) return undefined
  const step = 2 + choose.below(2)
  const start = choose.below(2)
  const made = resized(g, choose, axis, literal(Math.ceil((whole - start) / step)))
  return replaced(x, axis, [made], add(mul(variable(made.name), literal(step)), literal(start)))
}

const spread: Move = (g, choose, x) => {
  const others = [...g.extents.keys()].filter((n) => ir.axisOf(x, n) === undefined)
  if (others.length === 0) return undefined
  const axes = [...x.axes, g.axis(choose.of(others))]
  return ir.reindex(x, axes, new Map(x.axes.map((a) => [a.name, variable(a.name)])))
}

const diagonal: Move = (_, __, x, axis) => {
  const other = x.axes.find((a) => a !== axis && a.extent === axis.extent)
  if (other === undefined) return undefined
  const axes = x.axes.filter((a) => a !== other)
  return ir.reindex(x, axes, new Map(x.axes.map((a) => [a.name, variable(a === other ? axis.name : a.name)])))
}

/** One element of an axis. */
const picked: Move = (_, choose, x, axis) => {
  const whole = literalExtent(axis.extent)
  return whole === undefined || whole === 0 ? undefined : replaced(x, axis, [], literal(choose.below(whole)))
}

const moves: readonly Move[] = [
  rename,
  slice,
  reverse,
  pad,
  shift,
  merge,
  split,
  roll,
  stride,
  rename,
  spread,
  diagonal,
  merge,
  picked,
]

export function moved(g: Growing, choose: Choices): readonly Value[] {
  const x = g.pick(choose, (t) => t.axes.length > 0)
  if (x === undefined) return []
  const tensor = choose.of(moves)(g, choose, x.tensor, choose.of(x.tensor.axes))
  return tensor === undefined || !affordable(tensor) ? [] : [{ tensor, limit: Math.max(x.limit, 3) }]
}
