/**
 * How WGSL spells each scalar operation: one table, a text per operation, complete by its type.
 *
 *   add       (a + b)
 *   floordiv  floorDivide(a, b), or a / b where a is known not to be negative
 *   toI32     toSigned(a)          saturates like WGSL's own conversion and turns NaN into 0
 *
 * Arguments arrive as text of one width. The text is an atom: it can be put anywhere.
 */
import type { DType, Operation } from "../../ir/operations.js"
import { argument, typeText } from "./types.js"

export interface Call {
  readonly args: readonly string[]
  /** dtype of the arguments (of the second and third for `select`). */
  readonly dtype: DType
  readonly width: number
  /** Whether the first argument is known to be at least 0. */
  readonly nonNegative: boolean
  /** The value of the second argument, when it is a literal. */
  readonly literal: number | undefined
  /** Whether the second argument is known to be below 2^125 in size. */
  readonly moderate: boolean
  /** Asks for a helper function of this width and returns its name. */
  readonly helper: (stem: string) => string
}
type Printer = (call: Call) => string

const infix =
  (sign: string): Printer =>
  ({ args }) =>
    `(${args[0]} ${sign} ${args[1]})`
const call =
  (name: string): Printer =>
  ({ args }) =>
    `${name}(${args.map(argument).join(", ")})`
const convert =
  (to: DType): Printer =>
  ({ args, width }) =>
    `${typeText(to, width)}(${argument(args[0]!)})`
const shift =
  (sign: string): Printer =>
  ({ args, dtype, width, literal }) => {
    if (literal !== undefined) return `(${args[0]} ${sign} ${typeText("u32", width)}(${literal & 31}u))`
    return `(${args[0]} ${sign} ${dtype === "u32" ? args[1] : `bitcast<${typeText("u32", width)}>(${args[1]})`})`
  }
const halfType = (width: number) => (width === 1 ? "f16" : `vec${width}<f16>`)

/** f32 values as f16, and back. */
export const narrowed = (text: string, width: number): string => `${halfType(width)}(${argument(text)})`
export const widened = (text: string, width: number): string => `${typeText("f32", width)}(${argument(text)})`

const zero = ({ dtype, width }: Call) => `${typeText(dtype, width)}()`

export const wgslOperations: { readonly [O in Operation]: Printer } = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  // A literal zero as divisor is an error in WGSL; the table defines x div 0 = x and x rem 0 = 0. WGSL promises nothing of f32 divisors beyond
  // 2^126, and hardware has 0 for them.
  div: (c) => {
    if (c.dtype !== "f32") return c.literal === 0 ? c.args[0]! : infix("/")(c)
    return c.moderate ? infix("/")(c) : call(c.helper("quotient"))(c)
  },
  // WGSL's own of f32 takes a rounded quotient, and is off by a whole divisor where that rounds up.
  rem: (c) => (c.dtype === "f32" ? call(c.helper("remainder"))(c) : c.literal === 0 ? zero(c) : infix("%")(c)),
  floordiv: (c) => (c.dtype === "u32" || c.nonNegative ? infix("/")(c) : call(c.helper("floorDivide"))(c)),
  floormod: (c) => (c.dtype === "u32" || c.nonNegative ? infix("%")(c) : call(c.helper("floorModulo"))(c)),
  neg: ({ args }) => `(-${args[0]})`,
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
  log: call("log"),
  angle: (c) => call(c.helper("angle"))(c),
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
  not: ({ args }) => `(!${args[0]})`,
  bitand: infix("&"),
  bitor: infix("|"),
  bitxor: infix("^"),
  bitnot: ({ args }) => `(~${args[0]})`,
  shl: shift("<<"),
  shr: shift(">>"),
  bits: ({ args, width }) => `bitcast<${typeText("u32", width)}>(${argument(args[0]!)})`,
  fromBits: ({ args, width }) => `bitcast<${typeText("f32", width)}>(${argument(args[0]!)})`,
  toF32: convert("f32"),
  toI32: (c) => (c.dtype === "f32" ? call(c.helper("toSigned"))(c) : convert("i32")(c)),
  toU32: (c) => (c.dtype === "f32" ? call(c.helper("toUnsigned"))(c) : convert("u32")(c)),
}
