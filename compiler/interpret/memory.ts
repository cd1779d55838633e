/**
 * The memory that interpreters run on: one array of numbers that rounds as its storage does.
 *
 * Elements are kept decoded, so a read is one array access; a write rounds to nearest even first:
 *
 *   const keys = allocateBuffer("f32", "bf16", 4)
 *   writeElement(keys, 0, 1.00390625)   // 1 + 2^-8 lies between two bf16 values
 *   readElement(keys, 0)                // 1
 *   toBytes(keys)                       // the 8 bytes that a device would hold
 *
 * Rounding follows IEEE 754: subnormals are kept, and a value that rounds beyond the largest finite one becomes an infinity (f16 from
 * 65520 on, bf16 from 2^128 − 2^119 on); a float64 is rounded to f32 on the way to bf16 or f16. A NaN stays a NaN, not its bits. Integers wrap and a bool is 0 or 1. The storage `f64` exists in
 * interpreters only: it never rounds, for references that a law compares with.
 */
import { fault } from "../../runtime/errors.js"
import { type Storage, storageType } from "../ir/loop.js"
import { type DType, roundTo, roundToHalf } from "../ir/operations.js"

export type MemoryStorage = Storage | "f64"

export interface Memory {
  readonly dtype: DType
  readonly storage: MemoryStorage
  readonly size: number
  /** The decoded elements. Write through `writeElement`: this array does not round to bf16 and f16. */
  readonly values: Float32Array | Float64Array | Int32Array | Uint32Array
}

/** `size` zeros. @throws Error when `storage` does not hold values of `dtype` */
export function allocateBuffer(dtype: DType, storage: MemoryStorage, size: number): Memory {
  if (dtype !== (storage === "f64" ? "f32" : storageType(storage))) throw fault(`${storage} does not hold ${dtype}`)
  return { dtype, storage, size, values: arrayOf(storage, size) }
}

function arrayOf(storage: MemoryStorage, size: number): Memory["values"] {
  switch (storage) {
    case "f32":
    case "bf16":
    case "f16":
      return new Float32Array(size)
    case "f64":
      return new Float64Array(size)
    case "i32":
      return new Int32Array(size)
    case "u32":
    case "bool":
      return new Uint32Array(size)
    default:
      return storage satisfies never
  }
}

export const readElement = (memory: Memory, index: number): number => memory.values[index]!

export function writeElement(memory: Memory, index: number, value: number): void {
  memory.values[index] = roundToStorage(memory.storage, value)
}

/** The value that a load finds after a store of `value`. */
export function roundToStorage(storage: MemoryStorage, value: number): number {
  if (storage === "f64") return value
  if (storage === "bf16") return roundToBrainFloat(value)
  return storage === "f16" ? roundToHalf(value) : roundTo(storage, value)
}

/** A memory that holds `numbers`, each rounded as a store would. */
export function memoryOf(storage: MemoryStorage, numbers: ArrayLike<number>): Memory {
  const memory = allocateBuffer(storage === "f64" ? "f32" : storageType(storage), storage, numbers.length)
  for (let i = 0; i < numbers.length; i++) writeElement(memory, i, numbers[i]!)
  return memory
}

/** The little-endian bytes of a device's buffer: two for bf16 and f16, eight for f64, four for all others. */
export function toBytes({ storage, values, size }: Memory): Uint8Array {
  if (storage !== "bf16" && storage !== "f16") return new Uint8Array(values.slice().buffer)
  const encode = storage === "bf16" ? (x: number) => bitsOf(x) >>> 16 : halfBits
  const words = new Uint16Array(size)
  for (let i = 0; i < size; i++) words[i] = encode(values[i]!)
  return new Uint8Array(words.buffer)
}

export function fromBytes(storage: MemoryStorage, bytes: Uint8Array): Memory {
  const own = bytes.slice().buffer
  switch (storage) {
    case "bf16":
      return memoryOf(
        storage,
        Float32Array.from(new Uint16Array(own), (word) => fromBitsOf(word * 65536)),
      )
    case "f16":
      return memoryOf(storage, Float32Array.from(new Uint16Array(own), halfValue))
    case "f64":
      return memoryOf(storage, new Float64Array(own))
    case "i32":
      return memoryOf(storage, new Int32Array(own))
    case "f32":
      return memoryOf(storage, new Float32Array(own))
    case "u32":
    case "bool":
      return memoryOf(storage, new Uint32Array(own))
    default:
      return storage satisfies never
  }
}

const word = new DataView(new ArrayBuffer(4))

function bitsOf(x: number): number {
  word.setFloat32(0, x)
  return word.getUint32(0)
}

function fromBitsOf(bits: number): number {
  word.setUint32(0, bits)
  return word.getFloat32(0)
}

function roundToBrainFloat(x: number): number {
  const bits = bitsOf(x)
  if (Number.isNaN(x)) return Number.NaN
  return fromBitsOf(((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0)
}

/** The bits of a value that is an f16. */
function halfBits(x: number): number {
  const bits = bitsOf(x)
  const sign = (bits >>> 16) & 0x8000
  if (Number.isNaN(x)) return sign | 0x7e00
  const size = Math.abs(x)
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c00
  if (size < 2 ** -14) return sign | (size * 2 ** 24)
  return sign | (((bits >>> 13) & 0x3ffff) - (112 << 10))
}

function halfValue(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}
