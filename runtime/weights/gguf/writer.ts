/**
 * The header of a GGUF file, version 3, and where in the file each tensor's bytes belong.
 *
 *     { "general.architecture": text("qwen3"), … }, [{ name: "token_embd.weight", shape: [151936, 1024], type: 14, byteLength }, …]
 *       →   GGUF, 3, counts │ pairs │ names, dimensions, types, offsets │ data from the next multiple of 32 on
 */
import { printable, WeftError } from "../../errors.js"

/** A value of metadata with the type that it has in the file. */
export type Entry =
  | { readonly type: "u32" | "i32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "bools"; readonly value: readonly boolean[] }
  | { readonly type: "i32s"; readonly value: readonly number[] }
  | { readonly type: "texts"; readonly value: readonly string[] }

export interface WrittenTensor {
  readonly name: string
  /** Row-major: the last dimension lies closely. */
  readonly shape: readonly number[]
  /** `ggml_type`. */
  readonly type: number
  readonly byteLength: number
}

export interface WrittenHeader {
  /** From the beginning of the file to where the first tensor's bytes begin. */
  readonly bytes: Uint8Array
  /** Where the bytes of each tensor begin, from the beginning of the file. */
  readonly begins: readonly number[]
  /** Of the whole file. */
  readonly size: number
}

/** What readers take the data's alignment for when nothing is said. */
const alignment = 32
const version = 3
const kinds = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, bools: 9, i32s: 9, texts: 9 } as const

/** @throws WeftError `checkpoint/write` for a tensor or a name that stands twice */
export function writeGgufHeader(
  metadata: ReadonlyMap<string, Entry>,
  tensors: readonly WrittenTensor[],
): WrittenHeader {
  const to = new Bytes()
  to.bytes(new TextEncoder().encode("GGUF"))
  to.u32(version)
  to.u64(tensors.length)
  to.u64(metadata.size)
  for (const [key, entry] of metadata) {
    to.text(key)
    writeEntry(to, entry)
  }
  const offsets: number[] = []
  const names = new Set<string>()
  let offset = 0
  for (const { name, shape, type, byteLength } of tensors) {
    if (names.has(name)) throw new WeftError("checkpoint/write", `tensor ${printable(name)} stands twice`)
    names.add(name)
    to.text(name)
    to.u32(shape.length)
    for (const extent of [...shape].reverse()) to.u64(extent)
    to.u32(type)
    to.u64(offset)
    offsets.push(offset)
    offset = roundUp(offset + byteLength)
  }
  const begin = roundUp(to.length)
  to.zeros(begin - to.length)
  return { bytes: to.written(), begins: offsets.map((o) => begin + o), size: begin + offset }
}

const roundUp = (n: number): number => Math.ceil(n / alignment) * alignment

function writeEntry(to: Bytes, entry: Entry): void {
  to.u32(kinds[entry.type])
  const { type, value } = entry
  if (type === "bool") to.u8(Number(value))
  else if (type === "bools") to.list(kinds.bool, value, (item) => to.u8(Number(item)))
  else if (type === "i32s") to.list(kinds.i32, value, (item) => to.i32(item))
  else if (type === "texts") to.list(kinds.text, value, (item) => to.text(item))
  else if (type === "text") to.text(value)
  else to[type](value)
}

/** Little-endian bytes that grow. */
class Bytes {
  #bytes = new Uint8Array(1 << 16)
  #view = new DataView(this.#bytes.buffer)
  length = 0

  /** Room for `count` more; where they begin. */
  #take(count: number): number {
    const at = this.length
    this.length += count
    if (this.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length))
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }

  u8(value: number): void {
    const at = this.#take(1)
    this.#view.setUint8(at, value)
  }
  u32(value: number): void {
    const at = this.#take(4)
    this.#view.setUint32(at, value, true)
  }
  i32(value: number): void {
    const at = this.#take(4)
    this.#view.setInt32(at, value, true)
  }
  f32(value: number): void {
    const at = this.#take(4)
    this.#view.setFloat32(at, value, true)
  }
  u64(value: number): void {
    const at = this.#take(8)
    this.#view.setBigUint64(at, BigInt(value), true)
  }
  bytes(bytes: Uint8Array): void {
    const at = this.#take(bytes.length)
    this.#bytes.set(bytes, at)
  }
  zeros(count: number): void {
    this.#take(count)
  }
  text(value: string): void {
    const bytes = new TextEncoder().encode(value)
    this.u64(bytes.length)
    this.bytes(bytes)
  }
  list<T>(kind: number, values: readonly T[], write: (value: T) => void): void {
    this.u32(kind)
    this.u64(values.length)
    for (const value of values) write(value)
  }
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.length)
  }
}
