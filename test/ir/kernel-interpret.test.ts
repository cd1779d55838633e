import { describe, expect, test } from "vitest"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { KernelFault, type KernelFaultCode } from "../../compiler/interpret/kernel-fault.js"
import { allocateBuffer, type Memory, memoryOf } from "../../compiler/interpret/memory.js"
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
} from "../../compiler/ir/expression.js"
import type { Item, Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { argmax, type Monoid, max, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { Axis } from "../../compiler/ir/tensor.js"

const axis = (name: string, extent: number | Expression): Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const f = (x: number) => literal(x, "f32")
const buffer = (name: string, shape: number[], storage: KernelBuffer["storage"] = "f32"): KernelBuffer => ({
  name,
  dtype: storage === "bf16" || storage === "f16" ? "f32" : storage,
  storage,
  shape,
})
const kernel = (buffers: KernelBuffer[], ...items: Item[]): Kernel => ({ name: "k", buffers, items, spans: [] })
const store = (to: string, axes: Axis[], value: Expression, index?: Expression[]): Item => ({
  kind: "store",
  buffer: to,
  axes,
  index: index ?? axes.map((a) => variable(a.name)),
  value,
})
const local = (name: string, axes: Axis[], value: Expression): Item => ({ kind: "local", name, axes, value })

/** Runs a kernel and gives the numbers of `y`. */
function run(k: Kernel, inputs: Record<string, Memory>, symbols: Record<string, number> = {}): number[] {
  const buffers = new Map(Object.entries(inputs))
  for (const b of k.buffers)
    if (!buffers.has(b.name))
      buffers.set(
        b.name,
        allocateBuffer(
          b.dtype,
          b.storage,
          b.shape.reduce((n, x) => n * x, 1),
        ),
      )
  interpretKernel(k, buffers, new Map(Object.entries(symbols)))
  return [...buffers.get("y")!.values]
}
function faultOf(k: Kernel, inputs: Record<string, Memory>, symbols: Record<string, number> = {}): KernelFaultCode {
  try {
    run(k, inputs, symbols)
  } catch (e) {
    if (e instanceof KernelFault) return e.code
    throw e
  }
  throw new Error("no fault")
}

const x23 = memoryOf("f32", [1, 2, 3, 4, 5, 6])
const [i, j] = [variable("i"), variable("j")]
const xij = load("x", [i, j], "f32")
const rows = symbol("rows", 50_000, 2)

describe("values", () => {
  test("a row sum, for each value of the symbol", () => {
    const k = kernel(
      [buffer("x", [8, 3]), buffer("y", [8])],
      store("y", [axis("i", rows)], reduce("j", literal(3), sum, [xij])),
    )
    const x = memoryOf("f32", [1, 2, 3, 4, 5, 6, ...new Array(18).fill(0)])
    expect(run(k, { x }, { rows: 2 })).toEqual([6, 15, 0, 0, 0, 0, 0, 0])
    expect(run(k, { x }, { rows: 1 })).toEqual([6, 0, 0, 0, 0, 0, 0, 0])
    expect(run(k, { x }, { rows: 0 })).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  })

  test("a local is computed over its axes and read at any index", () => {
    const reversed = localRead("m", [sub(literal(1), i)], "f32")
    const k = kernel(
      [buffer("x", [2, 3]), buffer("y", [2, 3])],
      local("m", [axis("r", 2)], reduce("c", literal(3), max, [load("x", [variable("r"), variable("c")], "f32")])),
      store("y", [axis("i", 2), axis("j", 3)], apply("sub", xij, reversed)),
    )
    expect(run(k, { x: x23 })).toEqual([-5, -4, -3, 1, 2, 3])
  })

  test("an empty reduction gives the identity", () => {
    const fold = (m: Monoid) => reduce("j", rows, m, [load("x", [i, j], "f32")])
    const k = (m: Monoid) => kernel([buffer("x", [2, 3]), buffer("y", [2])], store("y", [axis("i", 2)], fold(m)))
    expect(run(k(sum), { x: x23 }, { rows: 0 })).toEqual([0, 0])
    expect(run(k(max), { x: x23 }, { rows: 0 })).toEqual([-Infinity, -Infinity])
  })

  test("argmax, top and products of monoids by components", () => {
    const x = memoryOf("f32", [3, 9, 9, 1])
    const at = load("x", [j], "f32")
    const ranks = reduce("j", literal(4), top(3), [at, j]) as Reduce
    const slots = kernel(
      [buffer("x", [4]), buffer("y", [2, 3])],
      store("y", [axis("s", 3)], component(ranks, 0, variable("s")), [literal(0), variable("s")]),
      store("y", [axis("t", 3)], apply("toF32", component(ranks, 1, variable("t"))), [literal(1), variable("t")]),
    )
    expect(run(slots, { x })).toEqual([9, 9, 3, 1, 2, 0])
    const both = reduce("j", literal(4), product(sum, argmax), [at, at, j]) as Reduce
    const parts = kernel(
      [buffer("x", [4]), buffer("y", [3])],
      ...[0, 1, 2].map((c) => store("y", [], apply("toF32", component(both, c)), [literal(c)])),
    )
    expect(run(parts, { x })).toEqual([22, 9, 1])
  })

  test("a scan is an inclusive prefix, also where its position does not go by one", () => {
    const prefix = (at: Expression) => scan("k", at, sum, [load("x", [variable("r"), variable("k")], "f32")])
    const over = (at: Expression, ...axes: Axis[]) =>
      kernel([buffer("x", [2, 3]), buffer("y", [2, 3])], store("y", axes, prefix(at), [variable("r"), variable("c")]))
    const [r, c] = [axis("r", 2), axis("c", 3)]
    expect(run(over(variable("c"), r, c), { x: x23 })).toEqual([1, 3, 6, 4, 9, 15])
    expect(run(over(variable("c"), c, r), { x: x23 })).toEqual([1, 3, 6, 4, 9, 15])
    expect(run(over(sub(literal(2), variable("c")), r, c), { x: x23 })).toEqual([6, 3, 1, 15, 9, 4])
    expect(run(over(sub(variable("c"), literal(1)), r, c), { x: x23 })).toEqual([0, 1, 3, 0, 4, 9])
  })

  test("storage rounds: a bf16 store and the load after it", () => {
    const k = kernel(
      [buffer("x", [2], "bf16"), buffer("y", [2], "bf16")],
      store("y", [axis("i", 2)], apply("mul", load("x", [i], "f32"), f(1.0078125))),
    )
    expect(run(k, { x: memoryOf("bf16", [1, 3]) })).toEqual([1.0078125, 3.03125])
  })

  test("a sum of f32 is rounded once", () => {
    const k = kernel(
      [buffer("x", [3]), buffer("y", [1])],
      store("y", [], reduce("j", literal(3), sum, [load("x", [j], "f32")]), [literal(0)]),
    )
    expect(run(k, { x: memoryOf("f32", [1, 2 ** -24, 2 ** -24]) })).toEqual([1 + 2 ** -23])
  })

  test("branches that would fault are not taken, and reductions stay behind their guard", () => {
    const inside = apply("lt", j, rows)
    const guarded = (x: Expression) => apply("select", inside, x, f(-1))
    const k = (x: Expression) => kernel([buffer("x", [2]), buffer("y", [4])], store("y", [axis("j", 4)], guarded(x)))
    const x = memoryOf("f32", [5, 6])
    expect(run(k(load("x", [j], "f32")), { x }, { rows: 2 })).toEqual([5, 6, -1, -1])
    const whole = reduce("n", add(rows, rows), sum, [load("x", [variable("n")], "f32")])
    expect(run(k(apply("mul", whole, whole)), { x }, { rows: 1 })).toEqual([121, -1, -1, -1])
    expect(run(k(whole), { x }, { rows: 0 })).toEqual([-1, -1, -1, -1])
  })

  test("a guarded reduction is computed once per point of its free variables", () => {
    const n = 50_000
    const whole = reduce("n", literal(n), sum, [load("x", [variable("n")], "f32")])
    const value = apply("select", apply("lt", j, rows), apply("add", whole, f(1)), f(-1))
    const k = kernel([buffer("x", [n]), buffer("y", [n])], store("y", [axis("j", n)], value))
    let reads = 0
    const x = memoryOf("f32", new Array(n).fill(1))
    const counted = new Proxy(x.values, {
      get(values, key) {
        if (++reads > 10 * n) throw new Error("read again for each point")
        const found: unknown = Reflect.get(values, key, values)
        return typeof found === "function" ? found.bind(values) : found
      },
    })
    expect(run(k, { x: { ...x, values: counted } }, { rows: n })[n - 1]).toBe(n + 1)
    expect(reads).toBeGreaterThanOrEqual(n)
  })

  test("what is outside of a loop that runs no time is not evaluated", () => {
    const value = apply("mul", load("x", [literal(5)], "f32"), load("x", [j], "f32"))
    const k = kernel(
      [buffer("x", [2]), buffer("y", [1])],
      store("y", [], reduce("j", rows, sum, [value]), [literal(0)]),
    )
    expect(run(k, { x: memoryOf("f32", [5, 6]) }, { rows: 0 })).toEqual([0])
    expect(faultOf(k, { x: memoryOf("f32", [5, 6]) }, { rows: 1 })).toBe("range")
  })

  test("bounds travel beside values", () => {
    const k = kernel(
      [buffer("x", [2]), buffer("y", [2])],
      store("y", [axis("i", 2)], apply("sub", load("x", [i], "f32"), f(3))),
    )
    const buffers = new Map([
      ["x", memoryOf("f32", [4, 5])],
      ["y", allocateBuffer("f32", "f32", 2)],
    ])
    const bounds = new Map([
      ["x", Float64Array.of(4, 7)],
      ["y", new Float64Array(2)],
    ])
    interpretKernel(k, buffers, new Map(), { bounds })
    expect([...buffers.get("y")!.values]).toEqual([1, 2])
    expect([...bounds.get("y")!]).toEqual([7, 10])
  })
})

describe("faults", () => {
  const copy = (index: Expression[], value: Expression) =>
    kernel([buffer("x", [2, 3]), buffer("y", [4])], store("y", [axis("i", 4)], value, index))
  test("range: a load outside of the capacity of an axis", () => {
    expect(faultOf(copy([i], load("x", [literal(0), i], "f32")), { x: x23 })).toBe("range")
    expect(faultOf(copy([i], load("x", [literal(0), sub(i, literal(1))], "f32")), { x: x23 })).toBe("range")
  })
  test("range: a store outside", () => {
    expect(faultOf(copy([mul(i, literal(2))], f(1)), { x: x23 })).toBe("range")
  })
  test("local-range: a read outside of a local's axes", () => {
    const k = kernel(
      [buffer("y", [4])],
      local("m", [axis("r", rows)], f(1)),
      store("y", [axis("i", 4)], localRead("m", [i], "f32")),
    )
    expect(faultOf(k, {}, { rows: 3 })).toBe("local-range")
    expect(run(k, {}, { rows: 4 })).toEqual([1, 1, 1, 1])
  })
  test("twice: two points of one store, or two stores, hit one element", () => {
    expect(faultOf(copy([literal(1)], f(1)), { x: x23 })).toBe("twice")
    const k = kernel([buffer("y", [2])], store("y", [axis("i", 2)], f(1)), store("y", [axis("j", 1)], f(2)))
    expect(faultOf(k, {})).toBe("twice")
  })
  test("slot: a component beyond the ranks", () => {
    const ranks = reduce("j", literal(3), top(2), [load("x", [literal(0), j], "f32"), j]) as Reduce
    expect(faultOf(copy([i], component(ranks, 0, i)), { x: x23 })).toBe("slot")
  })
  test("binding: a missing symbol, a missing buffer, a buffer that does not fit", () => {
    const k = kernel(
      [buffer("x", [2, 3]), buffer("y", [2])],
      store("y", [axis("i", rows)], load("x", [i, literal(0)], "f32")),
    )
    expect(faultOf(k, { x: x23 })).toBe("binding")
    expect(faultOf(k, { x: memoryOf("f32", [1]) }, { rows: 1 })).toBe("binding")
    expect(() => interpretKernel(k, new Map([["x", x23]]), new Map([["rows", 1]]))).toThrow("there is no buffer 'y'")
  })
  test("malformed: a name that is not there, an index of the wrong length", () => {
    expect(faultOf(copy([i], localRead("nowhere", [i], "f32")), { x: x23 })).toBe("malformed")
    expect(faultOf(copy([i], load("x", [i], "f32")), { x: x23 })).toBe("malformed")
  })
})
