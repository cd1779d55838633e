/** Runs one hand-built loop kernel on a device made for it: arrays in, arrays out. */
import { add, fetch, literal, mul, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type DType, roundTo } from "../../compiler/ir/operations.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"

export type Data = Float32Array | Int32Array | Uint32Array | Uint16Array

export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

export function arrayOf(storage: Storage, values: readonly number[]): Data {
  if (storage === "f32") return Float32Array.from(values)
  if (storage === "i32") return Int32Array.from(values)
  return storage === "bf16" || storage === "f16" ? Uint16Array.from(values) : Uint32Array.from(values)
}

export const buffer = (
  name: string,
  storage: Storage,
  size: number,
  access: LoopBuffer["access"] = "read",
): LoopBuffer => ({
  name,
  dtype: storage === "bf16" || storage === "f16" ? "f32" : storage,
  storage,
  size: literal(size),
  access,
})

export const serial = (name: string, extent: Expression | number, body: readonly Statement[]): Statement => ({
  kind: "for",
  variable: name,
  extent: typeof extent === "number" ? literal(extent) : extent,
  bind: "serial",
  body,
})
export const bound = (
  bind: "grid" | "lane" | "unroll",
  name: string,
  extent: Expression | number,
  body: readonly Statement[],
): Statement => ({
  ...(serial(name, extent, body) as Extract<Statement, { kind: "for" }>),
  bind,
})
export const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
export const bind = (name: string, value: Expression, mutable = false): Statement => ({
  kind: "let",
  name,
  value,
  mutable,
})

/** A kernel of one lane whose grid runs `body` for `g`. */
export const kernelOf = (
  buffers: readonly LoopBuffer[],
  groups: number | Expression,
  body: readonly Statement[],
  more: Partial<LoopKernel> = {},
): LoopKernel => ({
  name: "kernel",
  buffers,
  symbols: [],
  threads: 1,
  groups: typeof groups === "number" ? groups : 8,
  body: [bound("grid", "g", groups, body)],
  ...more,
})

export interface RunOptions {
  readonly symbols?: Readonly<Record<string, number>>
  readonly threads?: number
}

/** The contents of all buffers after one run; `inputs` by name, zeros where none is given. */
export async function run(kernel: LoopKernel, inputs: Readonly<Record<string, Data>>, options: RunOptions = {}) {
  const device = await createWasmDevice({ threads: options.threads ?? 1, shareFrom: 0 })
  try {
    const { module, kernels, symbols } = emitWasm([kernel])
    const scratch = kernels[0]!.scratch
    const made = { name: kernel.name, source: "", bindings: kernel.buffers, threads: kernel.threads, scratch }
    const [compiled] = await device.compile({ kernels: [made], module }, symbols.length)
    const buffers = kernel.buffers.map((b) => {
      const bytes = (b.storage === "bf16" || b.storage === "f16" ? 2 : 4) * (b.size as { value: number }).value
      const made = device.allocate(bytes, b.name)
      const data = inputs[b.name]
      if (data !== undefined) device.upload(made, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      return made
    })
    const values = Int32Array.from(symbols, (s) => options.symbols?.[s] ?? 0)
    device.submit([device.record([{ kernel: compiled!, buffers, groups: kernel.groups }])], values)
    const out: Record<string, Data> = {}
    for (const [i, b] of kernel.buffers.entries()) {
      const { buffer: bytes } = await device.read(buffers[i]!, 0, buffers[i]!.bytes)
      const Type = {
        f32: Float32Array,
        i32: Int32Array,
        u32: Uint32Array,
        bool: Uint32Array,
        bf16: Uint16Array,
        f16: Uint16Array,
      }
      out[b.name] = new Type[b.storage](bytes as ArrayBuffer)
    }
    return out
  } finally {
    device.dispose()
  }
}

/** out[i] = expression(inputs[i]) for all i, `width` at a time. */
export async function elementwise(
  inputs: readonly { readonly dtype: DType; readonly values: readonly number[] }[],
  result: DType,
  width: number,
  expression: (...args: Expression[]) => Expression,
) {
  const size = inputs[0]!.values.length
  const at = mul(variable("g"), literal(width))
  const buffers = [...inputs.map((x, i) => buffer(`in${i}`, x.dtype, size)), buffer("out", result, size, "write")]
  const args = inputs.map((x, i) => fetch(`in${i}`, at, x.dtype, width))
  const kernel = kernelOf(buffers, size / width, [store("out", at, expression(...args))])
  const data = Object.fromEntries(inputs.map((x, i) => [`in${i}`, arrayOf(x.dtype, x.values)]))
  return (await run(kernel, data)).out!
}

/** Random and boundary values of a dtype. */
export function samples(dtype: DType, count: number, random: () => number): number[] {
  const edges: Readonly<Record<DType, readonly number[]>> = {
    f32: [0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1e-40, 2147483648, -2147483648, 4294967296, 1e10, 16777217, NaN, Infinity, -Infinity, 131072, 16777215, 262144.5, 1e30, 88, 89, -104],
    i32: [0, 1, -1, 2, -2, 7, -7, 31, 32, 33, 2147483647, -2147483648, -2147483647, 65535, 65536],
    u32: [0, 1, 2, 7, 31, 32, 33, 2147483647, 2147483648, 4294967295, 65535, 65536],
    bool: [0, 1],
  } // biome-ignore format: a table
  const value = () => {
    if (random() < 0.3) return edges[dtype][Math.floor(random() * edges[dtype].length)]!
    if (dtype === "f32")
      return random() < 0.5 ? (random() - 0.5) * 20 : (random() < 0.5 ? -1 : 1) * 2 ** (random() * 80 - 40)
    if (dtype === "bool") return Number(random() < 0.5)
    return roundTo(dtype, random() < 0.5 ? random() * 40 - 20 : random() * 2 ** 32)
  }
  return Array.from({ length: count }, () => roundTo(dtype, value()))
}

export const offset = (base: Expression, n: number) => add(base, literal(n))
