/** Schedules that hold too much give way to those that hold less, before they give up holding anything. */
import { expect, test } from "vitest"
import { literal, load, localRead, mul, reduce, symbol, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { targetFor } from "../../compiler/targets/target.js"

/** y[row, column] = ∏ of `count` sums over k, each of operands of its own. */
function products(count: number): Kernel {
  const axis = (name: string): Axis => ({ name, extent: literal(64) })
  const [row, column] = [axis("row"), axis("column")]
  const buffers: KernelBuffer[] = []
  const place = () => {
    buffers.push({ name: `b${buffers.length}`, dtype: "f32", storage: "f32", shape: [64, 64] })
    return buffers.at(-1)!.name
  }
  const folds = Array.from({ length: count }, (_, i) => {
    const k = `k${i}`
    const of = (outer: Axis) => load(place(), [variable(outer.name), variable(k)], "f32")
    return reduce(k, literal(64), sum, [mul(of(row), of(column))])
  })
  return {
    name: "products",
    items: [
      {
        kind: "store",
        axes: [row, column],
        index: [variable("row"), variable("column")],
        value: folds.reduce<Expression>((a, b) => mul(a, b), literal(1, "f32")),
        buffer: place(),
      },
    ],
    buffers,
    spans: [],
  }
}

test.each([
  [1, 32],
  [3, 16],
  [4, 16],
])("%i products of 64 by 64 hold chunks of %i", (count, chunk) => {
  const { schedule, tile } = targetFor("webgpu", { subgroupSize: 32, workgroupBytes: 49152 })
  withTable(() => {
    const found = firstPossible(products(count), schedule, tile)
    if ("code" in found) throw new Error(found.why)
    const [store] = found.schedule.stores
    expect(Object.values(store!.reduce).map((r) => r.chunk)).toEqual(Array(count).fill(chunk))
    expect(Object.keys(store!.staged ?? {})).toHaveLength(2 * count)
  })
})

/** y[row, column] = Σ_k(2 · x[row, k] · w[column, k]), where a block makes rows of 2 · x first. */
function rowsFirst(): Kernel {
  const rows: Axis = { name: "row", extent: symbol("rows", 128, 128) }
  const own: Axis = { name: "own", extent: rows.extent }
  const [i, j, k] = [variable("row"), variable("column"), variable("k")]
  const buffer = (name: string, shape: number[]): KernelBuffer => ({ name, dtype: "f32", storage: "f32", shape })
  const doubled = mul(literal(2, "f32"), load("x", [variable("own"), variable("place")], "f32"))
  const product = mul(localRead("doubled", [i, k], "f32"), load("w", [j, k], "f32"))
  return {
    name: "rows",
    items: [
      { kind: "local", name: "doubled", axes: [own, { name: "place", extent: literal(4352) }], value: doubled },
      {
        kind: "store",
        axes: [rows, { name: "column", extent: literal(8) }],
        index: [i, j],
        value: reduce("k", literal(4352), sum, [product]),
        buffer: "y",
      },
    ],
    buffers: [buffer("x", [128, 4352]), buffer("w", [8, 4352]), buffer("y", [128, 8])],
    spans: [],
  }
}

test("fewer lanes have fewer points, where a block cannot hold what all of theirs need", () => {
  const { schedule, tile } = targetFor("webgpu", { subgroupSize: 16, workgroupBytes: 32768 })
  withTable(() => {
    // 256 lanes are 16 groups, which take the eight columns of two rows of 17 KiB.
    expect(chooseSchedule(rowsFirst(), schedule).stores[0]!.tile).toMatchObject({ row: { block: 2 } })
    const found = firstPossible(rowsFirst(), schedule, tile)
    if ("code" in found) throw new Error(found.why)
    expect(found.schedule).toMatchObject({ threads: 128, stores: [{ tile: { row: { block: 1 } } }] })
  })
})
