/** Writes GGUF files for tests, right ones and wrong ones: each number of the header can be another than what follows it. */

/** A value of metadata with its type; plain texts, true and false stand for themselves, and whole numbers for u32. */
export type Datum =
  | string
  | boolean
  | number
  | { readonly f32: number }
  | { readonly u64: bigint }
  | { readonly strings: readonly string[] }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] }
  | { readonly flags: readonly boolean[] }
  | { readonly type: NumberType; readonly value: number | bigint }
  | { readonly type: NumberType; readonly list: readonly (number | bigint)[] }

/** The numbers of the types of numbers, and how such are written. */
export const numberTypes = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  u64: 10,
  i64: 11,
  f64: 12,
} as const
export type NumberType = keyof typeof numberTypes

export interface TensorToWrite {
  readonly name: string
  /** ggml's number of the type. */
  readonly type: number
  /** Row-major. */
  readonly shape: readonly number[]
  readonly data: Uint8Array
  /** In place of where the data are. */
  readonly offset?: bigint
}

export interface GgufToWrite {
  readonly metadata: readonly (readonly [key: string, value: Datum])[]
  readonly tensors: readonly TensorToWrite[]
  readonly alignment?: number
  readonly version?: number
  readonly counts?: { readonly tensors?: bigint; readonly pairs?: bigint }
}

/** The type numbers of what is not quantized. */
export const ggmlTypes = { F32: 0, F16: 1, BF16: 30, F64: 28 } as const

class Bytes {
  readonly #parts: Uint8Array[] = []
  length = 0
  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.length += bytes.length
  }
  #number(size: number, set: (view: DataView) => void): void {
    const bytes = new Uint8Array(size)
    set(new DataView(bytes.buffer))
    this.raw(bytes)
  }
  u8 = (x: number) => this.#number(1, (v) => v.setUint8(0, x))
  u32 = (x: number) => this.#number(4, (v) => v.setUint32(0, x, true))
  i32 = (x: number) => this.#number(4, (v) => v.setInt32(0, x, true))
  f32 = (x: number) => this.#number(4, (v) => v.setFloat32(0, x, true))
  u64 = (x: bigint) => this.#number(8, (v) => v.setBigUint64(0, x, true))
  number(type: NumberType, value: number | bigint): void {
    const arrays = {
      u8: Uint8Array,
      i8: Int8Array,
      u16: Uint16Array,
      i16: Int16Array,
      u32: Uint32Array,
      i32: Int32Array,
      f32: Float32Array,
      f64: Float64Array,
    }
    if (type === "u64" || type === "i64") this.u64(BigInt.asUintN(64, BigInt(value)))
    else this.raw(new Uint8Array(arrays[type].of(Number(value)).buffer))
  }
  text(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u64(BigInt(bytes.length))
    this.raw(bytes)
  }
  list<T>(type: number, items: readonly T[], put: (item: T) => void): void {
    this.u32(9)
    this.u32(type)
    this.u64(BigInt(items.length))
    for (const item of items) put(item)
  }
  align(to: number): void {
    this.raw(new Uint8Array(Math.ceil(this.length / to) * to - this.length))
  }
  done(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.length)
    let at = 0
    for (const part of this.#parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
}

function putValue(out: Bytes, value: Datum): void {
  if (typeof value === "string") {
    out.u32(8)
    out.text(value)
  } else if (typeof value === "boolean") {
    out.u32(7)
    out.u8(Number(value))
  } else if (typeof value === "number") {
    out.u32(4)
    out.u32(value)
  } else if ("f32" in value) {
    out.u32(6)
    out.f32(value.f32)
  } else if ("u64" in value) {
    out.u32(10)
    out.u64(value.u64)
  } else if ("value" in value) {
    out.u32(numberTypes[value.type])
    out.number(value.type, value.value)
  } else if ("list" in value) out.list(numberTypes[value.type], value.list, (item) => out.number(value.type, item))
  else if ("strings" in value) out.list(8, value.strings, (s) => out.text(s))
  else if ("f32s" in value) out.list(6, value.f32s, out.f32)
  else if ("i32s" in value) out.list(5, value.i32s, out.i32)
  else out.list(7, value.flags, (flag) => out.u8(Number(flag)))
}

export function writeGguf({
  metadata,
  tensors,
  alignment = 32,
  version = 3,
  counts,
}: GgufToWrite): Uint8Array<ArrayBuffer> {
  const out = new Bytes()
  out.raw(new TextEncoder().encode("GGUF"))
  out.u32(version)
  out.u64(counts?.tensors ?? BigInt(tensors.length))
  out.u64(counts?.pairs ?? BigInt(metadata.length))
  for (const [key, value] of metadata) {
    out.text(key)
    putValue(out, value)
  }
  let offset = 0
  const places = tensors.map(({ data }) => {
    const at = offset
    offset = Math.ceil((at + data.length) / alignment) * alignment
    return at
  })
  tensors.forEach((tensor, i) => {
    out.text(tensor.name)
    out.u32(tensor.shape.length)
    for (const extent of [...tensor.shape].reverse()) out.u64(BigInt(extent))
    out.u32(tensor.type)
    out.u64(tensor.offset ?? BigInt(places[i]!))
  })
  out.align(alignment)
  for (const { data } of tensors) {
    out.raw(data)
    out.align(alignment)
  }
  return out.done()
}
