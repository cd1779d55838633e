/**
 * How WGSL spells each scalar operation: one table, a text per operation.
 *
 *   toI32     toSigned(a)          saturates like WGSL's own conversion and turns NaN into 0
 */
import { fault } from "../../../runtime/errors.js"
import type { DType } from "../../ir/operations.js"
import { argument } from "../text/literals.js"
import { type Call, call, helper, infix, prefix, type Spelling, type Spellings } from "../text/operations.js"
import { typeText } from "./types.js"

const convert =
  (to: DType): Spelling =>
  ({ args, width }) =>
    `${typeText(to, width)}(${argument(args[0]!)})`
const shift =
  (sign: string): Spelling =>
  ({ args, dtype, width, literal }) => {
    if (literal !== undefined) return `(${args[0]} ${sign} ${typeText("u32", width)}(${literal & 31}u))`
    return `(${args[0]} ${sign} ${dtype === "u32" ? args[1] : `bitcast<${typeText("u32", width)}>(${args[1]})`})`
  }
const expanded: Spelling = () => {
  throw fault("an operation is printed that is expanded before")
}
const halfType = (width: number) => (width === 1 ? "f16" : `vec${width}<f16>`)

/** f32 values as f16, and back. */
export const narrowed = (text: string, width: number): string => `${halfType(width)}(${argument(text)})`
export const widened = (text: string, width: number): string => `${typeText("f32", width)}(${argument(text)})`

const zero = ({ dtype, width }: Call) => `${typeText(dtype, width)}()`

export const wgslOperations: Spellings = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  // A literal zero as divisor is an error in WGSL; the table defines x div 0 = x and x rem 0 = 0. WGSL promises nothing of f32 divisors beyond
  // 2^126, and hardware has 0 for them.
  div: (c) => {
    if (c.dtype !== "f32") return c.literal === 0 ? c.args[0]! : infix("/")(c)
    return c.moderate ? infix("/")(c) : helper("quotient")(c)
  },
  // WGSL's own of f32 takes a rounded quotient, and is off by a whole divisor where that rounds up.
  rem: (c) => (c.dtype === "f32" ? helper("remainder")(c) : c.literal === 0 ? zero(c) : infix("%")(c)),
  floordiv: (c) => (c.dtype === "u32" || c.nonNegative ? infix("/")(c) : helper("floorDivide")(c)),
  floormod: (c) => (c.dtype === "u32" || c.nonNegative ? infix("%")(c) : helper("floorModulo")(c)),
  neg: prefix("-"),
  min: (c) => call(c.dtype === "f32" ? c.helper("smaller") : "min")(c),
  max: (c) => call(c.dtype === "f32" ? c.helper("larger") : "max")(c),
  looseMax: call("max"),
  abs: call("abs"),
  sign: call("sign"),
  floor: call("floor"),
  ceil: call("ceil"),
  round: call("round"),
  trunc: call("trunc"),
  sqrt: call("sqrt"),
  exp: call("exp"),
  exp2: call("exp2"),
  log: call("log"),
  angle: helper("angle"),
  sin: call("sin"),
  cos: call("cos"),
  tanh: call("tanh"),
  pow: call("pow"),
  half: ({ args, width }) => widened(narrowed(args[0]!, width), width),
  // By its bits: a comparison of a value with itself may be folded away.
  isNaN: ({ args, width }) => {
    const word = typeText("u32", width)
    return `((bitcast<${word}>(${argument(args[0]!)}) & ${word}(0x7fffffffu)) > ${word}(0x7f800000u))`
  },
  lt: infix("<"),
  le: infix("<="),
  gt: infix(">"),
  ge: infix(">="),
  eq: infix("=="),
  // The `!=` of floats is false for NaN in SPIR-V as it is printed.
  ne: (c) => (c.dtype === "f32" ? `(!${infix("==")(c)})` : infix("!=")(c)),
  select: ({ args }) => `select(${argument(args[2]!)}, ${argument(args[1]!)}, ${argument(args[0]!)})`,
  and: infix("&"),
  or: infix("|"),
  not: prefix("!"),
  bitand: infix("&"),
  bitor: infix("|"),
  bitxor: infix("^"),
  bitnot: prefix("~"),
  shl: shift("<<"),
  shr: shift(">>"),
  dot2: expanded,
  bits: ({ args, width }) => `bitcast<${typeText("u32", width)}>(${argument(args[0]!)})`,
  fromBits: ({ args, width }) => `bitcast<${typeText("f32", width)}>(${argument(args[0]!)})`,
  toF32: convert("f32"),
  toI32: (c) => (c.dtype === "f32" ? helper("toSigned")(c) : convert("i32")(c)),
  toU32: (c) => (c.dtype === "f32" ? helper("toUnsigned")(c) : convert("u32")(c)),
}
