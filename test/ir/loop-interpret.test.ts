import { describe, expect, it } from "vitest"
import { interpretLoop, LoopFault, type LoopOptions } from "../../compiler/interpret/loop.js"
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
import type { Bind, LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"

const n = (x: number) => literal(x)
const f = (x: number) => literal(x, "f32")
const [block, lane, i, j] = ["block", "lane", "i", "j"].map((name) => variable(name)) as [
  Expression,
  Expression,
  Expression,
  Expression,
]
const f32 = (name: string) => variable(name, "f32")
const lt = (a: Expression, b: Expression) => apply("lt", a, b)

const loop = (variable: string, extent: Expression, bind: Bind, ...body: Statement[]): Statement => ({
  kind: "for",
  variable,
  extent,
  bind,
  body,
})
const serial = (variable: string, extent: Expression | number, ...body: Statement[]) =>
  loop(variable, typeof extent === "number" ? n(extent) : extent, "serial", ...body)
const when = (condition: Expression, ...body: Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})
const bind = (name: string, value: Expression, mutable = false): Statement => ({ kind: "let", name, value, mutable })
const assign = (name: string, value: Expression): Statement => ({ kind: "assign", name, value })
const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
const shared = (name: string, size: number, dtype: DType = "f32"): Statement => ({
  kind: "alloc",
  name,
  dtype,
  size,
  space: "shared",
})
const register = (name: string, size: number, dtype: DType = "f32"): Statement => ({
  kind: "alloc",
  name,
  dtype,
  size,
  space: "register",
})
const barrier: Statement = { kind: "barrier" }
const buffer = (
  name: string,
  access: LoopBuffer["access"],
  size: number | Expression,
  storage: LoopBuffer["storage"] = "f32",
): LoopBuffer => ({
  name,
  dtype: storage === "bf16" || storage === "f16" ? "f32" : storage,
  storage,
  size: typeof size === "number" ? n(size) : size,
  access,
})

/** A kernel whose lanes run `body`; `arrays` stand in the grid loop. */
function kernel(
  threads: number,
  grid: number | Expression,
  buffers: LoopBuffer[],
  body: Statement[],
  arrays: Statement[] = [],
): LoopKernel {
  const extent = typeof grid === "number" ? n(grid) : grid
  const symbols = /length/.test(JSON.stringify([extent, body])) ? ["length"] : []
  const root = loop("block", extent, "grid", ...arrays, loop("lane", n(threads), "lane", ...body))
  return { name: "test", buffers, symbols, threads, groups: 64, body: [root] }
}

function run(k: LoopKernel, inputs: Record<string, Memory>, options?: LoopOptions, length = 0): void {
  expect(verifyLoop(k)).toEqual([])
  interpretLoop(k, new Map(Object.entries(inputs)), new Map([["length", length]]), options)
}

/** The code and text of the fault that a kernel runs into. */
function faultOf(k: LoopKernel, inputs: Record<string, Memory>, options?: LoopOptions): string {
  try {
    interpretLoop(k, new Map(Object.entries(inputs)), new Map(), options)
  } catch (e) {
    if (e instanceof LoopFault) return `${e.code}: ${e.message}`
    throw e
  }
  return "no fault"
}

const floats = (size: number) => allocateBuffer("f32", "f32", size)
const numbers = (size: number, of: (i: number) => number) => Array.from({ length: size }, (_, i) => of(i))
const at = add(mul(block, n(8)), lane)

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

describe("a fault", () => {
  const y = () => ({ y: floats(16) })
  const out = [buffer("y", "write", 16)]
  const cases: Record<string, [LoopKernel, string, LoopOptions?]> = {
    "reading a register array before it is stored": [
      kernel(2, 1, out, [register("r", 2), store("r", n(0), f(1)), store("y", lane, fetch("r", n(1), "f32"))]),
      "uninitialised: r[1] is read before it is stored, in: y[lane] = r[1]",
    ],
    "reading a register array of an earlier iteration": [
      kernel(1, 1, out, [
        serial(
          "i",
          2,
          register("r", 1),
          when(apply("eq", i, n(0)), store("r", n(0), f(1))),
          store("y", i, fetch("r", n(0), "f32")),
        ),
      ]),
      "uninitialised: r[0] is read before it is stored, in: y[i] = r[0]",
    ],
    "reading a shared array before it is stored": [
      kernel(2, 1, out, [store("y", lane, fetch("t", lane, "f32"))], [shared("t", 2)]),
      "uninitialised: t[1] is read before it is stored, in: y[lane] = t[lane]",
    ],
    "reading a shared array of an earlier iteration of the grid": [
      kernel(
        1,
        2,
        out,
        [when(apply("eq", block, n(0)), store("t", n(0), f(1))), store("y", block, fetch("t", n(0), "f32"))],
        [shared("t", 1)],
      ),
      "uninitialised: t[0] is read before it is stored, in: y[block] = t[0]",
      { groups: 1 },
    ],
    "reading what a write-only buffer held": [
      kernel(1, 1, out, [store("y", n(0), fetch("y", n(1), "f32"))]),
      "uninitialised: y[1] is read before it is stored, in: y[0] = y[1]",
    ],
    "two lanes storing to one element": [
      kernel(2, 1, out, [store("y", n(3), f(1))]),
      "race: lane 0 and lane 1 touch y[3] without a barrier between, in: y[3] = 1.0",
    ],
    "two workgroups storing to one element": [
      kernel(1, 3, out, [store("y", n(2), f(1))]),
      "grid-race: grid iterations 1 and 0 touch y[2] in one launch, in: y[2] = 1.0",
    ],
    "two grid iterations of one workgroup": [
      kernel(1, 3, out, [store("y", n(2), f(1))]),
      "grid-race: grid iterations 1 and 0 touch y[2] in one launch, in: y[2] = 1.0",
      { groups: 1 },
    ],
    "a workgroup reading what another stores": [
      kernel(
        1,
        3,
        [buffer("y", "readwrite", 16)],
        [store("y", block, fetch("y", apply("min", add(block, n(1)), n(2)), "f32"))],
      ),
      "grid-race: grid iterations 1 and 0 touch y[1] in one launch, in: y[block] = y[min((block + 1), 2)]",
    ],
    "a fetch out of range": [
      kernel(1, 1, [buffer("x", "read", 4), ...out], [store("y", n(0), fetch("x", n(4), "f32"))]),
      "out-of-range: x[4] is outside of its 4 elements, in: y[0] = x[4]",
    ],
    "a fetch out of range in the branch of a select that is not taken": [
      kernel(
        1,
        1,
        [buffer("x", "read", 4), ...out],
        [store("y", lane, apply("select", lt(lane, n(1)), f(0), fetch("x", apply("sub", lane, n(1)), "f32")))],
      ),
      "out-of-range: x[-1] is outside of its 4 elements, in: y[lane] = select((lane < 1), 0.0, x[(lane + -1)])",
    ],
    "a store out of range": [
      kernel(1, 1, out, [store("y", n(14), splat(f(1), 4))]),
      "out-of-range: y[14 : 4] is outside of its 16 elements, in: y[14 : 4] = splat4(1.0)",
    ],
    "a misaligned vector fetch": [
      kernel(1, 1, [buffer("x", "read", 8), ...out], [store("y", n(0), fetch("x", n(2), "f32", 4))]),
      "misaligned: x[2 : 4] does not start at a multiple of 4, in: y[0 : 4] = x[2 : 4]",
    ],
    "a store to a read-only buffer": [
      kernel(1, 1, [buffer("y", "read", 16)], [store("y", n(0), f(1))]),
      "read-only: y is read-only, in: y[0] = 1.0",
    ],
    "a floor division by something that is not positive": [
      kernel(1, 1, out, [store("y", apply("floordiv", n(4), apply("sub", lane, n(2))), f(1))]),
      "division: floordiv by -2, in: y[(4 // (lane + -2))] = 1.0",
    ],
    "a barrier that some lanes do not reach": [
      kernel(4, 1, out, [when(lt(lane, n(2)), barrier)]),
      "barrier: lane 0 waits at a barrier, lane 2 has ended, in: barrier",
    ],
    "lanes at different barriers": [
      kernel(2, 1, out, [{ kind: "if", condition: lt(lane, n(1)), body: [barrier], otherwise: [barrier] }]),
      "barrier: lane 0 waits at a barrier, lane 1 at another, in: barrier",
    ],
    "a barrier in different iterations of a loop": [
      kernel(2, 1, out, [serial("i", 3, when(apply("ne", i, lane), barrier))]),
      "barrier: lanes 0 and 1 meet at a barrier in different iterations of a loop, in: barrier",
    ],
    "a shuffle without the partner": [
      kernel(4, 1, out, [when(lt(lane, n(1)), { kind: "shuffle", name: "s", value: lane, mask: 1 })]),
      "shuffle: lane 0 waits for a partner that does not take part, in: shuffle s: i32 = lane across 1",
    ],
    "a shuffle with a lane that does not exist": [
      kernel(3, 1, out, [{ kind: "shuffle", name: "s", value: lane, mask: 1 }]),
      "shuffle: lane 2 has no partner: there are 3 lanes, in: shuffle s: i32 = lane across 1",
      { subgroup: 4 },
    ],
    "a name that is not declared": [
      kernel(1, 1, out, [store("y", variable("k"), f(1))]),
      "malformed: 'k' is not declared, in: y[k] = 1.0",
    ],
    "a node of another language": [
      kernel(1, 1, out, [store("y", n(0), { kind: "load", dtype: "f32", width: 1, buffer: "x", index: [n(0)] })]),
      "malformed: a load is not of the loop language: x[0], in: y[0] = x[0]",
    ],
    "a buffer that is too small": [
      kernel(1, 1, [buffer("y", "write", 17)], []),
      "binding: the buffer y needs 17 elements, not 16",
    ],
    "a buffer of another storage": [
      kernel(1, 1, [buffer("y", "write", 16, "bf16")], []),
      "binding: the buffer y is f32 as bf16, not f32 as f32",
    ],
    "a buffer without memory": [kernel(1, 1, [buffer("x", "read", 1)], []), "binding: the buffer x has no memory"],
    "a symbol without a value": [kernel(1, symbol("rows", 4, 4), out, []), "binding: the symbol rows has no value"],
  }
  for (const [what, [k, expected, options]] of Object.entries(cases))
    it(`reports ${what}`, () => {
      const inputs = { ...y(), ...Object.fromEntries(["c"].map((name) => [name, memoryOf("i32", [0])])) }
      const more = what.includes("without memory") ? {} : { x: floats(8) }
      const text = faultOf(k, { ...inputs, ...more }, options)
      expect(text).toBe(expected)
    })

  it("does not come from stale contents that the caller vouches for", () => {
    const k = kernel(1, 1, out, [store("y", n(0), fetch("y", n(1), "f32"))])
    const memory = memoryOf("f32", numbers(16, Number))
    run(k, { y: memory }, { trustWriteBuffers: true })
    expect(memory.values[0]).toBe(1)
  })
})
