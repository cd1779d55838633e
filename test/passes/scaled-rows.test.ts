/** Rows that are scaled into the range of f16: what becomes of a product, and that no x leaves the range or loses what matters. */
import { expect, test } from "vitest"
import { interpretTensor } from "../../compiler/interpret/tensor.js"
import { add, apply, literal, mul, variable, withTable } from "../../compiler/ir/expression.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { sum } from "../../compiler/ir/monoid.js"
import { roundToHalf } from "../../compiler/ir/operations.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { madeOnce, scaleRows, sumsOfSpans } from "../../compiler/tensor/scaled-rows.js"
import { scratchStorage } from "../../compiler/tensor/storage.js"

const axis = (name: string, extent: number): ir.Axis => ({ name, extent: literal(extent) })
const input = (name: string, storage: Storage, axes: readonly ir.Axis[]) =>
  ir.input(
    name,
    "weight",
    axes,
    "f32",
    storage,
    axes.map((a) => (a.extent as { value: number }).value),
  )
const f = (i: number) => variable(`$${i}`, "f32")
const times = (x: ir.Tensor, w: ir.Tensor) => ir.map(mul(f(0), f(1)), [x, w])
const sigmoid = (x: ir.Tensor) => ir.map(apply("tanh", f(0)), [x])

const dense = (axes: readonly ir.Axis[], data: Float64Array) => ({
  axes: axes.map((a) => ({ name: a.name, extent: (a.extent as { value: number }).value })),
  dtype: "f32" as const,
  data,
})

/** A product of computed rows; `storage` is that of what they are multiplied with. */
function product({ rows = 32, columns = 48, depth = 64, storage = "f16" as Storage } = {}) {
  const [s, o, k] = [axis("s", rows), axis("o", columns), axis("k", depth)]
  const x = sigmoid(input("x", "f32", [s, k]))
  return ir.reduce(sum, "k", [times(x, input("w", storage, [o, k]))])
}

test("computed rows are scaled by their largest element, stored in f16, and the sums are scaled back", () => {
  const text = withTable(() => {
    const made = scaleRows([product()])
    expect(verifyTensor(made)).toEqual([])
    const storage = scratchStorage(made, "fast")
    const halves = topological(made).filter((t) => t.kind !== "input" && storage(t) === "f16")
    expect(halves.map((t) => t.axes.map((a) => a.name))).toEqual([["s", "k"]])
    expect(scratchStorage(made, "exact")(halves[0]!)).toBe("f32")
    return printTensor(made)
  })
  expect(text).toMatch(/max_?\{?.*k/)
  expect(text).toContain("half(")
})

test("nested sums are scaled once, by the largest element of all that is added up", () => {
  withTable(() => {
    const [s, o, h, k] = [axis("s", 32), axis("o", 32), axis("h", 4), axis("k", 16)]
    const x = sigmoid(input("x", "f32", [s, h, k]))
    const inner = ir.reduce(sum, "k", [times(x, input("w", "f16", [o, h, k]))])
    const made = scaleRows([ir.reduce(sum, "h", [inner])])
    const peaks = topological(made).filter((t) => t.kind === "reduce" && t.monoid.kind === "max")
    expect(peaks.map((t) => t.axes.map((a) => a.name))).toEqual([["s", "h"], ["s"]])
    expect(made[0]).toMatchObject({ kind: "map" })
  })
})

test("long folds come in spans of one length, whose sums are kept in f32", () => {
  withTable(() => {
    const spansOf = (depth: number) => {
      const made = scaleRows([product({ depth })])
      expect(verifyTensor(made)).toEqual([])
      const order = topological(made)
      const sums = sumsOfSpans(order)
      for (const t of sums) expect(scratchStorage(made, "fast")(t)).toBe("f32")
      expect(madeOnce(order)).toEqual(expect.arrayContaining([...sums]))
      return sums.map((t) => t.axes.map((a) => (a.extent as { value: number }).value))
    }
    expect(spansOf(4096)).toEqual([])
    expect(spansOf(12288)).toEqual([[32, 3, 48]])
    expect(spansOf(11008)).toEqual([[32, 4, 48]])
    // 4,099 is a prime.
    const left = product({ depth: 4099 })
    expect(scaleRows([left])).toEqual([left])
  })
})

test("what is left alone: other storages, few rows or columns, short folds, squares, and what is in f16 on both sides", () => {
  withTable(() => {
    const [s, o, k] = [axis("s", 32), axis("o", 48), axis("k", 64)]
    const w = input("w", "f16", [o, k])
    const far = ir.reduce(sum, "k", [ir.map(add(f(0), f(1)), [input("x", "f32", [s, k]), w])])
    const both = ir.reduce(sum, "k", [times(input("x", "f16", [s, k]), w)])
    const alone = [
      product({ storage: "f32" }),
      product({ storage: "bf16" }),
      product({ rows: 16 }),
      product({ columns: 16 }),
      product({ depth: 15 }),
      far,
      both,
    ]
    for (const t of alone) expect(scaleRows([t])).toEqual([t])
  })
})

test("rows of any size keep eleven bits of what counts; a row with an infinity becomes NaN", () => {
  const [rows, columns, depth] = [32, 20, 24]
  const [s, o, k] = [axis("s", rows), axis("o", columns), axis("k", depth)]
  const sizes = [1, 3e38, 7e4, 1e-5, 2 ** -126, 0, 2 ** -149, 1e30]
  // Elements of a row are of all sizes below its largest.
  const x = Float64Array.from({ length: rows * depth }, (_, i) => {
    const [row, at] = [Math.floor(i / depth), i % depth]
    return Math.fround((sizes[row % sizes.length]! * Math.cos(i + 1)) / 2 ** (row >= 16 ? 2 * at : 0))
  })
  x[8 * depth + 3] = Number.POSITIVE_INFINITY
  const w = Float64Array.from({ length: columns * depth }, (_, i) => roundToHalf(Math.sin(7 * i)))
  const inputs = new Map([
    ["x", dense([s, k], x)],
    ["w", dense([o, k], w)],
  ])
  const found = withTable(() => {
    const made = scaleRows([ir.reduce(sum, "k", [times(input("x", "f32", [s, k]), input("w", "f16", [o, k]))])])
    expect(made[0]!.kind).toBe("map")
    return interpretTensor(made, inputs, new Map())[0]!
  })
  expect(found.axes.map((a) => a.name)).toEqual(["s", "o"])
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const terms = Array.from({ length: depth }, (_, i) => x[row * depth + i]! * w[column * depth + i]!)
      const [exact, all] = [terms.reduce((a, b) => a + b, 0), terms.reduce((a, b) => a + Math.abs(b), 0)]
      const peak = x.subarray(row * depth, (row + 1) * depth).reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      const value = found.data[row * columns + column]!
      if (row === 8) expect(value).toBeNaN()
      else if (Math.abs(exact) < 2 ** 127)
        expect(Math.abs(value - exact)).toBeLessThanOrEqual(2 ** -11 * all + 2 ** -36 * depth * peak + 2 ** -125)
    }
})

test("sums of spans add up to the whole fold", () => {
  const [s, o, k] = [axis("s", 17), axis("o", 17), axis("k", 4112)]
  const x = Float64Array.from({ length: 17 * 4112 }, (_, i) => ((i * 7919) % 17) - 8)
  const w = Float64Array.from({ length: 17 * 4112 }, (_, i) => ((i * 104729) % 13) - 6)
  const inputs = new Map([
    ["x", dense([s, k], x)],
    ["w", dense([o, k], w)],
  ])
  const found = withTable(() => {
    const made = scaleRows([ir.reduce(sum, "k", [times(input("x", "f32", [s, k]), input("w", "f16", [o, k]))])])
    expect(sumsOfSpans(topological(made))).toHaveLength(1)
    return interpretTensor(made, inputs, new Map())[0]!.data
  })
  for (let row = 0; row < 17; row++)
    for (let column = 0; column < 17; column++) {
      const terms = Array.from({ length: 4112 }, (_, i) => x[row * 4112 + i]! * w[column * 4112 + i]!)
      const all = terms.reduce((a, b) => a + Math.abs(b), 0)
      const exact = terms.reduce((a, b) => a + b, 0)
      expect(Math.abs(found[row * 17 + column]! - exact)).toBeLessThan(2 ** -11 * all)
    }
})
