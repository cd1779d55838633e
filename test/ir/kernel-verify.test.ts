import { describe, expect, test } from "vitest"
import {
  add,
  apply,
  component,
  fetch,
  literal,
  load,
  localRead,
  reduce,
  scan,
  splat,
  symbol,
  variable,
} from "../../compiler/ir/expression.js"
import type { Item, Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { type Monoid, max, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"

const axis = (name: string, extent: number | Expression): Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const rows = symbol("rows", 64, 1)
const buffers: readonly KernelBuffer[] = [
  { name: "x", dtype: "f32", storage: "bf16", shape: [64, 32] },
  { name: "y", dtype: "f32", storage: "f32", shape: [64] },
  { name: "z", dtype: "f32", storage: "f32", shape: [64] },
]
const kernel = (items: readonly Item[], more: readonly KernelBuffer[] = []): Kernel => ({
  name: "k",
  buffers: [...buffers, ...more],
  items,
  spans: [],
})
const store = (value: Expression, change: Partial<Item & { kind: "store" }> = {}): Item => ({
  kind: "store",
  buffer: "y",
  axes: [axis("r", rows)],
  index: [variable("r")],
  value,
  ...change,
})
const local = (name: string, axes: Axis[], value: Expression): Item => ({ kind: "local", name, axes, value })
const problems = (...args: Parameters<typeof kernel>) =>
  verifyKernel(kernel(...args)).map((p) => `${p.code} ${p.message}`)

const r = variable("r")
const x = (i: Expression, j: Expression) => load("x", [i, j], "f32")
const row = (axisName: string, m: Monoid = sum) => reduce(axisName, literal(32), m, [x(r, variable(axisName))])
const one = literal(1, "f32")

test("a well-formed kernel has no problems", () => {
  const m = local("m", [axis("i", rows)], reduce("k", literal(32), max, [x(variable("i"), variable("k"))]))
  const shared = row("c")
  const ranks = reduce("t", literal(32), product(top(2), sum), [x(r, variable("t")), variable("t"), one]) as Reduce
  const value = apply("add", apply("mul", shared, localRead("m", [r], "f32")), component(ranks, 0, literal(1)))
  const z = store(apply("mul", scan("s", variable("q"), sum, [x(variable("q"), variable("s"))]), one), {
    buffer: "z",
    axes: [axis("q", rows)],
    index: [variable("q")],
  })
  expect(problems([m, store(value), z])).toEqual([])
})

describe("each problem", () => {
  const cases: readonly (readonly [string, string[]])[] = [
    ["kernel/name there are two buffers 'x'", problems([], [buffers[0]!])],
    ["kernel/name item 0 (store y): there is no buffer 'w'", problems([store(load("w", [r], "f32"))])],
    ["kernel/name item 0 (store w): there is no buffer 'w'", problems([store(one, { buffer: "w" })])],
    ["kernel/name item 0 (store y): there is no local 'm'", problems([store(localRead("m", [r], "f32"))])],
    ["kernel/name item 0 (local y): 'y' is a name already", problems([local("y", [], one)])],
    ["kernel/axis item 1 (store z): axis 'r' is bound twice", problems([store(one), store(one, { buffer: "z" })])],
    [
      "kernel/axis item 0 (store y): axis 'r' is bound twice",
      problems([store(reduce("r", literal(2), sum, [x(r, r)]))]),
    ],
    [
      "kernel/axis item 0 (store y): axis 'c' is bound inside of itself",
      problems([store(reduce("c", literal(2), sum, [apply("add", row("c"), row("c", max))]))]),
    ],
    ["kernel/free item 0 (store y): 'q' is not bound", problems([store(x(r, variable("q")))])],
    ["kernel/free item 0 (store y): 'q' is not bound", problems([store(one, { index: [variable("q")] })])],
    [
      "kernel/free item 0 (store y): the extent q of 'r' is not fixed",
      problems([store(one, { axes: [axis("r", variable("q"))] })]),
    ],
    [
      "kernel/order item 0 (store y): local 'm' is read before it is computed",
      problems([store(localRead("m", [r], "f32")), local("m", [axis("i", rows)], one)]),
    ],
    [
      "kernel/hazard item 1 reads 'y', which item 0 stores",
      problems([
        store(one),
        store(load("y", [variable("q")], "f32"), { buffer: "z", axes: [axis("q", rows)], index: [variable("q")] }),
      ]),
    ],
    ["kernel/arity item 0 (store y): 'x' has 2 axes and gets 1 indices", problems([store(load("x", [r], "f32"))])],
    ["kernel/arity item 0 (store y): 'y' has 1 axes and gets 0 indices", problems([store(one, { index: [] })])],
    [
      "kernel/arity item 1 (store y): local 'm' has 1 axes and gets 0 indices",
      problems([local("m", [axis("i", rows)], one), store(localRead("m", [], "f32"))]),
    ],
    ["kernel/arity item 0 (store y): top2 folds 2 values, not 1", problems([store({ ...row("c"), monoid: top(2) })])],
    [
      "kernel/arity item 0 (store y): component 0 of sum has no ranks",
      problems([store(component(row("c"), 0, literal(0)))]),
    ],
    [
      "kernel/dtype i32 of 'w' does not hold f32",
      problems([], [{ name: "w", dtype: "f32", storage: "i32", shape: [1] }]),
    ],
    ["kernel/dtype item 0 (store y): a i32 is stored in 'y', which is f32", problems([store(r)])],
    ["kernel/dtype item 0 (store y): 'y' is f32, not i32", problems([store(apply("toF32", load("y", [r], "i32")))])],
    ["kernel/dtype item 0 (store y): the index 1.0 of 'y' is f32", problems([store(one, { index: [one] })])],
    ["kernel/dtype item 0 (store y): 'r' is i32, not f32", problems([store(variable("r", "f32"))])],
    [
      "kernel/dtype item 0 (store y): the index of top2 is i32, not f32",
      problems([store(reduce("c", literal(3), top(2), [one, one]))]),
    ],
    ["kernel/node item 0 (store y): fetch has no place in a kernel", problems([store(fetch("x", r, "f32"))])],
    ["kernel/node item 0 (store y): splat has 4 lanes", problems([store(splat(one, 4))])],
    ["kernel/shape [-1] is no shape for 'w'", problems([], [{ name: "w", dtype: "f32", storage: "f32", shape: [-1] }])],
  ]
  for (const [i, [wanted, found]] of cases.entries()) test(`${i}: ${wanted}`, () => expect(found).toContain(wanted))
  test("an extent may depend on the axes around it", () => {
    expect(problems([store(reduce("c", add(r, literal(1)), sum, [x(r, variable("c"))]))])).toEqual([])
  })
})
