/**
 * Random scalar bodies, with a bound on their results.
 *
 *   f32, exact      p − q · 2,  select(p < q, p, |q|), max(p, −q)
 *   f32, analytic   p / (|q| + 0.5),  exp(min(p, 4)),  tanh(p) · q
 *   i32, u32        arithmetic that wraps, bit operations, shifts, quotients; bool: the connectives
 *
 * Functions that jump stand in the exact regime only; those with poles are kept away from them.
 */
import { apply, literal, variable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type DType, type Operation, operations } from "../../compiler/ir/operations.js"
import type { Choices } from "./choices.js"
import type { Regime } from "./program.js"

const wraps = 2 ** 32

/** A bound on |x|, given bounds of its variables. */
export function limitOf(x: Expression, variables: ReadonlyMap<string, number>): number {
  if (x.kind === "literal") return Math.abs(x.value)
  if (x.kind === "variable") return variables.get(x.name)!
  if (x.kind === "symbol") return x.max
  if (x.kind !== "operation") return Number.POSITIVE_INFINITY
  const args = x.args.map((a) => limitOf(a, variables))
  const [a, b = 0, c = 0] = args as [number, number?, number?]
  const limit = operationLimit(x.operation, x.args[0]!.dtype, a, b, c)
  return x.dtype === "f32" ? limit : x.dtype === "bool" ? 1 : Math.min(limit, wraps)
}

function operationLimit(name: Operation, dtype: DType, a: number, b: number, c: number): number {
  switch (name) {
    case "add":
      return a + b
    case "sub":
      return dtype === "u32" ? wraps : a + b
    case "mul":
      return a * b
    case "div":
      return dtype === "f32" ? 2 * a : a
    case "max":
    case "min":
      return Math.max(a, b)
    case "select":
      return Math.max(b, c)
    case "neg":
    case "abs":
    case "rem":
    case "floor":
    case "ceil":
    case "round":
    case "trunc":
    case "toF32":
    case "toU32":
    case "toI32":
      return name === "toU32" && dtype !== "bool" ? wraps : a
    case "sign":
    case "sin":
    case "cos":
    case "tanh":
    case "not":
      return 1
    case "exp":
      return Math.exp(Math.min(a, 4))
    case "log":
      return 2 + Math.log(a + 1)
    case "sqrt":
      return Math.sqrt(a)
    case "pow":
      return 64
    default:
      return wraps
  }
}

const f32 = (x: number) => literal(x, "f32")
const clamp = (x: Expression, limit: number) => apply("min", apply("max", x, f32(-limit)), f32(limit))

type Body = (p: Expression, q: Expression, n: number) => Expression

const two =
  (name: Operation): Body =>
  (p, q) =>
    apply(name, p, q)
const one =
  (name: Operation): Body =>
  (p) =>
    apply(name, p)
const comparisons = ["lt", "le", "gt", "ge", "eq", "ne"] as const

const chosen: Body = (p, q, n) => apply("select", apply(comparisons[n % 6]!, p, q), p, apply("sub", q, p))

const exactFloats: readonly Body[] = [
  two("add"),
  two("mul"),
  two("sub"),
  two("max"),
  two("min"),
  chosen,
  one("neg"),
  one("abs"),
  (p, q, n) => apply("add", p, apply("mul", q, f32((n % 5) - 2))),
  (p, q) => apply("mul", apply("add", p, q), apply("sub", p, q)),
  one("sign"),
  (p, q) => apply("floor", apply("mul", apply("add", p, q), f32(0.5))),
  (p, q) => apply("round", apply("mul", apply("sub", p, q), f32(0.5))),
  (p, q) => apply("toF32", apply("toI32", apply("add", p, q))),
  (p, q) => apply("fromBits", apply("bits", apply("sub", p, q))),
]

const smooth: readonly Body[] = [
  two("mul"),
  two("add"),
  two("sub"),
  (p, q) => apply("div", p, apply("add", apply("abs", q), f32(0.5))),
  (p) => apply("exp", clamp(p, 4)),
  (p) => apply("log", apply("add", apply("abs", p), f32(0.25))),
  (p) => apply("sqrt", apply("add", apply("abs", p), f32(0.125))),
  one("sin"),
  one("cos"),
  one("tanh"),
  (p, q) => apply("pow", apply("add", clamp(apply("abs", p), 3.5), f32(0.5)), clamp(q, 3)),
  (p) => apply("div", p, apply("add", f32(1), apply("exp", apply("neg", clamp(p, 4))))),
  two("max"),
  two("min"),
  one("abs"),
  (p, q) => apply("sub", apply("mul", p, f32(0.7)), q),
]

const shift = (q: Expression) => apply("bitand", q, literal(7, q.dtype))
const integers: readonly Body[] = [
  two("add"),
  two("mul"),
  two("sub"),
  two("max"),
  two("min"),
  chosen,
  two("bitand"),
  two("bitor"),
  two("bitxor"),
  one("bitnot"),
  (p, q) => apply("shl", p, shift(q)),
  (p, q) => apply("shr", p, shift(q)),
  (p, q) =>
    p.dtype === "u32" ? apply("toU32", apply("dot2", p, q)) : apply("dot2", apply("toU32", p), apply("toU32", q)),
  two("div"),
  two("rem"),
  (p, _, n) => apply("div", p, literal(1 + (n % 7), p.dtype)),
  (p, _, n) => apply("rem", p, literal(1 + (n % 7), p.dtype)),
  (p) => (p.dtype === "i32" ? apply("abs", p) : p),
  (p) => (p.dtype === "i32" ? apply("neg", p) : apply("bitnot", p)),
]

const truths: readonly Body[] = [
  two("and"),
  two("or"),
  one("not"),
  two("eq"),
  two("ne"),
  (p, q) => apply("select", p, apply("not", q), q),
]

function table(dtype: DType, regime: Regime): readonly Body[] {
  if (dtype === "bool") return truths
  if (dtype !== "f32") return integers
  return regime === "exact" ? exactFloats : smooth
}

/** A body of one or two operations over two values of one dtype. */
export function bodyOf(choose: Choices, dtype: DType, regime: Regime): Expression {
  const [p, q] = [variable("$0", dtype), variable("$1", dtype)]
  const first = choose.of(table(dtype, regime))(p, q, choose.below(30))
  if (!choose.chance(35)) return first
  const second = choose.of(table(dtype, regime))
  return choose.chance(50) ? second(first, p, choose.below(30)) : second(q, first, choose.below(30))
}

/** A comparison of two values. */
export const comparison = (choose: Choices, dtype: DType): Expression =>
  apply(
    choose.of(dtype === "bool" ? (["eq", "ne"] as const) : comparisons),
    variable("$0", dtype),
    variable("$1", dtype),
  )

/** A conversion; between integers and from truth nothing is lost or gained. */
export function conversion(choose: Choices, from: DType): Expression {
  const name = choose.of((["toF32", "toI32", "toU32"] as const).filter((n) => operations[n].rule.to !== from))
  return apply(name, variable("$0", from))
}
