/**
 * Products through maps: what hoist and online look at.
 *
 *   map $0 * $1 of (map $0 / $1 of (e, l), v)   →   e · v / l
 *
 * A factor is a tensor that multiplies or divides. Maps that are nothing but products are opened where the pass allows it; anything else is a
 * factor as it stands. Literals are constants without axes.
 */
import { apply, freeVariables, literal, rewrite, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import * as ir from "../ir/tensor.js"

export interface Factor {
  readonly tensor: ir.Tensor
  /** Whether it divides. */
  readonly inverse: boolean
  /** The map in which it stands. */
  readonly within: ir.Tensor
}

/** A scalar body at some place, and the tensors that its `$i` are. */
export interface Place {
  readonly body: Expression
  readonly args: readonly ir.Tensor[]
}

/** What a place computes, as a tensor of its own: over the arguments that it uses, in their order. */
export function tensorAt({ body, args }: Place): ir.Tensor {
  if (body.kind === "literal") return ir.constant([], [body.value], body.dtype)
  if (body.kind === "variable") return args[Number(body.name.slice(1))]!
  const used = args.map((_, i) => i).filter((i) => freeVariables(body).has(`$${i}`))
  const now = (x: Expression) =>
    x.kind === "variable" ? variable(`$${used.indexOf(Number(x.name.slice(1)))}`, x.dtype) : undefined
  return ir.map(
    rewrite(body, now),
    used.map((i) => args[i]!),
  )
}

/** The factors of a tensor, which is opened itself when it is a map. */
export function factorsOf(t: ir.Tensor, opens: (m: ir.Map) => boolean): readonly Factor[] {
  const found: Factor[] = []
  const visit = (place: Place, inverse: boolean, within: ir.Tensor): void => {
    const { body, args } = place
    const part = (b: Expression, i: boolean) => visit({ body: b, args }, i, within)
    const name = body.kind === "operation" && body.dtype === "f32" ? body.operation : undefined
    if (body.kind === "operation" && (name === "mul" || name === "div")) {
      part(body.args[0]!, inverse)
      part(body.args[1]!, name === "div" ? !inverse : inverse)
      return
    }
    if (body.kind === "operation" && name === "neg") {
      found.push({ tensor: ir.constant([], [-1], "f32"), inverse, within })
      part(body.args[0]!, inverse)
      return
    }
    const tensor = tensorAt(place)
    if (body.kind === "variable" && tensor.kind === "map" && isProduct(tensor.body) && opens(tensor))
      visit(tensor, inverse, tensor)
    else found.push({ tensor, inverse, within })
  }
  if (t.kind === "map") visit(t, false, t)
  else found.push({ tensor: t, inverse: false, within: t })
  return found
}

/** Whether a scalar body multiplies or divides at last. */
export const isProduct = (x: Expression): boolean =>
  x.kind === "operation" &&
  x.dtype === "f32" &&
  (x.operation === "mul" || x.operation === "div" || x.operation === "neg")

export type Plain = Pick<Factor, "tensor" | "inverse">

/**
 * The product as one tensor: 1 when there are no factors. Where `present` is false it is 0, whatever the divisors are. Its axes come in the order of
 * the factors, or as in `like` as far as an order of the factors makes them do so.
 */
export function productOf(factors: readonly Plain[], present?: Expression, like: readonly ir.Axis[] = []): ir.Tensor {
  const place = (t: ir.Tensor) => like.findIndex((a) => a.name === t.axes[0]?.name)
  const named = new Set(factors.flatMap(({ tensor: t }) => (t.kind === "constant" && t.axes.length === 0 ? [] : [t])))
  const args = [...named].sort((a, b) => place(a) - place(b))
  const value = ({ tensor }: Plain): Expression => {
    if (tensor.kind === "constant" && tensor.axes.length === 0) return literal(tensor.values[0]!, tensor.dtype)
    return variable(`$${args.indexOf(tensor)}`, tensor.dtype)
  }
  const above = factors.filter((f) => !f.inverse).map(value)
  const below = factors.filter((f) => f.inverse).map(value)
  const top = above.length === 0 ? literal(1, "f32") : above.reduce((a, b) => apply("mul", a, b))
  const ratio = below.reduce((a, b) => apply("div", a, b), top)
  const body = present === undefined ? ratio : apply("select", present, ratio, literal(0, "f32"))
  return tensorAt({ body, args })
}

/** The sum times what left it. Where the folded axis is empty it is 0, whatever the factors are: they may be divisors of 0, infinite or NaN. */
export function scaledFold(fold: ir.Tensor, free: readonly Plain[], extent: Expression): ir.Tensor {
  const present = free.length > 0 && !isPositive(extent, fold.axes) ? apply("gt", extent, literal(0)) : undefined
  return productOf([{ tensor: fold, inverse: false }, ...free], present)
}

/** Whether an extent is at least 1 wherever a tensor over `axes` has an element. */
export function isPositive(extent: Expression, axes: readonly ir.Axis[]): boolean {
  if (extent.kind === "literal") return extent.value > 0
  if (axes.some((a) => a.extent === extent)) return true
  return extent.kind === "operation" && extent.operation === "add" && extent.args.some((a) => isPositive(a, axes))
}

/** The tensor with its axes in the order of another's, or undefined when they are not the same. */
export function inOrder(t: ir.Tensor, axes: readonly ir.Axis[]): ir.Tensor | undefined {
  if (t.axes.length !== axes.length || !axes.every((a) => ir.axisOf(t, a.name)?.extent === a.extent)) return undefined
  return ir.reindex(t, axes, new Map(axes.map((a) => [a.name, variable(a.name)] as const)))
}
