/**
 * Calls of the language that read a tensor along other axes, or an axis at other places: each is one reindex.
 *
 *   slice(x, "row", 2, 3)   →   Reindex [row: 3] of x at row + 2
 */
import type { Tracing } from "../../dsl/tracing.js"
import { type Dim, literalExtent, maximum } from "../ir/dim.js"
import { add, apply, literal, mul, print, sub, TypeProblem, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import * as ir from "../ir/tensor.js"
import {
  axisName,
  checkCount,
  dimension,
  distinctNames,
  listOf,
  Misuse,
  numberOf,
  shown,
  wholeNumber,
} from "./arguments.js"
import { axisOf, build, lastPlace, type Nodes, node, replaceAxis, toAxis } from "./nodes.js"

/** Axes that are renamed, split and merged. */
export const axisCalls = (nodes: Nodes): Pick<Tracing, "rename" | "split" | "merge" | "windows"> => ({
  rename: (x, from, to) =>
    replaceAxis(
      nodes,
      node(nodes, x),
      from,
      [{ name: axisName(to), extent: axisOf(node(nodes, x), from).extent }],
      variable(to),
    ),
  split: (x, axis, parts) => {
    const { extent } = axisOf(node(nodes, x), axis)
    const made = parts.map(toAxis)
    const product = made.reduce<Dim>((n, a) => mul(n, a.extent), literal(1))
    if (product !== extent)
      throw new Misuse(
        "trace/extent",
        `axis '${axis}' of ${print(extent)} cannot be split into ${made.map((a) => print(a.extent)).join(" × ") || "nothing"}`,
        "the product must be the extent",
      )
    return replaceAxis(nodes, node(nodes, x), axis, made, flatten(made))
  },
  merge: (x, axes, to) => {
    const t = node(nodes, x)
    const merged = distinctNames(listOf(axes, "what is merged")).map((a) => axisOf(t, a))
    if (merged.length === 0) throw new Misuse("trace/axis", "there is no axis to merge", "name two or more")
    const rest = t.axes.filter((a) => !merged.includes(a))
    if (rest.some(({ name }) => name === axisName(to)))
      throw new Misuse("trace/axis", `axis '${to}' exists already`, "give the new axis a name of its own")
    checkCount(
      to,
      merged.reduce((n, a) => n * maximum(a.extent), 1),
    )
    const extent = merged.reduce<Dim>((n, a) => mul(n, a.extent), literal(1))
    const index = unflatten(merged, variable(to))
    const result = [...rest, { name: to, extent }]
    return build(
      nodes,
      ir.reindex(t, result, new Map(t.axes.map((a) => [a.name, index.get(a.name) ?? variable(a.name)]))),
    )
  },
  windows: (x, axis, count, tap) => {
    const a = axisOf(node(nodes, x), axis)
    const whole = literalExtent(a.extent)
    if (!Number.isInteger(count) || count < 1 || (whole !== undefined && count > whole))
      throw new Misuse(
        "trace/extent",
        `windows of ${shown(count)} do not fit axis '${axis}' of ${print(a.extent)}`,
        "a window has from 1 to as many elements as the axis; pad gives the axis more",
      )
    const starts = { name: axis, extent: sub(a.extent, literal(count - 1)) }
    const taps = { name: axisName(tap), extent: literal(count) }
    return replaceAxis(nodes, node(nodes, x), axis, [starts, taps], add(variable(axis), variable(tap)))
  },
})

/** An axis that is read at other places. */
export const indexCalls = (nodes: Nodes): Pick<Tracing, "slice" | "pick" | "roll" | "reverse" | "pad"> => ({
  slice: (x, axis, start, extent) => {
    const whole = literalExtent(axisOf(node(nodes, x), axis).extent)
    const [from, length] = [dimension(start, "the start of a slice"), dimension(extent, "the count of a slice")]
    const [first, count] = [literalExtent(from) ?? 0, literalExtent(length) ?? 0]
    if (whole !== undefined && first + count > whole)
      throw new Misuse(
        "trace/extent",
        `slice ${first} … ${first + count - 1} leaves axis '${axis}' of ${whole}`,
        "stay within the axis",
      )
    return replaceAxis(nodes, node(nodes, x), axis, [{ name: axis, extent: length }], add(variable(axis), from))
  },
  pick: (x, axis, index) => {
    const whole = literalExtent(axisOf(node(nodes, x), axis).extent)
    const place = dimension(index, "the index of a pick")
    const at = literalExtent(place)
    if (whole !== undefined && at !== undefined && at >= whole)
      throw new Misuse("trace/extent", `index ${at} leaves axis '${axis}' of ${whole}`, "stay within the axis")
    return replaceAxis(nodes, node(nodes, x), axis, [], place)
  },
  roll: (x, axis, by) => {
    const a = axisOf(node(nodes, x), axis)
    const whole = literalExtent(a.extent)
    if (whole === undefined)
      throw new Misuse(
        "trace/extent",
        `axis '${axis}' of symbolic extent cannot be rolled`,
        "roll needs a literal extent",
      )
    const shift = wholeNumber(by, "the distance of a roll", -lastPlace)
    if (whole === 0) return x
    const moved = literal(((shift % whole) + whole) % whole)
    return replaceAxis(nodes, node(nodes, x), axis, [a], apply("floormod", add(variable(axis), moved), literal(whole)))
  },
  reverse: (x, axis) => {
    const a = axisOf(node(nodes, x), axis)
    return replaceAxis(nodes, node(nodes, x), axis, [a], sub(sub(a.extent, literal(1)), variable(axis)))
  },
  pad: (x, axis, before, after, value) => {
    const a = axisOf(node(nodes, x), axis)
    const count = wholeNumber(before, "the padding before", 0) + wholeNumber(after, "the padding after", 0)
    checkCount(axis, count + maximum(a.extent))
    const more = literal(count)
    const fill = numberOf(value, node(nodes, x).dtype, "the value of the padding")
    const at = sub(variable(axis), literal(before))
    const valid = apply("and", apply("ge", at, literal(0)), apply("lt", at, a.extent))
    return replaceAxis(nodes, node(nodes, x), axis, [{ name: axis, extent: add(a.extent, more) }], at, valid, fill)
  },
})

/** The row-major index of a point of `axes`. */
function flatten(axes: readonly ir.Axis[]): Expression {
  return axes.reduce<Expression>((n, a) => add(mul(n, a.extent), variable(a.name)), literal(0))
}

/** The coordinates of a row-major index; only the slowest axis may be symbolic. */
function unflatten(axes: readonly ir.Axis[], flat: Expression): ReadonlyMap<string, Expression> {
  const index = new Map<string, Expression>()
  let rest = flat
  for (const [i, a] of [...axes].reverse().entries()) {
    const last = i === axes.length - 1
    const extent = literalExtent(a.extent)
    if (last) index.set(a.name, rest)
    else {
      if (extent === undefined) throw new TypeProblem(`only the slowest merged axis may be symbolic, not '${a.name}'`)
      index.set(a.name, apply("floormod", rest, literal(extent)))
      rest = apply("floordiv", rest, literal(extent))
    }
  }
  return index
}
