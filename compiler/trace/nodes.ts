/**
 * What the calls of the language share: which tensors are of the running trace, the axes that a call names, and nodes with the places of the
 * calls that made them.
 *
 *   axisOf(x, "row")   →   { name: "row", extent: 4 }, or a Misuse that lists the axes of x
 */
import type { SourceSpan } from "../../dsl/attach.js"
import type { Traced } from "../../dsl/tracing.js"
import { variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import * as ir from "../ir/tensor.js"
import { authorSpan, axisName, dimension, distinctNames, isTensor, Misuse, shown } from "./arguments.js"

export interface Nodes {
  /** Places of the calls that are running, outermost first. */
  readonly spans: SourceSpan[]
  /** The tensors of this trace. */
  readonly own: WeakSet<ir.Tensor>
  /** What the trace was given; any input is taken when undefined. */
  readonly given: Iterable<ir.Tensor> | undefined
}

export const lastPlace = 2 ** 31 - 1

export function node(nodes: Nodes, t: Traced): ir.Tensor {
  if (!isTensor(t))
    throw new Misuse(
      "trace/tensor",
      `this is ${shown(t)}, not a tensor of the running trace`,
      "pass a tensor, not a specification or an extent",
    )
  const tensor = t as unknown as ir.Tensor
  if (!nodes.own.has(tensor) && !(nodes.given === undefined && tensor.kind === "input"))
    throw new Misuse(
      "trace/tensor",
      `this tensor was made while another function was traced${from(tensor)}`,
      "make it where it is used, or pass it as an argument",
    )
  return tensor
}

const from = (t: ir.Tensor) => (place(t) === undefined ? "" : `, at ${place(t)}`)

/** Marks a node with the places. */
export function build(nodes: Nodes, made: ir.Tensor): Traced {
  ir.mark(made, nodes.spans)
  nodes.own.add(made)
  return made as unknown as Traced
}

export function axisOf(x: ir.Tensor, name: unknown): ir.Axis {
  const found = ir.axisOf(x, axisName(name))
  if (found !== undefined) return found
  const axes = ir.axisNames(x).map((a) => `'${a}'`)
  throw new Misuse(
    "trace/axis",
    `there is no axis '${name}' here; the axes are ${axes.join(", ") || "none"}`,
    "name one of them",
  )
}

export function numeric(nodes: Nodes, x: Traced): ir.Tensor {
  const t = node(nodes, x)
  if (t.dtype !== "bool") return t
  throw new Misuse("trace/type", "a bool is not folded", "count with map((c) => (c ? 1 : 0), …)")
}

export const toAxis = (a: { axis: unknown; extent: unknown }): ir.Axis => ({
  name: axisName(a.axis),
  extent: dimension(a.extent, `the extent of '${a.axis}'`),
})

/** x with one axis replaced by `made`, whose coordinates give the old index. */
export function replaceAxis(
  nodes: Nodes,
  x: ir.Tensor,
  axis: string,
  made: readonly ir.Axis[],
  index: Expression,
  valid?: Expression,
  fill?: number,
) {
  const axes = x.axes.flatMap((a) => (a.name === axis ? made : [a]))
  const taken = made.find(({ name }) => name !== axis && ir.axisOf(x, name) !== undefined)
  if (taken !== undefined)
    throw new Misuse("trace/axis", `axis '${taken.name}' exists already`, "give the new axis a name of its own")
  distinctNames(made.map(({ name }) => name))
  const map = new Map(x.axes.map((a) => [a.name, a.name === axis ? index : variable(a.name)] as const))
  return build(nodes, ir.reindex(x, axes, map, valid, fill))
}

/** The place of a tensor, as file:line:column of the innermost call. */
export function place(t: ir.Tensor): string | undefined {
  const span = authorSpan(ir.spansOf(t))
  return span && `${span.file}:${span.line}:${span.column}`
}
