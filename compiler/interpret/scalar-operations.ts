/**
 * The scalar operations as JavaScript text, for interpreters that compile what they run.
 *
 *   operationText("mul", "f32", "rounded", ["a", "b"], hold)   →   Math.fround(a * b)
 *   operationText("mul", "i32", "rounded", ["a", "b"], hold)   →   Math.imul(a, b)
 *
 * The meaning is that of the table in operations.ts; a test compares the two on edge cases. Operations without a text of their own call that
 * table. Three arithmetics: `rounded` rounds to the dtype after every operation; `float64` leaves f32 values unrounded; `absolute` is
 * `rounded` with a bound beside each f32 value, after the rules of `bounds` in scalar-bounds.ts.
 */
import { fault } from "../../runtime/errors.js"
import { type DType, type Operation, operation, resultType } from "../ir/operations.js"

export type Arithmetic = "rounded" | "float64" | "absolute"

/** Gives a JavaScript value a name that the text may use. */
export type Hold = (value: unknown) => string

type Text = (dtype: DType, ...x: string[]) => string

const compare =
  (sign: string): Text =>
  (_, a, b) =>
    `(${a} ${sign} ${b} ? 1 : 0)`
const infix =
  (sign: string): Text =>
  (_, a, b) =>
    `${a} ${sign} ${b}`
const math =
  (name: string): Text =>
  (_, ...x) =>
    `Math.${name}(${x.join(", ")})`

/** The value before the rounding to the dtype of the result. `dtype` is that of the first argument. */
const texts: Partial<Record<Operation, Text>> = {
  add: infix("+"),
  sub: infix("-"),
  mul: (d, a, b) => (d === "f32" ? `${a} * ${b}` : `Math.imul(${a}, ${b})`),
  div: (d, a, b) => (d === "f32" ? `${a} / ${b}` : `(${b} === 0 ? ${a} : Math.trunc(${a} / ${b}))`),
  floordiv: (_, a, b) => `Math.floor(${a} / ${b})`,
  floormod: (_, a, b) => `(${a} - ${b} * Math.floor(${a} / ${b}))`,
  neg: (_, a) => `-${a}`,
  min: math("min"),
  max: math("max"),
  looseMax: (_, a, b) => `(${a} < ${b} ? ${b} : ${a})`,
  abs: math("abs"),
  sign: math("sign"),
  floor: math("floor"),
  ceil: math("ceil"),
  trunc: math("trunc"),
  sqrt: math("sqrt"),
  exp: math("exp"),
  exp2: (_, a) => `2 ** ${a}`,
  log: math("log"),
  sin: math("sin"),
  cos: math("cos"),
  tanh: math("tanh"),
  pow: math("pow"),
  lt: compare("<"),
  le: compare("<="),
  gt: compare(">"),
  ge: compare(">="),
  eq: compare("==="),
  ne: compare("!=="),
  select: (_, c, a, b) => `(${c} ? ${a} : ${b})`,
  and: infix("&"),
  or: infix("|"),
  not: (_, a) => `${a} ^ 1`,
  bitand: infix("&"),
  bitor: infix("|"),
  bitxor: infix("^"),
  bitnot: (_, a) => `~${a}`,
  shl: infix("<<"),
  shr: (d, a, b) => (d === "u32" ? `${a} >>> ${b}` : `${a} >> ${b}`),
  toF32: (_, a) => a!,
}

/** Operations whose f32 result is an f32 already when the arguments are. */
const unrounded: ReadonlySet<Operation> = new Set([
  "neg",
  "min",
  "max",
  "looseMax",
  "abs",
  "sign",
  "floor",
  "ceil",
  "round",
  "trunc",
  "select",
  "fromBits",
])

/** The text of `name` on arguments that are atoms (names or literals); `dtype` is that of the last argument. */
export function operationText(
  name: Operation,
  types: readonly DType[],
  arithmetic: Arithmetic,
  args: readonly string[],
  hold: Hold,
): string {
  const first = types[0]!
  const text =
    texts[name]?.(first, ...args) ?? `${hold(operation(name).evaluate)}(${JSON.stringify(first)}, ${args.join(", ")})`
  const result = resultType(name, types)
  if (typeof result === "object") throw fault(result.problem)
  if (result !== "f32") return roundText(result, text)
  const exact = unrounded.has(name) || (name === "toF32" && (first === "f32" || first === "bool"))
  return exact || arithmetic === "float64" ? `(${text})` : roundText("f32", text)
}

/** The text of `roundTo(dtype, x)`. */
export function roundText(dtype: DType, x: string): string {
  switch (dtype) {
    case "f32":
      return `Math.fround(${x})`
    case "i32":
      return `((${x}) | 0)`
    case "u32":
      return `((${x}) >>> 0)`
    case "bool":
      return `(${x})`
    default:
      return dtype satisfies never
  }
}

/** A number as text that may stand before or after any operator. */
export const numberText = (x: number): string =>
  x < 0 || Object.is(x, -0) ? `(${Object.is(x, -0) ? "-0" : x})` : `${x}`
