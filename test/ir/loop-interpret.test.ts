import { describe, expect, it } from "vitest"
import { allocateBuffer, type Memory, memoryOf } from "../../compiler/interpret/memory.js"
import {
  add,
  apply,
  fetch,
  lane as laneOf,
  literal,
  mul,
  ramp,
  splat,
  symbol,
  variable,
  vector,
} from "../../compiler/ir/expression.js"
import type { Statement } from "../../compiler/ir/loop.js"
import type { DType } from "../../compiler/ir/operations.js"
import {
  assign,
  at,
  barrier,
  bind,
  block,
  buffer,
  f,
  f32,
  faultOf,
  floats,
  i,
  j,
  kernel,
  lane,
  loop,
  lt,
  n,
  numbers,
  register,
  run,
  serial,
  shared,
  store,
  when,
} from "./loop-builders.js"

describe("the loop interpreter", () => {
  it("maps elements with a tail, for any number of groups", () => {
    const length = symbol("length", 64, 20)
    const blocks = apply("floordiv", add(length, n(7)), n(8))
    const body = [when(lt(at, length), store("y", at, apply("add", fetch("x", at, "f32"), f(1))))]
    const k = kernel(8, blocks, [buffer("x", "read", length), buffer("y", "write", length)], body)
    for (const groups of [1, 2, 3, 64]) {
      const y = floats(24)
      run(k, { x: memoryOf("f32", numbers(20, Number)), y }, { groups }, 19)
      expect([...y.values]).toEqual(numbers(24, (i) => (i < 19 ? i + 1 : 0)))
    }
  })

  it("rounds f32 after every operation, and not at all with float64", () => {
    const total = f32("total")
    const body = [
      bind("total", f(0), true),
      serial("i", 10, assign("total", apply("add", total, fetch("x", i, "f32")))),
      store("y", n(0), total),
    ]
    const k = kernel(1, 1, [buffer("x", "read", 10), buffer("y", "write", 1)], body)
    const y = floats(1)
    run(k, {
      x: memoryOf(
        "f32",
        numbers(10, () => 0.1),
      ),
      y,
    })
    let expected = 0
    for (let i = 0; i < 10; i++) expected = Math.fround(expected + Math.fround(0.1))
    expect(y.values[0]).toBe(expected)
    const wide = allocateBuffer("f32", "f64", 1)
    run(
      k,
      {
        x: memoryOf(
          "f64",
          numbers(10, () => 0.1),
        ),
        y: wide,
      },
      { float64: true },
    )
    expect(wide.values[0]).toBe(numbers(10, () => 0.1).reduce((a, b) => a + b))
  })

  const treeReduction = (between: Statement[]) => {
    const step = (stride: number) => [
      when(
        lt(lane, n(stride)),
        store("tile", lane, apply("add", fetch("tile", lane, "f32"), fetch("tile", add(lane, n(stride)), "f32"))),
      ),
      ...between,
    ]
    const body = [
      store("tile", lane, fetch("x", at, "f32")),
      ...between,
      ...[4, 2, 1].flatMap(step),
      when(apply("eq", lane, n(0)), store("y", block, fetch("tile", n(0), "f32"))),
      ...between,
    ]
    return kernel(8, 5, [buffer("x", "read", 40), buffer("y", "write", 5)], body, [shared("tile", 8)])
  }

  it("sums in a shared tree, also where a workgroup runs several iterations of the grid", () => {
    for (const seed of [1, 2, 3]) {
      const y = floats(5)
      run(treeReduction([barrier]), { x: memoryOf("f32", numbers(40, Number)), y }, { groups: 2, seed })
      expect([...y.values]).toEqual([28, 92, 156, 220, 284])
    }
  })

  /** A row that a workgroup makes before its cells, and sums of it: 5 cells of 8 lanes. */
  const withRow = (settled: Statement[], from = "x") => {
    const row = [store("row", lane, apply("add", fetch(from, lane, "f32"), f(1))), ...settled]
    const cell = store("y", at, apply("mul", fetch("row", apply("bitxor", lane, n(1)), "f32"), f32("c")))
    const grid = loop("block", n(5), "grid", bind("c", apply("toF32", add(block, n(1)))), cell)
    const buffers = [buffer("x", "read", 8), buffer("y", from === "y" ? "readwrite" : "write", 40)]
    const body = [shared("row", 8), loop("lane", n(8), "lane", ...row, grid)]
    return { name: "test", buffers, symbols: [], threads: 8, groups: 5, body }
  }

  it("runs what stands before the cells once for each workgroup", () => {
    for (const groups of [1, 2, 5, 7]) {
      const y = floats(40)
      run(withRow([barrier]), { x: memoryOf("f32", numbers(8, Number)), y }, { groups, seed: groups })
      expect([...y.values]).toEqual(numbers(40, (i) => (((i % 8) ^ 1) + 1) * (Math.floor(i / 8) + 1)))
    }
  })

  it("finds cells that begin too early, and a prologue that reads what they store", () => {
    const inputs = () => ({ x: memoryOf("f32", numbers(8, Number)), y: memoryOf("f32", numbers(40, Number)) })
    expect(faultOf(withRow([]), inputs())).toMatch(/^(race|uninitialised): /)
    for (const groups of [1, 2])
      expect(faultOf(withRow([barrier], "y"), inputs(), { groups })).toMatch(
        /^grid-race: grid iterations 0 and what is before them touch y/,
      )
  })

  it("knows the number of the workgroup", () => {
    const both = add(mul(variable("workgroup"), n(10)), variable("workgroups"))
    const body = [bind("mine", both), loop("block", n(5), "grid", store("y", block, apply("toF32", variable("mine"))))]
    const k = { ...withRow([]), threads: 1, body: [loop("lane", n(1), "lane", ...body)] }
    const y = floats(40)
    run(k, { x: floats(8), y }, { groups: 2 })
    expect([...y.values.slice(0, 5)]).toEqual([2, 12, 2, 12, 2])
  })

  it("finds a missing barrier", () => {
    const inputs = { x: memoryOf("f32", numbers(40, Number)), y: floats(5) }
    expect(faultOf(treeReduction([]), inputs)).toMatch(/^(race|uninitialised): /)
  })

  it("finds a lane that runs ahead into the next iteration of the grid", () => {
    const read = store("y", at, fetch("tile", apply("bitxor", lane, n(1)), "f32"))
    const body = [store("tile", lane, f(1)), barrier, read]
    const k = kernel(8, 2, [buffer("y", "write", 16)], body, [shared("tile", 8)])
    run(k, { y: floats(16) }, { groups: 2 })
    expect(faultOf(k, { y: floats(16) }, { groups: 1 })).toMatch(/^race/)
  })

  it("fetches and stores vectors of bf16", () => {
    const body = [
      bind("v", fetch("x", mul(lane, n(4)), "f32", 4)),
      store("y", mul(lane, n(4)), apply("mul", variable("v", "f32", 4), splat(f(1.01), 4))),
      store("z", lane, laneOf(variable("v", "f32", 4), 3)),
    ]
    const k = kernel(
      2,
      1,
      [buffer("x", "read", 8, "bf16"), buffer("y", "write", 8, "bf16"), buffer("z", "write", 2)],
      body,
    )
    const [x, y, z] = [
      memoryOf(
        "bf16",
        numbers(8, (i) => i + 0.3),
      ),
      allocateBuffer("f32", "bf16", 8),
      floats(2),
    ]
    run(k, { x, y, z })
    expect([...y.values]).toEqual([
      ...memoryOf(
        "bf16",
        [...x.values].map((e) => Math.fround(e * Math.fround(1.01))),
      ).values,
    ])
    expect([...z.values]).toEqual([x.values[3], x.values[7]])
  })

  it("rounds what a workgroup holds as halves", () => {
    const tile: Statement = { kind: "alloc", name: "tile", dtype: "f32", storage: "bf16", size: 4, space: "register" }
    const body = [
      tile,
      store("tile", n(0), fetch("x", n(0), "f32", 4)),
      store("y", n(0), fetch("tile", n(0), "f32", 4)),
    ]
    const x = memoryOf("f32", [1.001, -2.34567, 1e-3, 65519])
    const y = floats(4)
    run(kernel(1, 1, [buffer("x", "read", 4), buffer("y", "write", 4)], body), { x, y })
    expect([...y.values]).toEqual([...memoryOf("bf16", [...x.values]).values])
  })

  it("knows ramps, vectors and selects by lane", () => {
    const index = ramp(mul(lane, n(4)), 4)
    const odd = apply("eq", apply("bitand", index, splat(n(1), 4)), splat(n(1), 4))
    const value = apply("select", odd, index, vector([n(7), n(8), n(9), lane]))
    const y = allocateBuffer("i32", "i32", 8)
    run(kernel(2, 1, [buffer("y", "write", 8, "i32")], [store("y", mul(lane, n(4)), value)]), { y })
    expect([...y.values]).toEqual([7, 1, 9, 3, 7, 5, 9, 7])
  })

  it("sums by a shuffle butterfly", () => {
    const step = (mask: number): Statement[] => [
      { kind: "shuffle", name: `other${mask}`, value: f32("sum"), mask },
      assign("sum", apply("add", f32("sum"), f32(`other${mask}`))),
    ]
    const body = [bind("sum", fetch("x", lane, "f32"), true), ...[4, 2, 1].flatMap(step), store("y", lane, f32("sum"))]
    const k = kernel(8, 1, [buffer("x", "read", 8), buffer("y", "write", 8)], body)
    const y = floats(8)
    run(k, { x: memoryOf("f32", numbers(8, Number)), y }, { subgroup: 8 })
    expect([...y.values]).toEqual(numbers(8, () => 28))
    expect(faultOf(k, { x: floats(8), y }, { subgroup: 4 })).toBe(
      "shuffle: lanes 0 and 4 are not in one subgroup, in: shuffle other4: f32 = sum across 4",
    )
  })

  it("stages what lanes read of each other and rounds a product before its sum", () => {
    const stage = (to: string, from: string) => serial("i", 4, store(to, staged, fetch(from, staged, "f32")))
    const staged = add(mul(i, n(4)), lane)
    const product = apply(
      "mul",
      fetch("left", add(mul(lane, n(4)), i), "f32"),
      fetch("right", add(mul(i, n(4)), j), "f32"),
    )
    const body: Statement[] = [
      stage("left", "a"),
      stage("right", "b"),
      register("c", 4),
      serial("j", 4, store("c", j, f(0))),
      barrier,
      serial("i", 4, serial("j", 4, store("c", j, apply("add", fetch("c", j, "f32"), product)))),
      serial("j", 4, store("y", add(mul(lane, n(4)), j), fetch("c", j, "f32"))),
    ]
    const buffers = [buffer("a", "read", 16), buffer("b", "read", 16, "f16"), buffer("y", "write", 16)]
    const [a, b] = [
      memoryOf(
        "f32",
        numbers(16, (i) => Math.sin(i)),
      ),
      memoryOf(
        "f16",
        numbers(16, (i) => Math.cos(i)),
      ),
    ]
    const y = floats(16)
    run(kernel(4, 1, buffers, body, [shared("left", 16), shared("right", 16)]), { a, b, y })
    const expected = numbers(16, (e) => {
      let total = 0
      for (let k = 0; k < 4; k++)
        total = Math.fround(total + Math.fround(a.values[(e >> 2) * 4 + k]! * b.values[k * 4 + (e & 3)]!))
      return total
    })
    expect([...y.values]).toEqual(expected)
  })

  it("follows the table where JavaScript differs", () => {
    const x = fetch("x", lane, "i32")
    const by = fetch("by", lane, "i32")
    const body = [
      store("y", lane, apply("div", x, by)),
      store("z", lane, apply("rem", x, by)),
      store("w", lane, apply("mul", x, by)),
    ]
    const all = ["x", "by", "y", "z", "w"].map((name, i) => buffer(name, i < 2 ? "read" : "write", 4, "i32"))
    const [y, z, w] = [0, 0, 0].map(() => allocateBuffer("i32", "i32", 4)) as [Memory, Memory, Memory]
    const x4 = memoryOf("i32", [7, -7, -2147483648, 65537])
    run(kernel(4, 1, all, body), { x: x4, by: memoryOf("i32", [0, 2, -1, 65537]), y, z, w })
    expect([...y.values, ...z.values]).toEqual([7, -3, -2147483648, 1, 0, -1, 0, 0])
    expect([...w.values]).toEqual([0, -14, -2147483648, 131073])
  })

  it("gives names of scopes side by side their own meaning", () => {
    const part = (size: number, dtype: DType): Statement => ({
      kind: "block",
      body: [
        register("r", size, dtype),
        bind("t", literal(size, dtype)),
        store("r", n(size - 1), variable("t", dtype)),
        store("y", n(size), apply("toF32", fetch("r", n(size - 1), dtype))),
      ],
    })
    const y = floats(8)
    run(kernel(1, 1, [buffer("y", "write", 8)], [part(2, "f32"), part(5, "i32")]), { y })
    expect([...y.values]).toEqual([0, 0, 2, 0, 0, 5, 0, 0])
  })

  it("takes the same time-independent way for every seed", () => {
    const results = [1, 7, 99].map((seed) => {
      const y = floats(5)
      run(
        treeReduction([barrier]),
        {
          x: memoryOf(
            "f32",
            numbers(40, (i) => Math.sin(i)),
          ),
          y,
        },
        { seed },
      )
      return [...y.values]
    })
    expect(results[1]).toEqual(results[0])
    expect(results[2]).toEqual(results[0])
  })
})
