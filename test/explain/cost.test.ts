/** Bytes and operations of small kernels and programs, against numbers that were counted by hand. */
import { describe, expect, test } from "vitest"
import { devices, rooflineOf } from "../../compiler/explain/devices.js"
import { operationsOf } from "../../compiler/explain/operations.js"
import { trafficOf } from "../../compiler/explain/traffic.js"
import { floorBytes, gathersWeights, unfusedOperations } from "../../compiler/explain/unfused.js"
import {
  add,
  apply,
  component,
  literal,
  load,
  localRead,
  mul,
  reduce,
  symbol,
  variable,
} from "../../compiler/ir/expression.js"
import type { Item, Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { max, onlineMonoid, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import * as ir from "../../compiler/ir/tensor.js"

const axis = (name: string, extent: number | Expression) => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const buffer = (name: string, shape: readonly number[], storage: "f32" | "bf16" | "i32" = "f32"): KernelBuffer => ({
  name,
  dtype: storage === "i32" ? "i32" : "f32",
  storage,
  shape,
})
const kernel = (buffers: readonly KernelBuffer[], ...items: Item[]): Kernel => ({
  name: "k",
  buffers,
  items,
  spans: [],
})
const store = (name: string, axes: readonly ir.Axis[], index: readonly Expression[], value: Expression): Item => ({
  kind: "store",
  buffer: name,
  axes,
  index,
  value,
})
const [o, k, s, c] = [variable("o"), variable("k"), variable("s"), variable("c")]
const past = symbol("past", 1024, 512)
const sizes = new Map([["past", 100]])

/** A schedule of one store. */
const plain = (tile: Schedule["stores"][number]["tile"], threads = 1): Schedule => ({
  threads,
  stores: [{ tile, reduce: {} }],
  locals: {},
})
const traffic = (of: Kernel) =>
  Object.fromEntries(trafficOf(of, sizes).map((t) => [t.buffer, [t.read, t.written, t.bytes]]))

describe("a dot", () => {
  const product = mul(load("x", [k], "f32"), load("w", [o, k], "f32"))
  const dot = kernel(
    [buffer("x", [64]), buffer("w", [256, 64], "bf16"), buffer("y", [256])],
    store("y", [axis("o", 256)], [o], reduce("k", literal(64), sum, [product])),
  )
  test("reads each operand once, in the bytes of its storage", () => {
    expect(traffic(dot)).toEqual({ x: [64, 0, 256], w: [16384, 0, 32768], y: [0, 256, 1024] })
  })
  test("multiplies and adds for each pair", () => {
    expect(operationsOf(dot, plain({ o: { block: 16 } }), sizes)).toBe(256 * 64 * 2)
  })
  test("all of it may be left to matrix units, but nothing that is done to x, and no sum of squares", () => {
    const schedule = plain({ o: { block: 16 } })
    const products = (of: Expression) =>
      operationsOf(
        { ...dot, items: [store("y", [axis("o", 256)], [o], reduce("k", literal(64), sum, [of]))] },
        schedule,
        sizes,
        "products",
      )
    expect(products(product)).toBe(256 * 64 * 2)
    expect(products(mul(mul(load("x", [k], "f32"), literal(0.3, "f32")), load("w", [o, k], "f32")))).toBe(256 * 64 * 2)
    const w = load("w", [o, k], "f32")
    expect(products(mul(w, w))).toBe(0)
    expect(products(w)).toBe(0)
  })
  test("takes what its bytes take, or its operations, of which matrix units do products faster", () => {
    const device = devices["nvidia-h200"]!
    const amount = { bytes: 0, operations: 61e12, products: 60e12 }
    expect(rooflineOf(amount, device, []).seconds).toBeCloseTo(61 / 60, 9)
    expect(rooflineOf(amount, device, ["mma.m16n8k16.bf16"]).seconds).toBeCloseTo(60 / 500, 9)
    expect(rooflineOf(amount, device, ["mma.m16n8k16.bf16", "wgmma.m64n128k16.bf16"]).seconds).toBeCloseTo(60 / 790, 9)
    expect(rooflineOf(amount, devices["apple-m2"]!, ["mma.m16n8k16.bf16"]).seconds).toBeCloseTo(61e12 / 3.6e12, 9)
    expect(rooflineOf({ ...amount, bytes: 4.55e12 }, device, ["mma.m16n8k16.bf16"])).toEqual({
      seconds: 1,
      bound: "memory",
    })
  })
  test("what is done to x again for each output counts again, but once per register tile", () => {
    const scaled = mul(mul(load("x", [k], "f32"), literal(0.3, "f32")), load("w", [o, k], "f32"))
    const twice = { ...dot, items: [store("y", [axis("o", 256)], [o], reduce("k", literal(64), sum, [scaled]))] }
    expect(operationsOf(twice, plain({ o: { block: 16 } }), sizes)).toBe(256 * 64 * 3)
    expect(operationsOf(twice, plain({ o: { block: 16, perThread: 4 } }), sizes)).toBe(256 * 64 * 2 + 64 * 64)
  })
})

describe("a row statistic as a local", () => {
  const [x, w] = [load("x", [s, k], "f32"), load("w", [o, k], "f32")]
  const square = (r: Expression) =>
    reduce("k", literal(64), sum, [mul(load("x", [r, k], "f32"), load("x", [r, k], "f32"))])
  const normalised = kernel(
    [buffer("x", [4, 64]), buffer("w", [32, 64]), buffer("y", [4, 32])],
    { kind: "local", name: "m", axes: [axis("c", 4)], value: square(c) },
    store(
      "y",
      [axis("s", 4), axis("o", 32)],
      [s, o],
      mul(reduce("k", literal(64), sum, [mul(x, w)]), localRead("m", [s], "f32")),
    ),
  )
  const own = 4 * 32 * (64 * 2 + 1)
  test("is computed once by each workgroup that owns a part of the row", () => {
    expect(operationsOf(normalised, plain({ s: { block: 1 }, o: { block: 32 } }), sizes)).toBe(own + 4 * 64 * 2)
    expect(operationsOf(normalised, plain({ s: { block: 1 }, o: { block: 8 } }), sizes)).toBe(own + 4 * 4 * 64 * 2)
    expect(operationsOf(normalised, plain({ s: { block: 4 }, o: { block: 32 } }), sizes)).toBe(own + 4 * 64 * 2)
  })
  test("or once by each workgroup that takes blocks in turn, if all of them read the same", () => {
    const inTurn = (s: number) => ({ ...plain({ s: { block: s }, o: { block: 8 } }), workgroups: 2 })
    expect(operationsOf(normalised, inTurn(4), sizes)).toBe(own + 2 * 4 * 64 * 2)
    expect(operationsOf(normalised, inTurn(1), sizes)).toBe(own + 4 * 4 * 64 * 2)
  })
  test("reads what it shares with the store once", () => {
    expect(traffic(normalised)).toMatchObject({ x: [256, 0, 1024], w: [2048, 0, 8192] })
  })
})

test("a fold that only the block's axes decide is computed once by each worker of the block", () => {
  const largest = reduce("k", literal(64), max, [load("x", [s, k], "f32")])
  const shifted = kernel(
    [buffer("x", [4, 64]), buffer("y", [4, 64])],
    store("y", [axis("s", 4), axis("o", 64)], [s, o], apply("sub", load("x", [s, o], "f32"), largest)),
  )
  expect(operationsOf(shifted, plain({ s: { block: 1 }, o: { block: "all" } }), sizes)).toBe(4 * 64 + 4 * 64)
  expect(operationsOf(shifted, plain({ s: { block: 1 }, o: { block: "all" } }, 8), sizes)).toBe(4 * 64 + 4 * 8 * 64)
  expect(operationsOf(shifted, plain({ s: { block: 2 }, o: { block: 1 } }), sizes)).toBe(4 * 64 + 4 * 64 * 64)
})

test("the k best of n: k comparisons for each element", () => {
  const best = reduce("k", literal(64), top(3), [load("x", [k], "f32"), k])
  const rank = kernel([buffer("x", [64]), buffer("y", [3])], store("y", [axis("o", 3)], [o], best))
  expect(operationsOf(rank, plain({ o: { block: "all" } }), sizes)).toBe(3 * 64)
})

describe("an online fold", () => {
  // y[c] = Σ_k exp(s[k] − max s) · v[k, c] / Σ_k exp(s[k] − max s)
  const lift = [load("s", [k], "f32"), literal(1, "f32"), load("v", [k, c], "f32")]
  const fold = reduce("k", literal(64), onlineMonoid("exp", 2), lift) as Reduce
  const mean = kernel(
    [buffer("s", [64]), buffer("v", [64, 8]), buffer("y", [8])],
    store("y", [axis("c", 8)], [c], apply("div", component(fold, 2), component(fold, 1))),
  )
  test("without chunks weighs each element and moves both channels for each point", () => {
    const weight = 4 // max, the pivot kept finite, sub, exp
    const move = 3 // the same pivot kept finite, sub, exp
    expect(operationsOf(mean, plain({ c: { block: "all" } }), sizes)).toBe(8 * 64 * (weight + move + 2 * 3) + 8)
  })
  test("in chunks weighs each element once in a block, for all of its points", () => {
    const chunks: Schedule = {
      threads: 1,
      stores: [
        {
          tile: { c: { block: "all" } },
          reduce: { k: { chunk: 16, innerUnroll: 1 } },
          staged: { scores: { tile: {} } },
        },
      ],
      locals: {},
    }
    expect(operationsOf(mean, chunks, sizes)).toBe(4 * 64 + 64 + 8 * 64 * 2 + 8)
  })
  test("reads scores and values once", () => {
    expect(traffic(mean)).toEqual({ s: [64, 0, 256], v: [512, 0, 2048], y: [0, 8, 32] })
  })
})

describe("a gather", () => {
  const clamped = (index: Expression) => apply("max", literal(0), apply("min", index, literal(999)))
  const rows = (count: number) =>
    kernel(
      [buffer("table", [1000, 64], "bf16"), buffer("index", [count], "i32"), buffer("y", [count, 64])],
      store(
        "y",
        [axis("s", count), axis("c", 64)],
        [s, c],
        load("table", [clamped(load("index", [s], "i32")), c], "f32"),
      ),
    )
  test("reads as many rows as there are indices, and no more than there are rows", () => {
    expect(traffic(rows(1))).toEqual({ table: [64, 0, 128], index: [1, 0, 4], y: [0, 64, 256] })
    expect(traffic(rows(8)).table).toEqual([512, 0, 1024])
    expect(traffic(rows(5000)).table).toEqual([64000, 0, 128000])
  })
  test("needs no operations: indices are not arithmetic on values", () => {
    expect(operationsOf(rows(8), plain({ c: { block: 64 } }), sizes)).toBe(0)
  })
})

describe("a state", () => {
  const written = [add(variable("i"), past), c]
  const cache = buffer("cache", [1024, 8])
  test("an append writes its rows only", () => {
    const append = kernel(
      [buffer("x", [2, 8]), cache],
      store("cache", [axis("i", 2), axis("c", 8)], written, load("x", [variable("i"), c], "f32")),
    )
    expect(traffic(append)).toEqual({ x: [16, 0, 64], cache: [0, 16, 64] })
  })
  test("is read up to its length", () => {
    const total = reduce("k", add(past, literal(1)), sum, [load("cache", [k, c], "f32")])
    const fold = kernel([cache, buffer("y", [8])], store("y", [axis("c", 8)], [c], total))
    expect(traffic(fold).cache).toEqual([101 * 8, 0, 101 * 8 * 4])
    expect(operationsOf(fold, plain({}), sizes)).toBe(8 * 101)
  })
  test("is read where the mask is true: up to the last position, and from the start of the window on", () => {
    const seen = apply("le", k, add(s, past))
    const masked = (mask: Expression) => {
      const value = apply("select", mask, load("cache", [k, c], "f32"), literal(0, "f32"))
      return kernel(
        [cache, buffer("y", [2, 8])],
        store("y", [axis("s", 2), axis("c", 8)], [s, c], reduce("k", literal(1024), sum, [value])),
      )
    }
    expect(traffic(masked(seen)).cache).toEqual([102 * 8, 0, 102 * 8 * 4])
    const near = apply("gt", k, apply("sub", add(s, past), literal(16)))
    expect(traffic(masked(apply("and", seen, near))).cache).toEqual([17 * 8, 0, 17 * 8 * 4])
  })
})

test("overlapping reads of one buffer count once, elements without holes exactly", () => {
  const turned = apply("floormod", add(c, literal(4)), literal(8))
  const both = kernel(
    [buffer("x", [8, 8]), buffer("y", [4, 8])],
    store(
      "y",
      [axis("s", 4), axis("c", 8)],
      [s, c],
      add(add(load("x", [s, c], "f32"), load("x", [s, turned], "f32")), load("x", [add(s, literal(2)), c], "f32")),
    ),
  )
  expect(traffic(both).x).toEqual([6 * 8, 0, 6 * 8 * 4])
  const diagonal = kernel(
    [buffer("x", [8, 8]), buffer("y", [8])],
    store("y", [axis("c", 8)], [c], load("x", [c, c], "f32")),
  )
  expect(traffic(diagonal).x).toEqual([8, 0, 32])
})

describe("the unfused program", () => {
  const weight = (name: string, axes: readonly ir.Axis[]) =>
    ir.input(
      name,
      "weight",
      axes,
      "f32",
      "bf16",
      axes.map((a) => (a.extent.kind === "literal" ? a.extent.value : 0)),
    )
  const w = weight("w", [axis("out", 32), axis("embed", 64)])
  const table = weight("table", [axis("row", 1000), axis("embed", 64)])
  const index = ir.input("index", "input", [axis("seq", 2)], "i32", "i32", [2])
  const body = mul(variable("$0", "f32"), variable("$1", "f32"))
  const row = ir.gather(table, "row", index)
  const y = ir.reduce(sum, "embed", [ir.map(body, [row, w])])

  test("computes each tensor once and reads each weight once, of gathered ones the rows", () => {
    expect(unfusedOperations([y], sizes)).toBe(2 * 32 * 64 * 2)
    expect(unfusedOperations([y, ir.map(body, [y, y])], sizes, "products")).toBe(2 * 32 * 64 * 2)
    expect(unfusedOperations([ir.reduce(sum, "embed", [w])], sizes, "products")).toBe(0)
    expect(unfusedOperations([y], sizes, "products of halves")).toBe(2 * 32 * 64 * 2)
    const computed = ir.map(add(variable("$0", "f32"), literal(1, "f32")), [w])
    const wide = ir.reduce(sum, "embed", [
      ir.map(body, [computed, ir.map(add(variable("$0", "f32"), literal(1, "f32")), [row])]),
    ])
    expect(unfusedOperations([wide], sizes, "products of halves")).toBe(0)
    expect(unfusedOperations([y, ir.map(body, [y, y])], sizes)).toBe(2 * 32 * 64 * 2 + 2 * 32)
    expect(floorBytes([y], sizes)).toBe(2 * (32 * 64 + 2 * 64))
  })
  test("counts both components of a fold once", () => {
    const part = (component: number) => ir.reduce(top(3), "out", [y], component, "slot")
    expect(unfusedOperations([part(0), part(1)], sizes)).toBe(unfusedOperations([y], sizes) + 2 * 32 * 3)
  })
  test("counts a unit as often as it is applied, and its weights by application", () => {
    const x = ir.input("x", "input", y.axes, "f32", "f32", [0, 0])
    const v = weight("v", [axis("out", 32)])
    const unit = ir.unit("layer", [x, v], [ir.map(body, [x, v])])
    const once = ir.call(unit, [y, weight("v0", v.axes)], 0)
    const twice = ir.call(unit, [once, weight("v1", v.axes)], 0)
    expect(unfusedOperations([twice], sizes)).toBe(unfusedOperations([y], sizes) + 2 * 2 * 32)
    expect(floorBytes([twice], sizes)).toBe(floorBytes([y], sizes) + 2 * 32 * 2)
  })
  test("reads a state up to its length after the step, and not where it is only written", () => {
    const cache = ir.input("cache", "state", [axis("key", past), axis("c", 8)], "f32", "f32", [1024, 8])
    const fresh = ir.input("fresh", "input", [axis("key", 1), axis("c", 8)], "f32", "f32", [1, 8])
    const after = ir.update(cache, "key", past, fresh, add(past, literal(1)))
    expect(floorBytes([after], sizes)).toBe(0)
    expect(floorBytes([after, ir.reduce(sum, "key", [after])], sizes)).toBe(101 * 8 * 4)
  })
  test("picks members of a weight by computed indices, or not", () => {
    const best = ir.reduce(top(2), "out", [y], 1, "slot")
    expect(gathersWeights([y])).toBe(false)
    expect(gathersWeights([ir.gather(w, "out", best)])).toBe(true)
  })
})
