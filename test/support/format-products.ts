/**
 * Products of few rows with weights in a format, as kernels: y[s, o] = Σ_k x[s, k] · w[o, k], w decoded where it is read.
 *
 *   formatProduct({ format: "q4_k", rows: 1, out: 64, depth: 512 })
 */
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { add, apply, literal, load, mul, reduce, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { expressions, fieldOf, fieldsOfWord } from "../../compiler/ir/tensor/formats.js"
import type { Plane } from "../../runtime/weights/formats/format.js"
import { storageOf } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { scrambled } from "../laws/choices.js"

export interface FormatShape {
  /** A format's name, or a storage. */
  readonly format: string
  readonly rows: number
  readonly out: number
  /** Of the folded axes, the last one in order in memory. */
  readonly depth: readonly number[]
  /** Folds side by side: silu(first) · second. */
  readonly folds?: 1 | 2
  readonly x?: Storage
  readonly y?: Storage
  /** Whether x is scaled by a row that all share. */
  readonly scaled?: boolean
  /** Rows of other weights, whose products with the same x are stored by the same kernel. */
  readonly beside?: number
}

const ceil = (x: number, y: number) => Math.ceil(x / y)
const div = (x: Expression, by: number) => (by === 1 ? x : apply("floordiv", x, literal(by)))

/** A weight at a row, column k. */
function weight(
  name: string,
  format: string,
  o: Expression,
  out: number,
  depth: number,
  k: Expression,
  buffers: KernelBuffer[],
): Expression {
  const known = formatNamed(format)
  if (known === undefined) {
    buffers.push({ name, dtype: "f32", storage: format as Storage, shape: [out, depth] })
    return load(name, [o, k], "f32")
  }
  const field = (plane: Plane): Expression => {
    const per = plane.per === "row" ? depth : plane.per
    const inWord = fieldsOfWord(plane)
    const height = plane.rows === "all" ? out : plane.rows
    const storage = storageOf(plane.field) as Storage
    const dtype = storage === "u32" ? "u32" : "f32"
    const words = ceil(ceil(depth, per), inWord)
    const buffer = `${name}_${plane.name}`
    const order = <T>(row: T, column: T) => (plane.across ? [column, row] : [row, column])
    buffers.push({ name: buffer, dtype, storage, shape: order(plane.shared ? 1 : ceil(out, height), words) })
    const row = plane.shared || height >= out ? literal(0) : div(o, height)
    const word = load(buffer, order(row, per * inWord >= depth ? literal(0) : div(k, per * inWord)), dtype)
    const at = apply("floormod", per >= depth ? literal(0) : div(k, per), literal(inWord))
    return storage === "u32" ? fieldOf(plane, word, at) : word
  }
  return known.decode(expressions, Object.fromEntries(known.planes.map((p) => [p.name, field(p)])))
}

export function formatProduct(shape: FormatShape): Kernel {
  const { format, rows, out, depth, folds = 1, x = "bf16", y = "f32", scaled = false, beside = 0 } = shape
  const all = depth.reduce((n, d) => n * d, 1)
  const buffers: KernelBuffer[] = [{ name: "x", dtype: "f32", storage: x, shape: rows > 1 ? [rows, all] : [all] }]
  if (scaled) buffers.push({ name: "g", dtype: "f32", storage: "f32", shape: [all] })
  /** Sums of products with rows of weights: of rows s of x with rows o of w, and what they are called elsewhere. */
  const storeOf = (to: string, out: number, [s, o, fold, w]: readonly [string, string, string, string]): Store => {
    const names = depth.map((_, i) => `${fold}${i}`)
    const k = names.reduce<Expression>((sum, n, i) => add(mul(sum, literal(depth[i]!)), variable(n)), literal(0))
    const row: Expression = load("x", rows > 1 ? [variable(s), k] : [k], "f32")
    const left = scaled ? mul(row, load("g", [k], "f32")) : row
    const made = Array.from({ length: folds }, (_, i) =>
      names.reduceRight<Expression>(
        (value, n, j) => reduce(n, literal(depth[j]!), sum, [value]),
        mul(left, weight(`${w}${i}`, format, variable(o), out, all, k, buffers)),
      ),
    )
    const value = made.length === 1 ? made[0]! : apply("sub", apply("max", made[0]!, literal(0, "f32")), made[1]!)
    buffers.push({ name: to, dtype: "f32", storage: y, shape: rows > 1 ? [rows, out] : [out] })
    const axes = [...(rows > 1 ? [{ name: s, extent: literal(rows) }] : []), { name: o, extent: literal(out) }]
    return { kind: "store", buffer: to, axes, index: axes.map((a) => variable(a.name)), value }
  }
  const first = storeOf("y", out, ["s", "o", "k", "w"])
  const items = beside > 0 ? [first, storeOf("z", beside, ["t", "p", "l", "v"])] : [first]
  return { name: `${format.replaceAll("-", "_")}_${rows}_${out}_${all}`, spans: [], buffers, items }
}

/** Bits of words that are kept, and set: scales of integers, and numbers of 8 bits, stay so small that sums of hundreds are what f32 holds. */
function bitsOf(buffer: string, format: string, rows: number): readonly [kept: number, set: number] {
  const plane = formatNamed(format)?.planes.find((p) => buffer.endsWith(`_${p.name}`))
  if (plane?.field === "e4m3") return [0x9f9f9f9f, 0]
  const isScale = plane !== undefined && plane.per !== 1
  // Weights of several rows are rounded to halves.
  return isScale ? [rows > 1 ? 0 : 0x03030303, 0x01010101] : [0xffffffff, 0]
}

/** Random words, and small numbers where scales are: sums are integers, or have few bits. Some of x need 9 bits. */
export function formatMemories(kernel: Kernel, { format, rows }: FormatShape, seed: number): Map<string, Memory> {
  return new Map(
    kernel.buffers.map((b, i): [string, Memory] => {
      const next = scrambled(seed + 31 * i)
      const memory = allocateBuffer(
        b.dtype,
        b.storage,
        b.shape.reduce((n, x) => n * x, 1),
      )
      const [kept, set] = bitsOf(b.name, format, rows)
      const rowOf = () => (b.storage === "f32" && next() % 32 === 0 ? 257 : (next() % 9) - 4)
      const value = () =>
        b.dtype === "u32" ? ((next() & kept) | set) >>> 0 : b.name === "x" ? rowOf() : 1 + (next() % 2)
      for (let at = 0; at < memory.size && b.name !== "y" && b.name !== "z"; at++) writeElement(memory, at, value())
      return [b.name, memory]
    }),
  )
}
