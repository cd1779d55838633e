/**
 * What an operation over literals, or over a neutral element, is without computing it.
 *
 *   2 + 3 → 5     x · 1 → x     (x + 2) + 3 → x + 5     select(true, a, b) → a
 *
 * Called by `apply` only. Literals are kept on the right and sums are flattened by one step, so that equal indices are one object. Nothing
 * of f32 is reordered or dropped: x · 0 and x − x may be NaN.
 */
import type { Expression, Literal } from "./nodes.js"
import { type DType, type Operation, operation, resultType, roundTo } from "./operations.js"

const isLiteral = (x: Expression): x is Literal => x.kind === "literal"
const transcendental: ReadonlySet<Operation> = new Set(["exp", "exp2", "log", "sin", "cos", "angle", "tanh", "pow"])

/** The constructors of what it becomes. */
export interface Make {
  readonly apply: (name: Operation, ...args: Expression[]) => Expression
  readonly literal: (value: number, dtype?: DType) => Expression
}

/** The folded expression, or undefined when there is nothing to fold. */
export function fold(name: Operation, args: readonly Expression[], make: Make): Expression | undefined {
  const [a, b, c] = args
  const dtype = a!.dtype
  if (args.every(isLiteral) && !transcendental.has(name)) {
    const type = resultType(
      name,
      args.map((x) => x.dtype),
    ) as DType
    const value = operation(name).evaluate(dtype, ...(args as Literal[]).map((x) => x.value))
    return make.literal(roundTo(type, value), type)
  }
  const value = (x: Expression | undefined) => (x !== undefined && isLiteral(x) ? x.value : undefined)
  if (name === "select") return value(a) !== undefined && a!.width === 1 ? (value(a) ? b : c) : b === c ? b : undefined
  if (name === "and")
    return value(a) === 0 ? a : value(b) === 0 ? b : value(a) === 1 ? b : value(b) === 1 || a === b ? a : undefined
  if (name === "or")
    return value(a) === 1 ? a : value(b) === 1 ? b : value(a) === 0 ? b : value(b) === 0 || a === b ? a : undefined
  if (dtype === "f32" && a === b) return foldSame(name, a!, make)
  if (dtype !== "i32" && dtype !== "u32") return undefined
  if (a!.width === 1 && (b === undefined || b.width === 1)) return foldInteger(name, a!, b, make)
  return undefined
}

/** A number compared with itself: only NaN differs, and shader compilers may not know. */
function foldSame(name: Operation, a: Expression, { apply }: Make): Expression | undefined {
  switch (name) {
    case "ne":
      return apply("isNaN", a)
    case "eq":
    case "le":
    case "ge":
      return apply("not", apply("isNaN", a))
    default:
      return undefined
  }
}

/** Integer identities; index expressions live on them. */
function foldInteger(
  name: Operation,
  a: Expression,
  b: Expression | undefined,
  { apply, literal }: Make,
): Expression | undefined {
  const right = b !== undefined && isLiteral(b) ? b.value : undefined
  switch (name) {
    case "add":
      if (right === 0) return a
      if (isLiteral(a)) return apply("add", b!, a)
      if (right !== undefined && a.kind === "operation" && a.operation === "add" && isLiteral(a.args[1]!))
        return apply("add", a.args[0]!, apply("add", a.args[1]!, b!))
      return undefined
    case "sub":
      if (a === b) return literal(0, a.dtype)
      if (right !== undefined) return apply("add", a, literal(-right, a.dtype))
      if (a.kind === "operation" && a.operation === "add" && a.args[0] === b) return a.args[1]
      return undefined
    case "mul":
      if (isLiteral(a)) return apply("mul", b!, a)
      if (right === 0) return b
      if (right === 1) return a
      if (right !== undefined && a.kind === "operation" && a.operation === "mul" && isLiteral(a.args[1]!))
        return apply("mul", a.args[0]!, apply("mul", a.args[1]!, b!))
      return undefined
    case "floordiv":
    case "div":
      return right === 1 ? a : undefined
    case "floormod":
      return right === 1 ? literal(0, a.dtype) : undefined
    case "min":
    case "max":
    case "looseMax":
      return a === b ? a : undefined
    case "le":
    case "ge":
    case "eq":
      return a === b ? literal(1, "bool") : undefined
    case "lt":
    case "gt":
    case "ne":
      return a === b ? literal(0, "bool") : undefined
    default:
      return undefined
  }
}
