/** Constructors refuse ill-formed nodes, so the nodes here are written by hand or changed after they were made. */
import { describe, expect, test } from "vitest"
import { add, apply, fetch, literal, sub, symbol, variable } from "../../compiler/ir/expression.js"
import { max, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import * as ir from "../../compiler/ir/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"

const axis = (name: string, extent: number | Expression): ir.Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const [p, q] = [variable("$0", "f32"), variable("$1", "f32")]
const rows = symbol("rows", 8, 2)
const x = ir.input("x", "input", [axis("i", 2), axis("j", 3)], "f32", "f32", [2, 3])
const state = ir.input("s", "state", x.axes, "f32", "bf16", [2, 3])
const doubled = ir.map(apply("add", p, p), [x])
const total = ir.reduce(sum, "j", [x])
const ranks = ir.reduce(top(2), "j", [x], 1, "slot")
const at = (i: Expression, j: Expression) =>
  new Map([
    ["i", i],
    ["j", j],
  ])
const [i, j] = [variable("i"), variable("j")]

/** The problems of one changed node, as "code message". */
const problems = <T extends ir.Tensor>(t: T, change: Partial<T> = {}) =>
  verifyTensor([{ ...t, ...change } as ir.Tensor]).map((found) => `${found.code} ${found.message}`)

test("a well-formed program has no problems", () => {
  const read = ir.reindex(
    x,
    [axis("i", 2), axis("j", 3)],
    at(sub(literal(1), i), apply("floormod", add(j, literal(2)), literal(3))),
  )
  const layer = ir.unit("layer", [ir.input("u", "input", x.axes, "f32", "f32", [0, 0])], [x])
  const unit = { ...layer, results: [ir.map(apply("exp", p), [layer.inputs[0]!])] }
  expect(
    verifyTensor([
      read,
      ranks,
      ir.update(state, undefined, literal(0), doubled),
      ir.gather(x, "j", ranks),
      ir.call(unit, [x], 0),
    ]),
  ).toEqual([])
})

describe("each problem", () => {
  const cases: readonly (readonly [string, string[]])[] = [
    ["tensor/axes %0 (input): axis 'i' occurs twice", problems(x, { axes: [axis("i", 2), axis("i", 2)] })],
    ["tensor/axes %1 (map): axis 'k' comes from nowhere", problems(doubled, { axes: [...x.axes, axis("k", 1)] })],
    ["tensor/axes %1 (map): axis 'j' is lost", problems(doubled, { axes: [axis("i", 2)] })],
    ["tensor/axes %1 (reduce): there is no axis 'k' to reduce", problems(total, { axis: "k", axes: x.axes })],
    [
      "tensor/axes %1 (reduce): a top has a slot, others have none",
      problems(ranks, { slot: undefined, axes: [axis("i", 2)] }),
    ],
    ["tensor/axes %1 (scan): there is no axis 'k' to scan", problems(ir.scan(sum, "i", x), { axis: "k" })],
    ["tensor/extent %0 (input): '-1' is no extent for axis 'i'", problems(x, { axes: [axis("i", -1), axis("j", 3)] })],
    [
      "tensor/extent %1 (map): axis 'i' is 5 but its source has 2",
      problems(doubled, { axes: [axis("i", 5), axis("j", 3)] }),
    ],
    [
      "tensor/extent %2 (map): axis 'i' is 2 and 4",
      problems(ir.map(apply("add", p, q), [x, state]), {
        args: [x, { ...state, axes: [axis("i", 4), axis("j", 3)], capacity: [4, 3] }],
      }),
    ],
    ["tensor/extent %1 (reduce): 2 ranks in a slot of 3", problems(ranks, { axes: [axis("i", 2), axis("slot", 3)] })],
    ["tensor/dtype %0 (input): the value is f32, not i32", problems(x, { storage: "i32" })],
    [
      "tensor/dtype %0 (constant): 1e+39 is no f32",
      problems(ir.constant([axis("n", 2)], [0.1, 1], "f32"), { values: Float64Array.of(0.1, 1e39) }),
    ],
    [
      "tensor/dtype %0 (constant): 0.5 is no i32",
      problems(ir.constant([axis("n", 1)], [1], "i32"), { values: Float64Array.of(0.5) }),
    ],
    [
      "tensor/dtype %1 (map): '$0' is f32, not i32",
      problems(doubled, { args: [{ ...x, dtype: "i32", storage: "i32" }] }),
    ],
    ["tensor/dtype %1 (reduce): the value is f32, not i32", problems(ranks, { dtype: "f32" })],
    [
      "tensor/dtype %2 (gather): the index is f32, not i32",
      problems({ ...ir.gather(x, "j", ranks), index: total, axes: [axis("i", 2)] } as ir.Gather).filter((m) =>
        m.includes("index"),
      ),
    ],
    ["tensor/body %1 (map): '$1' is not bound", problems(doubled, { body: q })],
    [
      "tensor/body %1 (map): fetch has no place in a scalar body",
      problems(doubled, { body: fetch("a", literal(0), "f32") }),
    ],
    [
      "tensor/body %1 (reindex): the index (i * j) of 'i' is not quasi-affine",
      problems(ir.reindex(x, x.axes, at(literal(0), j)) as ir.Reindex, { index: at(apply("mul", i, j), j) }).filter(
        (m) => m.includes("affine"),
      ),
    ],
    [
      "tensor/index %1 (reindex): axis 'j' of 3 is read at 3, where j = 2",
      problems(ir.reindex(x, x.axes, at(i, add(j, literal(1))))),
    ],
    [
      "tensor/index %1 (reindex): axis 'j' has no index",
      problems(ir.reindex(x, x.axes, at(literal(0), j)) as ir.Reindex, { index: new Map([["i", i]]) }),
    ],
    [
      "tensor/arity %0 (constant): 2 numbers for 1 elements",
      problems(ir.constant([axis("n", 1)], [0.5], "f32"), { values: Float64Array.of(1, 2) }),
    ],
    ["tensor/arity %1 (reduce): sum has no component 1", problems(total, { component: 1 })],
    ["tensor/arity %1 (reduce): (sum × max) folds 2 values, not 1", problems(total, { monoid: product(sum, max) })],
    ["tensor/arity %0 (input): 1 capacities for 2 axes", problems(x, { capacity: [2] })],
    [
      "tensor/capacity %0 (input): axis 'i' may grow to 8 in memory for 7",
      problems(x, { axes: [axis("i", rows), axis("j", 3)], capacity: [7, 3] }),
    ],
    [
      "tensor/state %2 (update): only a state can be updated",
      problems(ir.update(state, undefined, literal(0), doubled), { state: { ...state, role: "weight" } }).map((m) =>
        m.replace("%3", "%2"),
      ),
    ],
    [
      "tensor/name %1 (input): there are two inputs 'x'",
      verifyTensor([x, { ...state, name: "x" }]).map((f) => `${f.code} ${f.message}`),
    ],
  ]
  for (const [wanted, found] of cases) test(wanted, () => expect(found).toContain(wanted))

  test("tensor/unit: a unit that captures, a result that is not there, an argument that does not fit", () => {
    const u = ir.input("u", "input", x.axes, "f32", "f32", [0, 0])
    const layer = ir.unit("layer", [u], [ir.map(apply("add", p, q), [u, x])])
    const good = ir.call(ir.unit("good", [u], [u]), [x], 0)
    expect(problems(ir.call(layer, [x], 0))).toEqual(["tensor/unit layer: %1 (input): 'x' is no input of the unit"])
    expect(problems(good, { result: 1 })).toEqual(["tensor/unit %1 (call): 'good' has no result 1"])
    expect(problems(good, { args: [] })).toEqual(["tensor/unit %0 (call): 'good' takes 1 arguments, not 0"])
    expect(problems(good, { args: [total] })).toEqual(["tensor/unit %2 (call): argument 0: axis 'j' is lost"])
  })
})

describe("index maps", () => {
  const shifted = (valid?: Expression) => ir.reindex(x, x.axes, at(i, sub(j, literal(1))), valid)
  test("are checked only where they are valid", () => {
    expect(problems(shifted())).toEqual(["tensor/index %1 (reindex): axis 'j' of 3 is read at -1, where j = 0"])
    expect(problems(shifted(apply("ge", j, literal(1))))).toEqual([])
  })
  test("of large domains are checked at the corners", () => {
    const big = ir.input("big", "input", [axis("n", 10_000)], "f32", "f32", [10_000])
    const merged = (rest: number) =>
      ir.reindex(
        big,
        [axis("a", 100), axis("b", 100)],
        new Map([["n", add(apply("mul", variable("a"), literal(100)), add(variable("b"), literal(rest)))]]),
      )
    expect(problems(merged(0))).toEqual([])
    expect(problems(merged(1))).toEqual([
      "tensor/index %1 (reindex): axis 'n' of 10000 is read at 10000, where a = 99, b = 99",
    ])
  })
  test("with symbols are left to the interpreter, and an empty domain reads nothing", () => {
    const last = ir.reindex(
      x,
      [axis("i", 2)],
      new Map([
        ["i", i],
        ["j", sub(rows, literal(1))],
      ]),
    )
    expect(problems(last)).toEqual([])
    expect(problems(ir.reindex(x, [axis("e", 0)], at(literal(5), literal(5))))).toEqual([])
  })
})
