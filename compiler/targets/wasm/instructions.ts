/**
 * Scalar operations that are one instruction, by dtype; `vector` holds those on v128. What is missing here is written out in `expressions.ts`.
 *
 *   instructions.scalar.f32.add = "f32.add"      instructions.vector.u32.lt = "i32x4.lt_u"
 *
 * A bool is 0 or 1 in an i32, and all zeros or all ones in the lanes of a v128.
 */
import type { DType, Operation } from "../../ir/operations.js"
import type { Instruction } from "./encode.js"

type Table = Readonly<Record<DType, Readonly<Partial<Record<Operation, Instruction>>>>>

const scalarIntegers = {
  add: "i32.add",
  sub: "i32.sub",
  mul: "i32.mul",
  eq: "i32.eq",
  ne: "i32.ne",
  bitand: "i32.and",
  bitor: "i32.or",
  bitxor: "i32.xor",
  shl: "i32.shl",
} as const

const vectorIntegers = {
  add: "i32x4.add",
  sub: "i32x4.sub",
  mul: "i32x4.mul",
  eq: "i32x4.eq",
  ne: "i32x4.ne",
  bitand: "v128.and",
  bitor: "v128.or",
  bitxor: "v128.xor",
  bitnot: "v128.not",
} as const

const scalar: Table = {
  f32: {
    add: "f32.add",
    sub: "f32.sub",
    mul: "f32.mul",
    div: "f32.div",
    neg: "f32.neg",
    min: "f32.min",
    max: "f32.max",
    looseMax: "f32.max",
    abs: "f32.abs",
    floor: "f32.floor",
    ceil: "f32.ceil",
    round: "f32.nearest",
    trunc: "f32.trunc",
    sqrt: "f32.sqrt",
    lt: "f32.lt",
    le: "f32.le",
    gt: "f32.gt",
    ge: "f32.ge",
    eq: "f32.eq",
    ne: "f32.ne",
    bits: "i32.reinterpret_f32",
    toI32: "i32.trunc_sat_f32_s",
    toU32: "i32.trunc_sat_f32_u",
  },
  i32: {
    ...scalarIntegers,
    lt: "i32.lt_s",
    le: "i32.le_s",
    gt: "i32.gt_s",
    ge: "i32.ge_s",
    shr: "i32.shr_s",
    toF32: "f32.convert_i32_s",
  },
  u32: {
    ...scalarIntegers,
    lt: "i32.lt_u",
    le: "i32.le_u",
    gt: "i32.gt_u",
    ge: "i32.ge_u",
    shr: "i32.shr_u",
    fromBits: "f32.reinterpret_i32",
    toF32: "f32.convert_i32_u",
  },
  bool: { and: "i32.and", or: "i32.or", not: "i32.eqz", eq: "i32.eq", ne: "i32.ne", toF32: "f32.convert_i32_u" },
}

const vector: Table = {
  f32: {
    add: "f32x4.add",
    sub: "f32x4.sub",
    mul: "f32x4.mul",
    div: "f32x4.div",
    neg: "f32x4.neg",
    looseMax: "f32x4.pmax",
    abs: "f32x4.abs",
    floor: "f32x4.floor",
    ceil: "f32x4.ceil",
    round: "f32x4.nearest",
    trunc: "f32x4.trunc",
    sqrt: "f32x4.sqrt",
    lt: "f32x4.lt",
    le: "f32x4.le",
    gt: "f32x4.gt",
    ge: "f32x4.ge",
    eq: "f32x4.eq",
    ne: "f32x4.ne",
    toI32: "i32x4.trunc_sat_f32x4_s",
    toU32: "i32x4.trunc_sat_f32x4_u",
  },
  i32: {
    ...vectorIntegers,
    neg: "i32x4.neg",
    abs: "i32x4.abs",
    min: "i32x4.min_s",
    max: "i32x4.max_s",
    lt: "i32x4.lt_s",
    le: "i32x4.le_s",
    gt: "i32x4.gt_s",
    ge: "i32x4.ge_s",
    toF32: "f32x4.convert_i32x4_s",
  },
  u32: {
    ...vectorIntegers,
    min: "i32x4.min_u",
    max: "i32x4.max_u",
    lt: "i32x4.lt_u",
    le: "i32x4.le_u",
    gt: "i32x4.gt_u",
    ge: "i32x4.ge_u",
    toF32: "f32x4.convert_i32x4_u",
    dot2: "i32x4.dot_i16x8_s",
  },
  bool: { and: "v128.and", or: "v128.or", not: "v128.not", eq: "i32x4.eq", ne: "i32x4.ne" },
}

/** Operations that change the dtype but not the bits. */
export function isFree(operation: Operation, from: DType, width: number): boolean {
  if (operation === "toI32" || operation === "toU32")
    return from === "i32" || from === "u32" || (from === "bool" && width === 1)
  if (operation === "toF32") return from === "f32"
  return (operation === "bits" || operation === "fromBits") && width > 1
}

export const instructions = { scalar, vector }
