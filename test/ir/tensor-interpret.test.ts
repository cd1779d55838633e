/** Every node of the tensor language on numbers that fit on a hand. */
import { describe, expect, test } from "vitest"
import { KernelFault } from "../../compiler/interpret/kernel-fault.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { add, apply, literal, mul, sub, symbol, variable } from "../../compiler/ir/expression.js"
import { argmax, max, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import * as ir from "../../compiler/ir/tensor.js"

const axis = (name: string, extent: number | Expression): ir.Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const input = (name: string, axes: ir.Axis[], dtype: DType = "f32", role: ir.InputRole = "input") =>
  ir.input(
    name,
    role,
    axes,
    dtype,
    dtype,
    axes.map(() => 8),
  )
const dense = (axes: Record<string, number>, data: number[], dtype: DType = "f32"): Dense => ({
  axes: Object.entries(axes).map(([name, extent]) => ({ name, extent })),
  dtype,
  data: Float64Array.from(data),
})
const of = (t: ir.Tensor, inputs: Record<string, Dense> = {}, symbols: Record<string, number> = {}): Dense =>
  interpretTensor([t], new Map(Object.entries(inputs)), new Map(Object.entries(symbols)))[0]!
const numbers = (...args: Parameters<typeof of>) => [...of(...args).data]

const [a, b] = [variable("$0", "f32"), variable("$1", "f32")]
const rows = symbol("rows", 8, 2)
const x = input("x", [axis("i", 2), axis("j", 3)])
const x23 = dense({ i: 2, j: 3 }, [1, 2, 3, 4, 5, 6])
const given = { x: x23 }
const at = (map: Record<string, Expression>) => new Map(Object.entries(map))

describe("nodes", () => {
  test("input: by name, in any order of axes", () => {
    expect(of(x, given)).toEqual(x23)
    expect(of(x, { x: dense({ j: 3, i: 2 }, [1, 4, 2, 5, 3, 6]) })).toEqual(x23)
  })
  test("constant and iota", () => {
    expect(numbers(ir.constant([axis("n", 3)], [1.5, -2, 0.1], "f32"))).toEqual([1.5, -2, Math.fround(0.1)])
    const zeros = [0, -0].map((zero) => ir.constant([axis("n", 1)], [zero], "f32"))
    expect(zeros.map((zero) => numbers(zero))).toEqual([[0], [-0]])
    expect(ir.constant([axis("n", 1)], [-0], "f32")).toBe(zeros[1])
    expect(of(ir.iota(axis("n", rows), add(rows, literal(5))), {}, { rows: 3 })).toEqual(
      dense({ n: 3 }, [8, 9, 10], "i32"),
    )
  })
  test("map: broadcasts by name, rounds after every operation", () => {
    const w = input("w", [axis("j", 3)])
    expect(numbers(ir.map(apply("mul", a, b), [x, w]), { ...given, w: dense({ j: 3 }, [1, 10, 100]) })).toEqual([
      1, 20, 300, 4, 50, 600,
    ])
    const tiny = apply("sub", apply("add", a, literal(2 ** -30, "f32")), a)
    expect(numbers(ir.map(tiny, [x]), given)).toEqual([0, 0, 0, 0, 0, 0])
    expect(numbers(ir.map(literal(2, "f32"), []))).toEqual([2])
  })
  test("reduce: sum in float64, max, an empty axis", () => {
    expect(numbers(ir.reduce(sum, "j", [x]), given)).toEqual([6, 15])
    expect(numbers(ir.reduce(max, "i", [x]), given)).toEqual([4, 5, 6])
    const y = input("y", [axis("n", rows)])
    const fold = ir.reduce(sum, "n", [y])
    expect(numbers(fold, { y: dense({ n: 3 }, [1, 2 ** -24, 2 ** -24]) }, { rows: 3 })).toEqual([1 + 2 ** -23])
    expect(numbers(fold, { y: dense({ n: 0 }, []) }, { rows: 0 })).toEqual([0])
  })
  test("reduce: argmax, top and products give components; ties go to the lowest index", () => {
    const y = input("y", [axis("i", 2), axis("j", 3)])
    const ties = { y: dense({ i: 2, j: 3 }, [1, 7, 7, 4, 4, -4]) }
    expect(of(ir.reduce(argmax, "j", [y], 1), ties)).toEqual(dense({ i: 2 }, [1, 0], "i32"))
    expect(numbers(ir.reduce(argmax, "j", [y], 0), ties)).toEqual([7, 4])
    expect(of(ir.reduce(top(2), "j", [y], 1, "j"), ties)).toEqual(dense({ i: 2, j: 2 }, [1, 2, 0, 1], "i32"))
    expect(numbers(ir.reduce(top(2), "j", [y], 0, "slot"), ties)).toEqual([7, 7, 4, 4])
    const pair = [0, 1].map((c) => ir.reduce(product(sum, max), "j", [x, y], c))
    const both = interpretTensor(pair, new Map(Object.entries({ ...given, ...ties })), new Map())
    expect(both.map((d) => [...d.data])).toEqual([
      [6, 15],
      [7, 4],
    ])
  })
  test("scan: an inclusive prefix along any axis", () => {
    expect(numbers(ir.scan(sum, "j", x), given)).toEqual([1, 3, 6, 4, 9, 15])
    expect(numbers(ir.scan(sum, "i", x), given)).toEqual([1, 2, 3, 5, 7, 9])
    expect(numbers(ir.scan(sum, "j", x, 2), given)).toEqual([1, 3, 3, 4, 9, 6])
    expect(numbers(ir.scan(max, "j", ir.map(apply("neg", a), [x])), given)).toEqual([-1, -1, -1, -4, -4, -4])
  })
  test("reindex: split, merge, reverse, and pad with a fill", () => {
    const flat = variable("f")
    const merged = ir.reindex(
      x,
      [axis("f", 6)],
      at({ i: apply("floordiv", flat, literal(3)), j: apply("floormod", flat, literal(3)) }),
    )
    expect(numbers(merged, given)).toEqual([1, 2, 3, 4, 5, 6])
    const back = ir.reindex(
      merged,
      [axis("p", 3), axis("q", 2)],
      at({ f: add(mul(variable("p"), literal(2)), variable("q")) }),
    )
    expect(of(back, given).axes).toEqual([
      { name: "p", extent: 3 },
      { name: "q", extent: 2 },
    ])
    const reverse = ir.reindex(
      x,
      [axis("j", 3), axis("i", 2)],
      at({ i: variable("i"), j: sub(literal(2), variable("j")) }),
    )
    expect(numbers(reverse, given)).toEqual([3, 6, 2, 5, 1, 4])
    const j = sub(variable("j"), literal(1))
    const inside = apply("and", apply("ge", j, literal(0)), apply("lt", j, literal(3)))
    expect(
      numbers(ir.reindex(x, [axis("i", 2), axis("j", 5)], at({ i: variable("i"), j }), inside, -1), given),
    ).toEqual([-1, 1, 2, 3, -1, -1, 4, 5, 6, -1])
  })
  test("gather: clamps its index, shares axes by name", () => {
    const index = input("index", [axis("s", 4)], "i32")
    const rowsOf = ir.gather(x, "j", index)
    expect(of(rowsOf, { ...given, index: dense({ s: 4 }, [2, -5, 9, 1], "i32") })).toEqual(
      dense({ s: 4, i: 2 }, [3, 6, 1, 4, 3, 6, 2, 5]),
    )
    const own = input("own", [axis("i", 2)], "i32")
    expect(numbers(ir.gather(x, "j", own), { ...given, own: dense({ i: 2 }, [2, 0], "i32") })).toEqual([3, 4])
  })
  test("update: the past and then the new, or the new alone", () => {
    const past = ir.input("past", "state", [axis("c", 2), axis("key", rows)], "f32", "bf16", [2, 8])
    const y = input("y", [axis("key", 1), axis("c", 2)])
    const inputs = { past: dense({ c: 2, key: 2 }, [1, 2, 3, 4]), y: dense({ key: 1, c: 2 }, [8, 9]) }
    const grown = ir.update(past, "key", rows, y, add(rows, literal(1)))
    expect(of(grown, inputs, { rows: 2 })).toEqual(dense({ c: 2, key: 3 }, [1, 2, 8, 3, 4, 9]))
    const empty = { ...inputs, past: dense({ c: 2, key: 0 }, []) }
    expect(numbers(grown, empty, { rows: 0 })).toEqual([8, 9])
    const inside = ir.update(past, "key", literal(0), y)
    expect(of(inside, inputs, { rows: 2 })).toEqual(dense({ c: 2, key: 2 }, [8, 2, 9, 4]))
    const state = ir.input("state", "state", x.axes, "f32", "f32", [2, 3])
    expect(
      numbers(ir.update(state, undefined, literal(0), ir.map(apply("neg", a), [x])), { ...given, state: x23 }),
    ).toEqual([-1, -2, -3, -4, -5, -6])
  })
  test("call: a unit over its placeholders, applied twice", () => {
    const p = input("p", x.axes as ir.Axis[])
    const w = input("w", [axis("j", 3)])
    const product2 = ir.map(apply("mul", a, b), [p, w])
    const layer = ir.unit(
      "layer",
      [p, w],
      [ir.map(apply("add", a, literal(1, "f32")), [product2]), ir.reduce(sum, "j", [p])],
    )
    const [w1, w2] = [input("w1", [axis("j", 3)]), input("w2", [axis("j", 3)])]
    const first = ir.call(layer, [x, w1], 0)
    const second = ir.call(layer, [first, w2], 0)
    const total = ir.call(layer, [first, w2], 1)
    const inputs = new Map(Object.entries({ ...given, w1: dense({ j: 3 }, [1, 2, 3]), w2: dense({ j: 3 }, [1, 0, 1]) }))
    const made = interpretTensor([second, total], inputs, new Map())
    expect(made.map((d) => [...d.data])).toEqual([
      [3, 1, 11, 6, 1, 20],
      [2 + 5 + 10, 5 + 11 + 19],
    ])
  })
})

describe("evaluation", () => {
  const w = input("w", [axis("n", 1024), axis("j", 512)])
  const v = input("v", [axis("m", 16), axis("j", 512)])
  test("a contraction is evaluated without its product in memory", () => {
    const fill = (n: number) => Array.from({ length: n }, (_, i) => (i % 7) - 3)
    const inputs = { w: dense({ n: 1024, j: 512 }, fill(1024 * 512)), v: dense({ m: 16, j: 512 }, fill(16 * 512)) }
    const y = of(ir.reduce(sum, "j", [ir.map(apply("mul", a, b), [v, w])]), inputs)
    let wanted = 0
    for (let j = 0; j < 512; j++) wanted += inputs.v.data[3 * 512 + j]! * inputs.w.data[700 * 512 + j]!
    expect(y.data[3 * 1024 + 700]).toBe(wanted)
  })
  test("one compilation serves all values of a symbol", () => {
    const y = input("y", [axis("n", rows)])
    const fold = ir.reduce(sum, "n", [ir.map(apply("mul", a, a), [y])])
    for (const n of [1, 3, 8])
      expect(numbers(fold, { y: dense({ n }, new Array(n).fill(2)) }, { rows: n })).toEqual([4 * n])
  })
  test("absolute arithmetic carries bounds, float64 does not round", () => {
    const run = (t: ir.Tensor, mode: "absolute" | "float64") =>
      interpretTensor([t], new Map([["x", x23]]), new Map(), mode)[0]!
    const centred = ir.map(apply("sub", a, literal(3, "f32")), [x])
    expect([...run(ir.reduce(sum, "j", [centred]), "absolute").bound!]).toEqual([15, 24])
    expect([...run(ir.reduce(max, "i", [centred]), "absolute").bound!]).toEqual([7, 8, 9])
    const third = ir.map(apply("div", a, literal(3, "f32")), [x])
    expect(run(third, "float64").data[0]).toBe(1 / 3)
  })
})

describe("errors", () => {
  test("a missing input, one that does not fit, a missing symbol", () => {
    expect(() => of(x)).toThrow("there is no input 'x'")
    expect(() => of(x, { x: dense({ i: 2, j: 2 }, [1, 2, 3, 4]) })).toThrow(
      "input 'x' is f32 [i 2, j 3] but is given f32 [i 2, j 2] of 4 numbers",
    )
    expect(() => of(ir.iota(axis("n", rows), literal(0)))).toThrow("the symbol 'rows' has no value")
  })
  test("a read outside of a tensor", () => {
    const shifted = ir.reindex(x, x.axes, at({ i: variable("i"), j: add(variable("j"), literal(1)) }))
    expect(() => of(shifted, given)).toThrow(
      new KernelFault("range", "index 3 of axis 1 of 'x' is outside of its 3 elements"),
    )
  })
})
