import { expect, test } from "vitest"
import {
  add,
  apply,
  component,
  literal,
  load,
  localRead,
  reduce,
  symbol,
  variable,
} from "../../compiler/ir/expression.js"
import type { Item, Kernel } from "../../compiler/ir/kernel.js"
import { max, product, sum } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import type { Axis } from "../../compiler/ir/tensor.js"

const axis = (name: string, extent: number | Expression): Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const rows = symbol("rows", 64, 1)
const kernel = (...items: Item[]): Kernel => ({
  name: "scores",
  buffers: [
    { name: "x", dtype: "f32", storage: "bf16", shape: [64, 32] },
    { name: "y", dtype: "f32", storage: "f32", shape: [64, 32] },
  ],
  items,
  spans: [
    { file: "layers.ts", line: 1, column: 1 },
    { file: "model.ts", line: 12, column: 9 },
  ],
})
const [r, k, c] = [variable("r"), variable("k"), variable("c")]

test("locals, stores, and places", () => {
  const m = reduce("c", literal(32), max, [load("x", [variable("row"), c], "f32")])
  const value = apply("sub", load("x", [r, k], "f32"), localRead("m", [r], "f32"))
  const text = printKernel(
    kernel(
      { kind: "local", name: "m", axes: [axis("row", rows)], value: m },
      { kind: "store", buffer: "y", axes: [axis("r", rows), axis("k", 32)], index: [r, k], value },
      {
        kind: "store",
        buffer: "y",
        axes: [],
        index: [literal(0), add(rows, literal(1))],
        value: literal(1, "f32"),
      },
    ),
  )
  expect(`\n${text}`).toBe(`
kernel scores(x: f32 as bf16 [64, 32], y: f32 [64, 32])   at model.ts:12:9
  local m[row < rows]: f32 = max_{c < 32}(x[row, c])
  store y[r, k] over r < rows, k < 32 = (x[r, k] - m{r})
  store y[0, (rows + 1)] = 1.0`)
})

test("what is used more than once is numbered; a tuple is read by component", () => {
  const x = load("x", [r, c], "f32")
  const both = reduce("c", literal(32), product(sum, max), [x, x]) as Reduce
  const value = apply("add", apply("mul", component(both, 0), component(both, 1)), component(both, 1))
  let deep: Expression = load("x", [r, k], "f32")
  for (let i = 0; i < 40; i++) deep = apply("mul", deep, apply("exp", deep))
  const text = printKernel(
    kernel(
      { kind: "store", buffer: "y", axes: [axis("r", rows)], index: [r, literal(0)], value },
      {
        kind: "store",
        buffer: "y",
        axes: [axis("r", rows), axis("k", 32)],
        index: [r, k],
        value: deep,
      },
    ),
  )
  const lines = text.split("\n")
  expect(lines[1]).toBe("  #1 = (sum × max)_{c < 32}(x[r, c], x[r, c])")
  expect(lines[2]).toBe("  store y[r, 0] over r < rows = ((#1 * #1.1) + #1.1)")
  expect(lines.length).toBeLessThan(50)
  expect(text.length).toBeLessThan(3000)
})
