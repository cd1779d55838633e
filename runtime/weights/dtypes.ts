/**
 * The number formats that a safetensors file can hold, their sizes, and the exact way from a stored weight to float32.
 *
 * Files are little-endian, and so is every machine that has WebGPU, WebAssembly or CUDA: views are taken as they are.
 */

import { WeftError } from "../errors.js"
import type { FormatName } from "./formats/format.js"
import { formatNamed } from "./formats/named.js"

/** Bytes of one element. */
const sizes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const

export type StoredType = keyof typeof sizes

/** The number formats in which Weft takes weights; F64 is rounded to F32. */
export type PlainType = "F64" | "F32" | "F16" | "BF16"
/** What a weight is stored as: numbers, or the planes of a format. */
export type WeightType = PlainType | FormatName

export const storedTypes = Object.keys(sizes) as readonly StoredType[]

/** Whether a name from a file is a format of the table (`toString` is not). */
export function isStoredType(name: string): name is StoredType {
  return Object.hasOwn(sizes, name)
}

export function isPlainType(type: StoredType | FormatName): type is PlainType {
  return type === "F64" || type === "F32" || type === "F16" || type === "BF16"
}

export function isWeightType(type: StoredType | FormatName): type is WeightType {
  return isPlainType(type) || formatNamed(type) !== undefined
}

/** Bytes of one element of `type`. */
export function bytesPerElement(type: StoredType): number {
  return sizes[type]
}

/** Bytes of a dense tensor, or `undefined` where they or the product of the extents pass 2^53 − 1. */
export function tensorBytes(type: StoredType, shape: readonly number[]): number | undefined {
  let count = 1
  for (const extent of shape) {
    count *= extent
    if (!Number.isSafeInteger(count)) return undefined
  }
  const bytes = count * sizes[type]
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/**
 * Little-endian `bytes` as float32. Exact for F32, F16 and BF16, subnormals, infinities and the bits of a NaN included; F64 is
 * rounded to nearest even. The result is always a new array.
 *
 * @throws WeftError `checkpoint/size` when the bytes are not a whole number of elements
 */
export function toFloat32(type: PlainType, bytes: Uint8Array): Float32Array {
  const size = sizes[type]
  if (bytes.length % size !== 0) {
    throw new WeftError("checkpoint/size", `${bytes.length} bytes are not a whole number of ${type} elements`, {
      hint: `read a multiple of ${size} bytes`,
    })
  }
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes)
  const view = [aligned.buffer, aligned.byteOffset, bytes.length / size] as const
  switch (type) {
    case "F64":
      return new Float32Array(new Float64Array(...view))
    case "F32":
      return copyBits(new Uint32Array(...view))
    case "BF16":
      return widenBrainFloat(new Uint16Array(...view))
    case "F16":
      return widenHalf(new Uint16Array(...view))
    default:
      throw type satisfies never
  }
}

/** Copies bits, not numbers: an engine may change the bits of a NaN that it loads as a number. */
function copyBits(words: Uint32Array): Float32Array {
  return new Float32Array(new Uint32Array(words).buffer)
}

function widenBrainFloat(words: Uint16Array): Float32Array {
  const bits = new Uint32Array(words.length)
  for (let i = 0; i < words.length; i++) bits[i] = words[i]! << 16
  return new Float32Array(bits.buffer)
}

function widenHalf(words: Uint16Array): Float32Array {
  const bits = new Uint32Array(words.length)
  const numbers = new Float32Array(bits.buffer)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const sign = (word & 0x8000) << 16
    const exponent = (word >> 10) & 0x1f
    const fraction = word & 0x3ff
    if (exponent === 0x1f) bits[i] = sign | 0x7f800000 | (fraction << 13)
    else if (exponent !== 0) bits[i] = sign | ((exponent + 112) << 23) | (fraction << 13)
    else numbers[i] = (sign ? -fraction : fraction) * 2 ** -24 // zero and subnormals; −0 keeps its sign
  }
  return numbers
}
