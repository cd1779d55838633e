/**
 * Reads of arrays, from memory or from locals, and the small change between scalars, lanes and constants.
 *
 *   load(f32 x[address + 8 : 4], 0)    →   v128.load offset=8
 *   load(bf16 x[address : 8], 1)       →   v128.load; i32.const 16; i32x4.shr_u       the odd ones of eight halves
 *
 * Halves (bf16, f16) are read as raw words, zero-extended; a bool is read as different from 0.
 */
import type { Expression, Fetch } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"
import { type Place, splitAddress } from "./arrays.js"
import { type Emission, isStable } from "./emission.js"
import type { Code } from "./encode.js"

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

export function load(e: Emission, x: Fetch, p: number): void {
  const { code } = e
  const { dtype, width } = x
  const place = e.places.get(x.array)!
  if (width === 8) {
    loadEight(e, x, place, p)
    return
  }
  if (place.kind === "locals") {
    loadLocal(e, x, place.vectors)
    return
  }
  const { address, immediate: at } = splitAddress(x.offset)
  e.part(address)
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

function loadLocal(e: Emission, { array, offset, dtype, width }: Fetch, vectors: boolean) {
  const slots = e.slots.get(array)!
  const at = (offset as Extract<Expression, { kind: "literal" }>).value
  if (!vectors) e.code.get(slots[at]!)
  else {
    const slot = slots[at >> 2]!
    e.code.get(slot)
    if (width === 1) extract(e.code, dtype, at & 3)
    // The upper pair of a vector of two.
    else if (at % 4 !== 0) e.code.get(slot).shuffle([8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])
  }
}

/** The bytes of the even lanes of eight, and those of the odd ones. */
const evenBytes = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
const deal = [evenBytes, evenBytes.map((b) => b + 4)] as const

function loadEight(e: Emission, x: Fetch, place: Place, p: number): void {
  const { code } = e
  if (place.kind === "memory" && place.bytes === 2) {
    words(e, x)
    if (p === 0) code.integers([0xffff, 0xffff, 0xffff, 0xffff]).op("v128.and")
    else code.integer(16).op("i32x4.shr_u")
    return
  }
  const half = (i: 0 | 1): void => {
    if (place.kind === "locals") {
      const at = (x.offset as Extract<Expression, { kind: "literal" }>).value
      code.get(e.slots.get(x.array)![(at >> 2) + i]!)
    } else {
      const { address, immediate } = splitAddress(x.offset)
      e.part(address)
      code.memory("v128.load", immediate + 16 * i)
    }
  }
  if (place.apart) half(p as 0 | 1)
  else {
    half(0)
    half(1)
    code.shuffle(deal[p as 0 | 1])
  }
  if (x.dtype === "bool" && place.kind === "memory") code.integers([0, 0, 0, 0]).op("i32x4.ne")
}

/** Not a part of a value: the words that hold eight halves, read once for both parts. */
const asWords = 2

function words(e: Emission, x: Fetch): void {
  const known = e.values.find(x, asWords)
  if (known !== undefined) {
    e.code.get(known)
    return
  }
  const { address, immediate } = splitAddress(x.offset)
  e.part(address)
  e.code.memory("v128.load", immediate)
  e.code.tee(e.values.keep(x, asWords, isStable(e, x) ? "structure" : "statement"))
}

/** halves << 16 of width 8, as bf16 becomes f32: the odd ones are there already. */
export function upperHalves(e: Emission, x: Expression, p: number): boolean {
  if (x.kind !== "fetch" || x.width !== 8 || e.values.find(x, p) !== undefined) return false
  const place = e.places.get(x.array)!
  if (place.kind !== "memory" || place.bytes !== 2) return false
  words(e, x)
  if (p === 0) e.code.integer(16).op("i32x4.shl")
  else e.code.integers([0, 0, 0, 0].map(() => 0xffff0000 | 0)).op("v128.and")
  return true
}
