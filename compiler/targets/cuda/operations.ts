/**
 * How CUDA spells each scalar operation: one table, a text per operation. A vector is spelled alike, by the prelude's operators and functions.
 *
 *   add       (a + b) where neither is below 0, and in numbers of elements; else wrapped_sum(a, b), for C++ takes for granted that nothing wraps
 *   toI32     to_signed(a)           saturates, NaN becomes 0
 *   max       larger(a, b)           NaN where one of them is
 */
import { fault } from "../../../runtime/errors.js"
import type { DType, Operation } from "../../ir/operations.js"
import { argument } from "../text/literals.js"
import { type Call, call, infix, prefix, type Spelling, type Spellings } from "../text/operations.js"

export const typeText = (dtype: DType, width: number): string => (width === 1 ? dtype : `${dtype}x${width}`)

const float =
  (ofFloats: Spelling, others: Spelling): Spelling =>
  (c) =>
    (c.dtype === "f32" ? ofFloats : others)(c)
const wrapping =
  (sign: string, name: string): Spelling =>
  (c) =>
    (c.dtype === "i32" && !c.allNonNegative && !c.isIndex ? call(name) : infix(sign))(c)
const known =
  (sign: string, name: string): Spelling =>
  (c) =>
    (c.dtype === "u32" || c.nonNegative ? infix(sign) : call(name))(c)
const convert =
  (to: DType): Spelling =>
  ({ args, width }) =>
    width === 1 ? `${to}(${argument(args[0]!)})` : `convert<${typeText(to, width)}>(${argument(args[0]!)})`
const logical =
  (sign: string): Spelling =>
  (c) =>
    c.width === 1 ? `bool${infix(sign)(c)}` : infix(sign)(c)
const expanded: Spelling = () => {
  throw fault("an operation is printed that is expanded before")
}

export const cudaOperations: Spellings = {
  add: wrapping("+", "wrapped_sum"),
  sub: float(infix("-"), (c: Call) => (c.dtype === "u32" || c.isIndex ? infix("-") : call("wrapped_difference"))(c)),
  mul: wrapping("*", "wrapped_product"),
  div: float(infix("/"), call("quotient")),
  rem: call("remainder_of"),
  floordiv: known("/", "floor_quotient"),
  floormod: known("%", "floor_remainder"),
  neg: float(prefix("-"), call("wrapped_negative")),
  min: call("smaller"),
  max: call("larger"),
  looseMax: call("larger_of_numbers"),
  abs: call("absolute"),
  sign: expanded,
  floor: call("lowered"),
  ceil: call("raised"),
  round: call("rounded"),
  trunc: call("truncated"),
  sqrt: call("root"),
  exp: call("exponential"),
  exp2: call("power_of_two"),
  log: expanded,
  angle: call("angle"),
  sin: expanded,
  cos: expanded,
  tanh: expanded,
  pow: expanded,
  half: call("half"),
  isNaN: call("is_nan"),
  lt: infix("<"),
  le: infix("<="),
  gt: infix(">"),
  ge: infix(">="),
  eq: infix("=="),
  ne: infix("!="),
  select: ({ args, width }) =>
    width === 1
      ? `(${args[0]} ? ${args[1]} : ${args[2]})`
      : `select(${argument(args[0]!)}, ${argument(args[1]!)}, ${argument(args[2]!)})`,
  and: logical("&"),
  or: logical("|"),
  not: prefix("!"),
  bitand: infix("&"),
  bitor: infix("|"),
  bitxor: infix("^"),
  bitnot: prefix("~"),
  shl: call("shifted_left"),
  shr: call("shifted_right"),
  dot2: expanded,
  bits: call("bits"),
  fromBits: call("from_bits"),
  toF32: convert("f32"),
  toI32: float(call("to_signed"), convert("i32")),
  toU32: float(call("to_unsigned"), convert("u32")),
}

/** What is expanded (`../expand.ts`): CUDA's own functions are within other bounds. */
export const lacking: ReadonlySet<Operation> = new Set(
  (Object.keys(cudaOperations) as Operation[]).filter((o) => cudaOperations[o] === expanded),
)
