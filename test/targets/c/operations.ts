/**
 * The scalar operations as C has them, and the functions that it lacks. A vector goes through a function that is made of the scalar text:
 *
 *   add of f32, width 2  →  static inline f32x2 add_f32x2(f32x2 a, f32x2 b) { return (f32x2){{(a.at[0] + b.at[0]), (a.at[1] + b.at[1])}}; }
 */
import { type DType, type Operation, operation, resultType } from "../../../compiler/ir/operations.js"
import type { Helper } from "../../../compiler/targets/text/library.js"
import {
  call,
  helper,
  infix,
  prefix,
  type Spelling,
  type Spellings,
} from "../../../compiler/targets/text/operations.js"

export const typeText = (dtype: DType, width: number): string => (width === 1 ? dtype : `${dtype}x${width}`)

const float =
  (ofFloats: Spelling, others: Spelling): Spelling =>
  (c) =>
    (c.dtype === "f32" ? ofFloats : others)(c)
const integer =
  (ofSigned: string, others: Spelling): Spelling =>
  (c) =>
    (c.dtype === "i32" ? helper(ofSigned) : others)(c)
const known =
  (plain: string, stem: string): Spelling =>
  (c) =>
    (c.dtype === "u32" || c.nonNegative ? infix(plain) : helper(stem))(c)
const cast =
  (to: DType): Spelling =>
  ({ args }) =>
    `((${to})${args[0]})`
const shift =
  (sign: string): Spelling =>
  ({ args, literal }) =>
    `(${args[0]} ${sign} ${literal === undefined ? `(${args[1]} & 31)` : literal & 31})`
const expanded: Spelling = () => {
  throw new Error("is expanded before it is printed")
}

export const cOperations: Spellings = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  div: float(infix("/"), integer("quotient", helper("quotientOfUnsigned"))),
  rem: float(call("fmodf"), integer("remainderOf", helper("remainderOfUnsigned"))),
  floordiv: known("/", "floorDivide"),
  floormod: known("%", "floorModulo"),
  neg: prefix("-"),
  min: float(helper("smaller"), ({ args }) => `(${args[0]} < ${args[1]} ? ${args[0]} : ${args[1]})`),
  max: float(helper("larger"), ({ args }) => `(${args[0]} < ${args[1]} ? ${args[1]} : ${args[0]})`),
  looseMax: ({ args }) => `(${args[0]} < ${args[1]} ? ${args[1]} : ${args[0]})`,
  abs: float(call("fabsf"), ({ args }) => `(${args[0]} < 0 ? -${args[0]} : ${args[0]})`),
  sign: expanded,
  floor: call("floorf"),
  ceil: call("ceilf"),
  round: call("rintf"),
  trunc: call("truncf"),
  sqrt: call("sqrtf"),
  exp: expanded,
  log: expanded,
  angle: helper("angle"),
  sin: expanded,
  cos: expanded,
  tanh: expanded,
  pow: expanded,
  half: expanded,
  isNaN: ({ args }) => `(${args[0]} != ${args[0]})`,
  lt: infix("<"),
  le: infix("<="),
  gt: infix(">"),
  ge: infix(">="),
  eq: infix("=="),
  ne: infix("!="),
  select: ({ args }) => `(${args[0]} ? ${args[1]} : ${args[2]})`,
  and: infix("&&"),
  or: infix("||"),
  not: prefix("!"),
  bitand: infix("&"),
  bitor: infix("|"),
  bitxor: infix("^"),
  bitnot: prefix("~"),
  shl: shift("<<"),
  shr: shift(">>"),
  bits: call("bits"),
  fromBits: call("fromBits"),
  toF32: cast("f32"),
  toI32: float(helper("toSigned"), cast("i32")),
  toU32: float(helper("toUnsigned"), cast("u32")),
}

/** Expanded as for WGSL: the C library's own are within other bounds. */
export const lacking: ReadonlySet<Operation> = new Set(
  (Object.keys(cOperations) as Operation[]).filter((o) => cOperations[o] === expanded),
)

const functions: Readonly<Record<string, string>> = {
  quotient: "i32 quotient(i32 a, i32 b) { return b == 0 ? a : b == -1 ? -a : a / b; }",
  quotientOfUnsigned: "u32 quotientOfUnsigned(u32 a, u32 b) { return b == 0 ? a : a / b; }",
  remainderOf: "i32 remainderOf(i32 a, i32 b) { return b == 0 || b == -1 ? 0 : a % b; }",
  remainderOfUnsigned: "u32 remainderOfUnsigned(u32 a, u32 b) { return b == 0 ? 0 : a % b; }",
  floorDivide: "i32 floorDivide(i32 a, i32 b) { i32 q = a / b; return q - (a - q * b < 0 ? 1 : 0); }",
  floorModulo: "i32 floorModulo(i32 a, i32 b) { i32 r = a % b; return r < 0 ? r + b : r; }",
  smaller:
    "f32 smaller(f32 a, f32 b) { return a != a ? a : b != b ? b : a == b ? fromBits(bits(a) | bits(b)) : a < b ? a : b; }",
  larger:
    "f32 larger(f32 a, f32 b) { return a != a ? a : b != b ? b : a == b ? fromBits(bits(a) & bits(b)) : a < b ? b : a; }",
  angle: "f32 angle(f32 x) { return fabsf(x) < 131072.0f ? x : (f32)atan2(sin((double)x), cos((double)x)); }",
  toSigned:
    "i32 toSigned(f32 x) { return x != x ? 0 : x >= 0x1p31f ? 2147483647 : x < -0x1p31f ? -2147483647 - 1 : (i32)x; }",
  toUnsigned: "u32 toUnsigned(f32 x) { return !(x > 0.0f) ? 0 : x >= 0x1p32f ? 4294967295u : (u32)x; }",
}

export const helperStems: readonly string[] = Object.keys(functions)

/** The stem of the function of vectors, by the operation and the dtype of its values. */
export const wideStem = (name: Operation, dtype: DType): string => `${name}_${dtype}`

export function cHelper(stem: string, width: number): Helper {
  const plain = functions[stem]
  if (plain !== undefined) return { name: stem, text: `static inline ${plain}` }
  const [name, dtype] = stem.split("_") as [Operation, DType]
  const types: DType[] =
    operation(name).rule === "select" ? ["bool", dtype, dtype] : Array(operation(name).arity).fill(dtype)
  const result = typeText(resultType(name, types) as DType, width)
  const needs: string[] = []
  const part = (i: number) =>
    cOperations[name]({
      args: types.map((_, k) => `${"abc"[k]}.at[${i}]`),
      dtype,
      width: 1,
      nonNegative: false,
      allNonNegative: false,
      literal: undefined,
      moderate: false,
      helper: (other) => {
        needs.push(other)
        return other
      },
    })
  const parts = Array.from({ length: width }, (_, i) => part(i))
  const list = types.map((t, k) => `${typeText(t, width)} ${"abc"[k]}`)
  const text = `static inline ${result} ${stem}x${width}(${list.join(", ")}) { return (${result}){{${parts.join(", ")}}}; }`
  return { name: `${stem}x${width}`, text, needs }
}
