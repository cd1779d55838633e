/** Rows that are rounded to integers where weights are in formats: what becomes of a product, how far it is from the one in f32, and what is left alone. */
import { describe, expect, test } from "vitest"
import { randomPlanes } from "../../cli/bench/random-formats.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { literal, mul, variable, withTable } from "../../compiler/ir/expression.js"
import { sum } from "../../compiler/ir/monoid.js"
import { operation } from "../../compiler/ir/operations.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { planesOf } from "../../compiler/ir/tensor/planes.js"
import * as ir from "../../compiler/ir/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { unpack } from "../../compiler/tensor/unpack.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { halfNumber } from "../../runtime/weights/half.js"
import { runs, seed } from "../laws/settings.js"

/** Marsaglia's xorshift (2003): numbers from 0 to 2^32. */
function randomWords(start: number): () => number {
  let state = (start * 2654435761 + 1) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

interface Shape {
  readonly rows: number
  /** Of the weights: matrices, one of which each row chooses; none where there is one. */
  readonly stack?: number
  readonly out: number
  /** One axis or two, which the weights are summed up over. */
  readonly columns: readonly number[]
}

const axis = (name: string, extent: number): ir.Axis => ({ name, extent: literal(extent) })
const f = (i: number) => variable(`$${i}`, "f32")
const volume = (list: readonly number[]) => list.reduce((n, x) => n * x, 1)

/** Σ x[s, k…] · w[o, k…], or with w[choice[s], o, k…]. */
function product(format: string, { rows, stack, out, columns }: Shape) {
  const names = columns.map((extent, i) => axis(`k${i}`, extent))
  const s = axis("s", rows)
  const x = ir.input("x", "input", [s, ...names], "f32", "f32", [rows, ...columns])
  const packed = {
    format: formatNamed(format)!,
    stacked: stack === undefined ? 0 : 1,
    columns: columns.length,
  } as const
  const axes = [...(stack === undefined ? [] : [axis("e", stack)]), axis("o", out), ...names]
  const capacity = axes.map((a) => (a.extent as { value: number }).value)
  const stored = ir.input("w", "weight", axes, "f32", "f32", capacity, { packed })
  const choice = ir.input("choice", "input", [s], "i32", "i32", [rows])
  const w = stack === undefined ? stored : ir.gather(stored, "e", choice)
  const term: ir.Tensor = ir.map(mul(f(0), f(1)), [x, w])
  const root = names.reduceRight<ir.Tensor>((t, a) => ir.reduce(sum, a.name, [t]), term)
  return { root, stored, shape: [volume(capacity) / volume(columns), volume(columns)] }
}

const dense = (axes: readonly ir.Axis[], dtype: Dense["dtype"], data: Float64Array): Dense => ({
  axes: axes.map((a) => ({ name: a.name, extent: (a.extent as { value: number }).value })),
  dtype,
  data,
})

/** The planes of canonical bytes as what their inputs hold. */
function planes(stored: ir.Input, shape: readonly number[], bytes: Uint8Array): Map<string, Dense> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const layouts = planeLayout(stored.packed!.format, shape)
  return new Map(
    planesOf(stored).map((input, i) => {
      const { offset, byteLength, storage } = layouts[i]!
      const each = storage === "f16" || storage === "bf16" ? 2 : 4
      const numberAt = (at: number) => {
        if (storage === "u32") return view.getUint32(at, true)
        if (storage === "f32") return view.getFloat32(at, true)
        const bits = view.getUint16(at, true)
        return storage === "f16" ? halfNumber(bits) : operation("fromBits").evaluate("u32", bits << 16)
      }
      const data = Float64Array.from({ length: byteLength / each }, (_, j) => numberAt(offset + j * each))
      return [input.name, dense(input.axes, input.dtype, data)]
    }),
  )
}

/** The results of a product with random weights and these rows, and what to compare them with. */
function results(format: string, shape: Shape, x: Float64Array, next: () => number) {
  const { rows, stack = 1, out, columns } = shape
  const depth = volume(columns)
  return withTable(() => {
    const { root, stored, shape: whole } = product(format, shape)
    const of = stored.packed!.format
    const bytes = randomPlanes(of, whole, next())(0, new Uint8Array(formatBytes(of, whole)))
    const w = decodeTensor(of, whole, bytes)
    const choice = Float64Array.from({ length: rows }, () => next() % stack)
    const made = unpack([root], new Map(), true)
    expect(verifyTensor(made)).toEqual([])
    expect(printTensor(made)).toContain("dot2")
    const inputs = new Map<string, Dense>([
      ...planes(stored, whole, bytes),
      ["x", dense([axis("s", rows), ...columns.map((n, i) => axis(`k${i}`, n))], "f32", x)],
      ["choice", dense([axis("s", rows)], "i32", choice)],
    ])
    const [found] = interpretTensor(made, inputs, new Map())
    expect(found!.axes.map((a) => a.name)).toEqual(root.axes.map((a) => a.name))
    const weight = (row: number, o: number, k: number) => w[((stack === 1 ? 0 : choice[row]!) * out + o) * depth + k]!
    return { data: found!.data, depth, weight }
  })
}

/** What a code of each block of a row is, and the row as its codes have it. */
function rounded(row: Float64Array) {
  const units = Array.from({ length: row.length / 32 }, (_, g) => {
    const peak = row.subarray(32 * g, 32 * g + 32).reduce((a, b) => Math.max(a, Math.abs(b)), 0)
    return peak / 127
  })
  return { units, values: row.map((v, k) => units[k >> 5]! * Math.round(v / (units[k >> 5]! || 1))) }
}

const formats = [
  "q8_0",
  "q4_0",
  "q4_1",
  "q4_k",
  "int4-g128",
  "int8-g32-bf16",
  "int4-g64-symmetric",
  "q8_0-wide",
  "q4_k-wide",
]
const shapes: readonly Shape[] = [
  { rows: 3, out: 16, columns: [256] },
  { rows: 2, out: 24, columns: [4, 128] },
  { rows: 5, stack: 3, out: 16, columns: [256] },
  { rows: 1, stack: 2, out: 20, columns: [8, 64] },
]

test.each(formats)("%s: sums of codes, within what rounding loses of the sums in f32", (format) => {
  const next = randomWords(seed)
  for (let n = 0; n < runs(shapes.length); n++) {
    const shape = shapes[n % shapes.length]!
    const depth = volume(shape.columns)
    const x = Float64Array.from({ length: shape.rows * depth }, () => {
      const size = 2 ** ((next() % 12) - 6)
      return Math.fround((next() / 2 ** 31 - 1) * size)
    })
    const { data, weight } = results(format, shape, x, next)
    for (let row = 0; row < shape.rows; row++) {
      const own = x.subarray(row * depth, (row + 1) * depth)
      const { units, values } = rounded(own)
      // An element between two codes may be rounded to the other one.
      const between = own.some((v, k) => Math.abs((Math.abs(v / units[k >> 5]!) % 1) - 0.5) < 1e-4)
      let [worst, worstOfCodes] = [0, 0]
      for (let o = 0; o < shape.out; o++) {
        let [exact, coded, all, lost] = [0, 0, 0, 0]
        for (let k = 0; k < depth; k++) {
          const w = weight(row, o, k)
          exact += own[k]! * w
          coded += values[k]! * w
          all += Math.abs(values[k]! * w)
          lost += 0.5 * units[k >> 5]! * Math.abs(w)
        }
        const found = data[row * shape.out + o]!
        worst = Math.max(worst, Math.abs(found - exact) / (lost + all * 2 ** -10))
        worstOfCodes = Math.max(worstOfCodes, Math.abs(found - coded) / all)
      }
      expect(worst).toBeLessThanOrEqual(1.001)
      if (!between) expect(worstOfCodes).toBeLessThanOrEqual(1e-4)
    }
  }
})

test("a row of zeros is 0; one with a NaN or an infinity is no finite number, and others stay what they are", () => {
  const next = randomWords(5)
  const [rows, depth] = [6, 64]
  const x = Float64Array.from({ length: rows * depth }, (_, i) => Math.fround(Math.cos(i)))
  x.fill(0, depth, 2 * depth)
  x[2 * depth + 7] = Number.NaN
  x[3 * depth + 40] = Number.NEGATIVE_INFINITY
  for (let k = 4 * depth; k < 5 * depth; k++) x[k] = Math.fround(x[k]! * 2 ** -126)
  for (const format of ["q8_0", "q4_1"]) {
    const { data } = results(format, { rows, out: 16, columns: [depth] }, x, next)
    const row = (i: number) => [...data.subarray(16 * i, 16 * i + 16)]
    expect(row(0).every((v) => Number.isFinite(v) && v !== 0)).toBe(true)
    expect(row(1).every((v) => v === 0)).toBe(true)
    expect(row(2).some(Number.isFinite)).toBe(false)
    expect(row(3).some(Number.isFinite)).toBe(false)
    expect(row(4).every((v) => Math.abs(v) < 2 ** -100)).toBe(true)
    expect(row(5).every((v) => Number.isFinite(v) && v !== 0)).toBe(true)
  }
})

describe("what is left alone", () => {
  const whole: Shape = { rows: 2, out: 16, columns: [256] }
  const text = (format: string, shape: Shape, integers = true) =>
    withTable(() => printTensor(unpack([product(format, shape).root], new Map(), integers)))

  test.each(["q6_k", "q5_0", "iq4_nl", "iq4_xs", "fp8-row", "int4-g32-ordered"])("%s", (format) => {
    expect(text(format, whole)).not.toContain("dot2")
  })

  test("few columns, and everything where integers are not asked for", () => {
    expect(text("q8_0", { ...whole, out: 15 })).not.toContain("dot2")
    expect(text("q8_0", whole, false)).not.toContain("dot2")
    expect(text("q8_0", whole)).toContain("dot2")
  })
})
