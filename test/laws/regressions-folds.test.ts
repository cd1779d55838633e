/** What the laws of long folds have found, each as the smallest kernel and the schedule of it. */
import { expect, test } from "vitest"
import {
  add,
  apply,
  component,
  literal,
  load,
  localRead,
  mul,
  reduce,
  scan,
  sub,
  symbol,
  variable,
  withTable,
} from "../../compiler/ir/expression.js"
import type { Kernel, Local, Store } from "../../compiler/ir/kernel.js"
import { onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import type { Schedule, StoreSchedule } from "../../compiler/ir/schedule.js"
import { splitReductions } from "../../compiler/kernel/split-reductions.js"
import { sharedFolds } from "../../compiler/schedule/compute-with.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, effectOf, loopsOf } from "./loops.js"

const v = (name: string) => variable(name)
const x = (name: string, ...index: string[]) => load(name, index.map(v), "f32")
const total = (axis: string, extent: Expression | number, lift: Expression) =>
  reduce(axis, typeof extent === "number" ? literal(extent) : extent, sum, [lift])

interface Given {
  readonly shapes: Readonly<Record<string, readonly number[]>>
  readonly axes: Readonly<Record<string, number>>
  readonly value: Expression
}

/** A kernel that stores one value at each point. */
function kernelOf({ shapes, axes, value }: Given): Kernel {
  const list = Object.entries(axes).map(([name, extent]) => ({ name, extent: literal(extent) }))
  const store: Store = {
    kind: "store",
    buffer: "y",
    axes: list,
    index: list.map((a) => v(a.name)),
    value,
  }
  const buffers = Object.entries({ y: Object.values(axes), ...shapes }).map(
    ([name, shape]) => ({ name, dtype: "f32", storage: "f32", shape }) as const,
  )
  return { name: "found", buffers, items: [store], spans: [] }
}

const symbols = new Map([
  ["seq", 5],
  ["past", 3],
])

const options = { maxGroups: 8, sharedBytes: 1 << 16 }

/** The code of the refusal, if any. @throws when the loops do not store what the kernel stores. */
const tiled = (kernel: Kernel, store: StoreSchedule, threads = 1): string | undefined => {
  const schedule: Schedule = { threads, stores: [store], locals: {} }
  const effect = effectOf(kernel, kernelMemories(kernel, 3), symbols, "analytic")
  return checkLoops(effect, { schedule, options }, symbols, 1)
}

const all = { block: "all" } as const

test("a fold inside of a chunk depends on the loop around the chunk", () =>
  withTable(() => {
    const inner = total("dim", 4, mul(x("q", "row", "group", "dim"), x("k", "key", "dim")))
    const masked = apply("select", apply("le", v("key"), literal(2)), inner, literal(0, "f32"))
    const kernel = kernelOf({
      shapes: { q: [4, 2, 4], k: [12, 4] },
      axes: { row: 4 },
      value: total("group", 2, total("key", 12, masked)),
    })
    expect(tiled(kernel, { tile: { row: all }, reduce: { key: { chunk: 3 } } })).toBe(undefined)
  }))

test("a store that reads the pivot of an online fold, and nothing of its sums", () =>
  withTable(() => {
    const fold = reduce("key", literal(12), onlineMonoid("exp", 1), [x("s", "row", "key"), literal(1, "f32")])
    const kernel = kernelOf({ shapes: { s: [4, 12] }, axes: { row: 4 }, value: component(fold, 0) })
    for (const lanes of [1, 2])
      expect(tiled(kernel, { tile: { row: all }, reduce: { key: { chunk: 4 } } }, lanes)).toBe(undefined)
  }))

/** A part of 33 elements: 16, 16 and one. */
const part = () => apply("max", literal(0), apply("min", literal(16), sub(literal(33), mul(v("part"), literal(16)))))
const place = () => add(mul(v("part"), literal(16)), v("key"))

test("the length of a fold in chunks differs from point to point", () =>
  withTable(() => {
    const kernel = kernelOf({
      shapes: { s: [33] },
      axes: { part: 4 },
      value: reduce("key", part(), sum, [load("s", [place()], "f32")]),
    })
    expect(tiled(kernel, { tile: { part: all }, reduce: { key: { chunk: 4 } } })).toBe("reduce/chunk")
    expect(tiled(kernel, { tile: {}, reduce: { key: { chunk: 4 } } })).toBe(undefined)
  }))

test("the length of a fold around the chunk depends on the point", () =>
  withTable(() => {
    const kernel = kernelOf({
      shapes: { s: [33, 4] },
      axes: { part: 4 },
      value: reduce("key", part(), sum, [total("dim", 4, load("s", [place(), v("dim")], "f32"))]),
    })
    expect(tiled(kernel, { tile: {}, reduce: { dim: { chunk: 2 } } })).toBe(undefined)
  }))

test("a predicate whose bound is no multiple of an axis", () =>
  withTable(() => {
    const each = mul(apply("floordiv", add(symbol("seq", 9, 4), literal(3)), literal(2)), literal(2))
    const at = add(mul(v("part"), each), v("key"))
    const kept = apply("select", apply("le", at, literal(6)), load("s", [at], "f32"), literal(0, "f32"))
    const half = add(v("key"), apply("floordiv", v("key"), literal(2)))
    const twice = apply("select", apply("le", half, v("part")), load("s", [at], "f32"), literal(0, "f32"))
    for (const lift of [kept, twice]) {
      const kernel = kernelOf({ shapes: { s: [64] }, axes: { part: 3 }, value: reduce("key", each, sum, [lift]) })
      for (const chunk of [2, 3]) expect(tiled(kernel, { tile: {}, reduce: { key: { chunk } } })).toBe(undefined)
    }
  }))

test("a fold inside of a prefix is not split, and not taken in chunks", () =>
  withTable(() => {
    const inner = total("key", 40, load("s", [v("step"), v("key")], "f32"))
    const kernel = kernelOf({ shapes: { s: [4, 40] }, axes: { row: 4 }, value: scan("step", v("row"), sum, [inner]) })
    const bindings = kernel.buffers.map((b) => b.name)
    const fused = {
      steps: [{ kind: "kernel" as const, kernel, bindings, computes: [] }],
      buffers: new Map(kernel.buffers.map((b) => [b.name, { ...b, role: "input" as const }])),
      results: [],
    }
    expect(splitReductions(fused, { busy: 64, parts: 4, least: 1 / 16 }).steps.length).toBe(1)
    expect(tiled(kernel, { tile: { row: all }, reduce: { key: { chunk: 4 } } })).toBe("reduce/chunk")
  }))

test("a prefix inside of a fold in chunks", () =>
  withTable(() => {
    const prefix = scan("step", v("key"), sum, [x("s", "step")])
    const local: Local = { kind: "local", name: "w", axes: [{ name: "l", extent: literal(9) }], value: x("t", "l") }
    const read = localRead("w", [v("key")], "f32")
    const kernel = kernelOf({ shapes: { s: [9], t: [9] }, axes: {}, value: total("key", 9, mul(prefix, read)) })
    const both: Kernel = { ...kernel, items: [local, ...kernel.items] }
    expect(tiled(both, { tile: {}, reduce: { key: { chunk: 4 } } }, 2)).toBe(undefined)
  }))

test("an axis with the name that merged fetches would have", () =>
  withTable(() => {
    const kernel = kernelOf({
      shapes: { s: [16, 4], t: [16, 3] },
      axes: { row: 4, wide: 3 },
      value: total("key", 16, mul(x("s", "key", "row"), x("t", "key", "wide"))),
    })
    const tile = { row: { block: 4, perThread: 4 }, wide: { block: 4, perThread: 2 } }
    expect(tiled(kernel, { tile, reduce: {} })).toBe(undefined)
    // The loop over what is left of a tile bears the axis' name.
    const loops = loopsOf(kernel, { schedule: { threads: 1, stores: [{ tile, reduce: {} }], locals: {} }, options })
    const text = typeof loops === "string" ? loops : printLoop(loops.merged)
    expect(text).toMatch(/for wide_0 /)
    expect(text).toMatch(/let wide_1: f32x4/)
  }))

test("a store does not go along with one that may have no points", () =>
  withTable(() => {
    const made = (wide: number) => {
      const one = kernelOf({
        shapes: { s: [4, 9] },
        axes: { row: 4, wide },
        value: total("key", 9, x("s", "row", "key")),
      })
      const row = [{ name: "r", extent: literal(4) }]
      const value = total("key", 9, x("s", "r", "key"))
      const beside: Store = { kind: "store", buffer: "z", axes: row, index: [v("r")], value }
      const buffers = [...one.buffers, { name: "z", dtype: "f32", storage: "f32", shape: [4] } as const]
      return { ...one, buffers, items: [...one.items, beside] }
    }
    const along = { store: 0, axes: { r: "row" } }
    const stores: StoreSchedule[] = [
      { tile: { row: all }, reduce: { key: { chunk: 4 } } },
      { tile: {}, reduce: {}, computeWith: along },
    ]
    for (const [wide, expected] of [
      [3, undefined],
      [0, "schedule/shape"],
    ] as const) {
      const kernel = made(wide)
      const shared = sharedFolds(kernel.items.filter((i) => i.kind === "store"))
      expect(shared[1]).toEqual(expected === undefined ? along : undefined)
      const loops = loopsOf(kernel, { schedule: { threads: 1, stores, locals: {} }, options })
      expect(typeof loops === "string" ? loops : undefined).toBe(expected)
    }
  }))

test("what a fold inside of a staged operand runs over is no axis of the operand", () =>
  withTable(() => {
    const squares = total("b", 3, mul(x("w", "a", "b"), x("w", "a", "b")))
    const kernel = kernelOf({
      shapes: { w: [3, 3], q: [4, 3] },
      axes: { s: 4 },
      value: total("a", 3, mul(squares, x("q", "s", "a"))),
    })
    const store: StoreSchedule = { tile: { s: all }, reduce: { a: { chunk: 1 } }, staged: { w: { tile: {} } } }
    for (const lanes of [1, 2]) expect(tiled(kernel, store, lanes)).toBe(undefined)
  }))

test("an operand of a prefix inside of a chunked fold is not staged", () =>
  withTable(() => {
    const products = total("k", 3, mul(x("w", "a", "p", "k"), x("q", "s", "k")))
    const prefix = scan("p", variable("b"), sum, [products])
    const kernel = kernelOf({
      shapes: { w: [3, 3, 3], q: [4, 3] },
      axes: { s: 4 },
      value: total("a", 3, total("b", 3, prefix)),
    })
    for (const reduce of [{ a: { chunk: 1 } }, {}]) {
      const store: StoreSchedule = { tile: { s: all }, reduce, staged: { w: { tile: {} } } }
      for (const lanes of [1, 2]) expect(tiled(kernel, store, lanes)).toBe(undefined)
    }
  }))

test("a local does not lie where lanes exchange the values of its folds", () =>
  withTable(() => {
    const folded = kernelOf({ shapes: { q: [3] }, axes: { one: 1 }, value: total("a", 3, x("q", "a")) })
    const local: Local = {
      kind: "local",
      name: "local0",
      axes: [{ name: "l", extent: literal(8) }],
      value: total("b", 4, x("w", "l", "b")),
    }
    const read: Store = {
      kind: "store",
      buffer: "z",
      axes: [{ name: "two", extent: literal(1) }],
      index: [v("two")],
      value: localRead("local0", [literal(0)], "f32"),
    }
    const f32 = { dtype: "f32", storage: "f32" } as const
    const kernel: Kernel = {
      ...folded,
      buffers: [...folded.buffers, { name: "z", ...f32, shape: [1] }, { name: "w", ...f32, shape: [8, 4] }],
      items: [local, read, ...folded.items],
    }
    const schedule: Schedule = {
      threads: 8,
      stores: [
        { tile: {}, reduce: {} },
        { tile: {}, reduce: { a: { group: 2 } } },
      ],
      locals: { b: { group: 4 } },
    }
    const effect = effectOf(kernel, kernelMemories(kernel, 3), symbols, "analytic")
    expect(checkLoops(effect, { schedule, options }, symbols, 1)).toBe(undefined)
  }))

test("folds of different extents over the same staged operand have rows of their own", () =>
  withTable(() => {
    const part = (axis: string, extent: number) => total(axis, extent, mul(x("x", "s", axis), x("w", "o", axis)))
    const [short, long] = [part("a", 4), part("b", 8)]
    const tile = { s: { block: 1 }, o: all } as const
    for (const value of [add(short, long), add(long, short)])
      for (const reduce of [{}, { b: { chunk: 4 } }])
        for (const lanes of [1, 2]) {
          const kernel = kernelOf({ shapes: { x: [3, 8], w: [4, 8] }, axes: { s: 3, o: 4 }, value })
          expect(tiled(kernel, { tile, reduce, staged: { x: { tile: {} } } }, lanes)).toBe(undefined)
        }
  }))

test("a factor that occurs twice is staged twice over, with all that goes along", () =>
  withTable(() => {
    const square = mul(mul(x("x", "s", "k"), x("g", "k")), x("x", "s", "k"))
    const kernel = kernelOf({
      shapes: { x: [3, 8], g: [8], w: [4, 8] },
      axes: { s: 3, o: 4 },
      value: total("k", 8, mul(mul(x("w", "o", "k"), square), literal(0.5, "f32"))),
    })
    for (const reduce of [{}, { k: { chunk: 4 } }])
      for (const lanes of [1, 2]) {
        const store: StoreSchedule = { tile: { s: all, o: all }, reduce, staged: { x: { tile: {} } } }
        expect(tiled(kernel, store, lanes)).toBe(undefined)
        const loops = loopsOf(kernel, { schedule: { threads: lanes, stores: [store], locals: {} }, options })
        const text = typeof loops === "string" ? loops : printLoop(loops.cleaned)
        // Once in the fill, and not in the product of each point.
        expect(text.match(/ g\[/g)).toHaveLength(1)
      }
  }))

test("threads wait for one another once between what they write of scores, pivots and weights and what they read of them", () =>
  withTable(() => {
    const scores = total("dim", 4, mul(x("q", "row", "dim"), x("k", "key", "dim")))
    const fold = reduce("key", literal(12), onlineMonoid("exp", 1), [scores, x("v", "key", "d")])
    const kernel = kernelOf({
      shapes: { q: [4, 4], k: [12, 4], v: [12, 3] },
      axes: { row: 4, d: 3 },
      value: component(fold, 1),
    })
    const staged = { q: { tile: {} }, k: { tile: {} }, v: { tile: {} } }
    const store: StoreSchedule = { tile: { row: all, d: all }, reduce: { key: { chunk: 4 } }, staged }
    expect(tiled(kernel, store, 4)).toBe(undefined)
    const loops = loopsOf(kernel, { schedule: { threads: 4, stores: [store], locals: {} }, options })
    const text = typeof loops === "string" ? loops : printLoop(loops.cleaned)
    // Of the block one, of q and the pivots one; of a chunk: operands; scores and pivots before; pivots; weights; their reads.
    expect(text.match(/^ *barrier$/gm)).toHaveLength(2 + 5)
  }))
