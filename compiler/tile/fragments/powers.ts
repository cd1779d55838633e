/**
 * Exponentials as powers of two, with what they are multiplied by in the numbers that are there anyway.
 *
 *   exp(x · 0.25 − p)   →   exp2(x · 0.36067 − p · 1.442695)     one multiplication and addition, and one instruction, where p stays for many x
 *
 * What stays is rounded once: weights of one row are all off by the same factor of 2^±2^-24 · |p|, which sums that are divided by one another do not
 * see. Each by itself is as near as rounding its argument leaves it, to the eight digits of a bf16 where that is below 2^15.
 */
import { apply, literal, rewriter } from "../../ir/expression.js"
import type { Expression } from "../../ir/nodes.js"
import { largest } from "../../ir/operations.js"

/** The value with powers of two for its exponentials. */
export const inPowersOfTwo = (x: Expression): Expression =>
  rewriter((node, again) =>
    node.kind === "operation" && node.operation === "exp" ? apply("exp2", scaled(again(node.args[0]!))) : undefined,
  )(x)

/** x · log2 e; what is added up and compared is multiplied by itself, and numbers stay finite. */
function scaled(x: Expression): Expression {
  if (x.kind === "literal") return number(x.value)
  const [a, b] = x.kind === "operation" ? x.args : []
  if (x.kind === "operation" && (x.operation === "sub" || x.operation === "looseMax"))
    return apply(x.operation, scaled(a!), scaled(b!))
  if (x.kind === "operation" && x.operation === "mul" && b!.kind === "literal")
    return apply("mul", a!, number(b!.value))
  return apply("mul", x, literal(Math.fround(Math.LOG2E), "f32"))
}

const number = (x: number): Expression =>
  literal(Number.isFinite(x) ? Math.fround(Math.max(-largest, Math.min(largest, x * Math.LOG2E))) : x, "f32")
