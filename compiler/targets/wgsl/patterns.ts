/**
 * Operations that WGSL has one word for where the loop language has several.
 *
 *   half(half(a) + half(b))       → (f16(a) + f16(b))
 *   max(min(x, 2), 1)             → bounded(x, 1f, 2f)
 */
import { isLiteral, operands } from "../../ir/expression.js"
import type { Expression } from "../../ir/nodes.js"
import type { Operation } from "../../ir/operations.js"
import type { Printed } from "../text/dialect.js"
import { narrowed } from "./operations.js"

const halfSigns: Partial<Record<Operation, string>> = { add: "+", sub: "-", mul: "*" }

/** half(a op b) of two halves is one operation of f16. */
function halfOperation(x: Expression): { readonly sign: string; readonly args: readonly Expression[] } | undefined {
  const [inner] = x.kind === "operation" && x.operation === "half" ? x.args : []
  if (inner?.kind !== "operation") return undefined
  const sign = halfSigns[inner.operation]
  const halves = inner.args.every((a) => a.kind === "operation" && a.operation === "half")
  return sign !== undefined && halves ? { sign, args: inner.args } : undefined
}

/** half(…) as a value of f16. */
export function halfText(x: Expression, operands: readonly Printed[]): string {
  const native = halfOperation(x)
  if (native === undefined) return narrowed(operands[0]!.text, x.width)
  const [a, b] = operands.map(({ half, text }) => half ?? narrowed(text, x.width))
  return `(${a} ${native.sign} ${b})`
}

/** max(min(x, high), low) between numbers other than 0, where only x may be NaN. */
export function boundedOperation(x: Expression): { readonly args: readonly Expression[] } | undefined {
  if (x.kind !== "operation" || x.dtype !== "f32" || (x.operation !== "max" && x.operation !== "min")) return undefined
  const [inner, outer] = x.args as [Expression, Expression]
  const other = x.operation === "max" ? "min" : "max"
  if (inner.kind !== "operation" || inner.operation !== other) return undefined
  const [of, bound] = inner.args as [Expression, Expression]
  const [low, high] = x.operation === "max" ? [outer, bound] : [bound, outer]
  const number = (e: Expression) => {
    const plain = e.kind === "splat" ? e.of : e
    return isLiteral(plain) && plain.value !== 0 ? plain.value : Number.NaN
  }
  return number(low) <= number(high) ? { args: [of, low, high] } : undefined
}

/** What is printed before a node. */
export const patternOperands = (x: Expression): readonly Expression[] =>
  halfOperation(x)?.args ?? boundedOperation(x)?.args ?? operands(x)
