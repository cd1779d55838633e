/**
 * Random kernels of sums over thousands of elements: what an order of folding does to digits shows there only.
 *
 *   y[row] = sum_{k < n}(x[row, k] · w[k]) / n            n from 4,097 on, as a number or as a symbol whose maximum is larger
 *   y[o]   = sum_{i < 70}(sum_{j < 90}(x[i, j]))          no axis is long, and all of them are
 *
 * What is added: a constant, for which roundings go all one way; numbers of one sign; of both; and one number before many that vanish beside
 * it when they are added one by one.
 */
import fc from "fast-check"
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { apply, component, literal, load, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { max, onlineMonoid, product, sum } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { Axis } from "../../compiler/ir/tensor.js"

export const contents = ["constant", "positive", "mixed", "vanishing"] as const
export const shapes = ["sum", "dot", "contraction", "nested", "beside", "exp", "moments"] as const

export interface LongRecipe {
  readonly shape: (typeof shapes)[number]
  readonly content: (typeof contents)[number]
  readonly count: number
  readonly rows: number
  /** Whether the extent is a symbol, with room above. */
  readonly open: boolean
  readonly seed: number
}

/** Some end with whole vectors, and the others do not. */
const countOf = ([size, odd]: readonly [number, number]): number => {
  const wanted = Math.round(2 ** size)
  return odd < 4 ? Math.ceil(wanted / 64) * 64 : wanted + odd
}

/** Of more than 4,096 elements and about 2 ** `largest` at most. */
export const longRecipes = (largest: number): fc.Arbitrary<LongRecipe> =>
  fc.record({
    shape: fc.constantFrom(...shapes),
    content: fc.constantFrom(...contents),
    count: fc.tuple(fc.double({ min: 12.1, max: largest, noNaN: true }), fc.nat(9)).map(countOf),
    rows: fc.constantFrom(1, 3, 8),
    open: fc.boolean(),
    seed: fc.nat(0xffff),
  })

export interface LongKernel {
  readonly kernel: Kernel
  readonly symbols: ReadonlyMap<string, number>
  readonly folded: number
}

const f32 = (name: string, ...shape: number[]): KernelBuffer => ({ name, dtype: "f32", storage: "f32", shape })
const read = (name: string, ...axes: string[]): Expression =>
  load(
    name,
    axes.map((a) => variable(a)),
    "f32",
  )

export function buildLong({ shape, count: n, rows, open }: LongRecipe): LongKernel {
  const inner = Math.max(2, Math.floor(Math.sqrt(n)))
  const sizes = shape === "nested" ? [Math.ceil(n / inner), inner] : [n]
  const symbols = new Map<string, number>()
  // One symbol goes far beyond what it is here; of two, each stays below what makes a fold long.
  const room = (count: number) => (shape === "nested" ? count + 50 : 2 * count)
  const capacity = sizes.map((count) => (open ? room(count) : count))
  const extents = sizes.map((count, i) => {
    if (!open) return literal(count)
    symbols.set(`n${i}`, count)
    return symbol(`n${i}`, room(count), 16)
  })
  const outs = shape === "contraction" ? 16 : 1
  const row: Axis = { name: "row", extent: literal(rows) }
  const out: Axis = { name: "out", extent: literal(outs) }
  const buffers = [f32("x", rows, ...capacity), f32("w", outs, ...capacity), f32("y", rows, outs)]
  const [a] = extents as [Expression]
  const over = (lift: Expression, monoid = sum) => reduce("a", a, monoid, [lift])
  const products = mul(read("x", "row", "a"), read("w", "out", "a"))
  const value = (): Expression => {
    switch (shape) {
      case "sum":
        return apply("mul", over(read("x", "row", "a")), literal(1 / 1024, "f32"))
      case "dot":
      case "contraction":
        return over(products)
      case "nested":
        return over(reduce("b", extents[1]!, sum, [read("x", "row", "a", "b")]))
      case "beside": {
        const both = reduce("a", a, product(max, sum), [read("x", "row", "a"), products]) as Reduce
        return apply("add", component(both, 1), component(both, 0))
      }
      case "exp": {
        const score = mul(read("x", "row", "a"), literal(1 / 16, "f32"))
        const r = reduce("a", a, onlineMonoid("exp", 2), [score, literal(1, "f32"), read("w", "out", "a")]) as Reduce
        return apply("div", component(r, 2), component(r, 1))
      }
      case "moments": {
        const r = reduce("a", a, onlineMonoid("moments", 1), [read("x", "row", "a"), literal(1, "f32")]) as Reduce
        return apply("div", component(r, 2), component(r, 0))
      }
      default:
        return shape satisfies never
    }
  }
  const axes = [row, out]
  const item = {
    kind: "store" as const,
    buffer: "y",
    axes,
    index: axes.map((x) => variable(x.name)),
    value: value(),
  }
  const used = shape === "sum" || shape === "nested" || shape === "moments" ? ["x", "y"] : ["x", "w", "y"]
  const kernel = { name: "long", buffers: buffers.filter((b) => used.includes(b.name)), items: [item], spans: [] }
  return { kernel, symbols, folded: sizes.reduce((p, q) => p * q, 1) }
}

/** The memories of such a kernel. */
export function longMemories({ buffers }: Kernel, { content, seed }: LongRecipe): Map<string, Memory> {
  let state = seed + 1
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround((state >>> 8) / 2 ** 24)
  }
  const tiny = 2 ** -25
  const element = (i: number): number => {
    switch (content) {
      case "constant":
        return Math.fround(0.1)
      case "positive":
        return random()
      case "mixed":
        return Math.fround(random() - 0.5)
      case "vanishing":
        return i === 0 ? 1 : tiny
      default:
        return content satisfies never
    }
  }
  return new Map(
    buffers.map(({ name, shape, dtype, storage }) => {
      const memory = allocateBuffer(
        dtype,
        storage,
        shape.reduce((p, q) => p * q, 1),
      )
      const row = shape.slice(1).reduce((p, q) => p * q, 1)
      const ones = name === "w" && content === "vanishing"
      if (name !== "y") for (let i = 0; i < memory.size; i++) writeElement(memory, i, ones ? 1 : element(i % row))
      return [name, memory]
    }),
  )
}
