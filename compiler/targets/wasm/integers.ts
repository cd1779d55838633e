/**
 * Scalar operations of integers that are several instructions, on operands in locals: division without traps, minimum, absolute value.
 *
 *   a div b  →  b' = b is 0 or −1 ? 1 : b;  q = a / b';  b == −1 ? −a : q
 *
 * so that x div 0 = x, x rem 0 = 0 and MIN div −1 = MIN, as the table of operations has it.
 */
import { fault } from "../../../runtime/errors.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType, Operation } from "../../ir/operations.js"
import type { Context } from "./floats.js"

/** A literal or a local. */
export type Operand = number | { readonly local: number }

const complex: Readonly<Record<"i32" | "u32", ReadonlySet<Operation>>> = {
  i32: new Set(["div", "rem", "floordiv", "floormod", "min", "max", "neg", "abs", "bitnot", "shl", "shr"]),
  u32: new Set(["div", "rem", "floordiv", "floormod", "min", "max", "bitnot", "shl", "shr"]),
}

export const isComplex = (name: Operation, dtype: DType): boolean =>
  dtype !== "f32" && dtype !== "bool" && complex[dtype].has(name)

/** Whether an index is known not to be negative: loop variables, sizes and what sums, products and divisions make of them. */
export function nonNegative(x: Expression, counters: ReadonlySet<string>): boolean {
  if (x.dtype === "u32") return true
  if (x.kind === "literal") return x.value >= 0
  if (x.kind === "symbol") return true
  if (x.kind === "variable") return counters.has(x.name)
  if (x.kind !== "operation") return false
  const safe: readonly Operation[] = ["add", "mul", "floordiv", "floormod", "min", "max", "div", "rem"]
  return safe.includes(x.operation) && x.args.every((a) => nonNegative(a, counters))
}

/** Pushes the result. `positive`: the first operand is known not to be negative. */
export function emitComplex(
  context: Context,
  name: Operation,
  dtype: DType,
  operands: readonly Operand[],
  positive: boolean,
): void {
  const { code } = context
  const [a, b] = operands as [Operand, Operand]
  const push = (x: Operand) => {
    if (typeof x === "object") code.get(x.local)
    else code.integer(x)
  }
  const signed = dtype === "i32"
  switch (name) {
    case "min":
    case "max": {
      push(a)
      push(b)
      push(a)
      push(b)
      const less = signed ? "i32.lt_s" : "i32.lt_u"
      code.op(name === "min" ? less : signed ? "i32.gt_s" : "i32.gt_u", "select")
      return
    }
    case "neg":
      code.integer(0)
      push(a)
      code.op("i32.sub")
      return
    case "abs":
      push(a)
      push(a)
      code.integer(31).op("i32.shr_s", "i32.xor")
      push(a)
      code.integer(31).op("i32.shr_s", "i32.sub")
      return
    case "bitnot":
      push(a)
      code.integer(-1).op("i32.xor")
      return
    case "shl":
    case "shr":
      push(a)
      push(b)
      code.op(name === "shl" ? "i32.shl" : signed ? "i32.shr_s" : "i32.shr_u")
      return
    case "rem":
    case "div":
      divide(context, push, a, b, signed, name === "rem")
      return
    case "floordiv":
    case "floormod":
      floorDivide(context, push, a, b, signed && !positive, name === "floormod")
      return
    default:
      throw fault(`'${name}' of ${dtype} has no instructions`)
  }
}

type Push = (x: Operand) => void

function divide({ code, local }: Context, push: Push, a: Operand, b: Operand, signed: boolean, rest: boolean): void {
  const instruction = rest ? (signed ? "i32.rem_s" : "i32.rem_u") : signed ? "i32.div_s" : "i32.div_u"
  if (typeof b === "number" && b !== 0 && b !== -1) {
    push(a)
    push(b)
    code.op(instruction)
    return
  }
  // In unsigned arithmetic −1 is the largest divisor and safe.
  const safe = local("i32")
  code.integer(1)
  push(b)
  push(b)
  code.op("i32.eqz")
  if (signed) {
    push(b)
    code.integer(-1).op("i32.eq", "i32.or")
  }
  code.op("select").set(safe)
  if (signed && !rest) {
    code.integer(0)
    push(a)
    code.op("i32.sub")
  }
  push(a)
  code.get(safe).op(instruction)
  if (signed && !rest) {
    push(b)
    code.integer(-1).op("i32.eq", "select")
  }
}

/** The divisor is positive; a negative dividend with a remainder takes one more. */
function floorDivide(context: Context, push: Push, a: Operand, b: Operand, signed: boolean, rest: boolean): void {
  const { code, local } = context
  const log = typeof b === "number" ? Math.log2(b) : Number.NaN
  if (typeof b === "number" && Number.isInteger(log)) {
    push(a)
    if (rest) code.integer(b - 1).op("i32.and")
    else code.integer(log).op(signed ? "i32.shr_s" : "i32.shr_u")
    return
  }
  if (!signed) {
    divide(context, push, a, b, false, rest)
    return
  }
  const remainder = local("i32")
  divide(context, push, a, b, true, true)
  code.set(remainder)
  if (rest) {
    code.get(remainder)
    push(b)
    code.integer(0).get(remainder).integer(0).op("i32.lt_s", "select", "i32.add")
    return
  }
  divide(context, push, a, b, true, false)
  code.get(remainder).integer(31).op("i32.shr_s", "i32.add")
}
