/**
 * Reads of arrays, from memory or from locals, and the small change between scalars, lanes and constants.
 *
 *   load(x, address + 8, f32 of width 8, part 1)   →   v128.load offset=24
 *
 * Halves (bf16, f16) are read as raw words, zero-extended; a bool is read as different from 0.
 */
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"
import { splitAddress } from "./arrays.js"
import type { Emission } from "./emission.js"
import type { Code } from "./encode.js"
import { part } from "./expressions.js"

export function constant(code: Code, values: readonly number[], dtype: DType): void {
  const four = [0, 1, 2, 3].map((i) => values[i] ?? values.at(-1)!)
  if (dtype === "f32") code.floats(four)
  else code.integers(dtype === "bool" ? four.map((v) => -v) : four)
}

/** Turns the scalar on the stack into lanes. */
export function spread(code: Code, dtype: DType): void {
  if (dtype === "f32") code.op("f32x4.splat")
  else if (dtype === "bool") code.op("i32x4.splat", "i32x4.neg")
  else code.op("i32x4.splat")
}

export function extract(code: Code, dtype: DType, lane: number): void {
  code.lane(dtype === "f32" ? "f32x4.extract_lane" : "i32x4.extract_lane", lane)
  if (dtype === "bool") code.integer(1).op("i32.and")
}

export function load(e: Emission, array: string, offset: Expression, dtype: DType, width: number, p: number): void {
  const { code } = e
  const place = e.places.get(array)!
  if (place.kind === "locals") {
    loadLocal(e, array, place.vectors, (offset as Extract<Expression, { kind: "literal" }>).value, dtype, width, p)
    return
  }
  const { address, immediate } = splitAddress(offset)
  part(e, address)
  const at = immediate + 4 * p * place.bytes
  if (place.bytes === 2) {
    if (width === 1) code.memory("i32.load16_u", at)
    else if (width === 2) code.memory("v128.load32_zero", at).op("i32x4.extend_low_i16x8_u")
    else code.memory("v128.load16x4_u", at)
    return
  }
  if (width === 1) code.memory(dtype === "f32" ? "f32.load" : "i32.load", at)
  else code.memory(width === 2 ? "v128.load64_zero" : "v128.load", at)
  if (dtype !== "bool") return
  if (width === 1) code.integer(0).op("i32.ne")
  else code.integers([0, 0, 0, 0]).op("i32x4.ne")
}

function loadLocal(e: Emission, array: string, vectors: boolean, at: number, dtype: DType, width: number, p: number) {
  const slots = e.slots.get(array)!
  if (!vectors) e.code.get(slots[at]!)
  else if (width === 1) {
    e.code.get(slots[at >> 2]!)
    extract(e.code, dtype, at & 3)
  } else {
    const slot = slots[(at >> 2) + p]!
    e.code.get(slot)
    // The upper pair of a vector of two.
    if (at % 4 !== 0) e.code.get(slot).shuffle([8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])
  }
}
