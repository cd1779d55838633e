/** The library functions in numbers, against the formulas in float64. */
import { beforeAll, describe, expect, test } from "vitest"
import { loadModel } from "../../compiler/frontend/load.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { literal, withTable } from "../../compiler/ir/expression.js"
import { input, type Tensor as Node } from "../../compiler/ir/tensor.js"
import { createTracing } from "../../compiler/trace/trace.js"
import { __scalar, withTracing } from "../../dsl/attach.js"
import type * as language from "../../dsl/index.js"
import type { Tensor } from "../../dsl/index.js"

/** The language after the front end: its scalar functions carry their expressions. */
let weft: typeof language
beforeAll(async () => {
  weft = (await loadModel("dsl/index.ts")).module as typeof language
})

type Given = Readonly<
  Record<string, { readonly axes: Readonly<Record<string, number>>; readonly values: readonly number[] }>
>

/** Traces `build` over f32 inputs and gives the result's numbers, in the order of `order`. */
function evaluate<const O extends readonly string[]>(
  given: Given,
  order: O,
  build: (inputs: Record<string, Tensor<string>>) => unknown,
): readonly number[] {
  return withTable(() => {
    const inputs = Object.entries(given).map(([name, { axes }]) => {
      const extents = Object.entries(axes).map(([axis, extent]) => ({ name: axis, extent: literal(extent) }))
      return [name, input(name, "input", extents, "f32", "f32", Object.values(axes))] as const
    })
    const root = withTracing(createTracing(), () => build(Object.fromEntries(inputs) as never)) as Node
    const values = new Map(
      Object.entries(given).map(([name, { axes, values }]) => [
        name,
        {
          axes: Object.entries(axes).map(([axis, extent]) => ({ name: axis, extent })),
          dtype: "f32" as const,
          data: Float64Array.from(values, Math.fround),
        },
      ]),
    )
    return ordered(interpretTensor([root], values, new Map())[0]!, order)
  })
}

function ordered({ axes, data }: Dense, order: readonly string[]): readonly number[] {
  expect(axes.map((a) => a.name).sort()).toEqual([...order].sort())
  const stride = (name: string) =>
    axes.slice(axes.findIndex((a) => a.name === name) + 1).reduce((n, a) => n * a.extent, 1)
  let offsets = [0]
  for (const name of order) {
    const { extent } = axes.find((a) => a.name === name)!
    offsets = offsets.flatMap((o) => Array.from({ length: extent }, (_, i) => o + i * stride(name)))
  }
  return offsets.map((o) => data[o]!)
}

const close = (found: readonly number[], wanted: readonly number[], tolerance = 1e-6) => {
  expect(found.length).toBe(wanted.length)
  for (const [i, f] of found.entries())
    expect(Math.abs(f - wanted[i]!), `${i}: ${f} for ${wanted[i]}`).toBeLessThan(
      tolerance * Math.max(1, Math.abs(wanted[i]!)),
    )
}
const numbers = (count: number, at = 1) => Array.from({ length: count }, (_, i) => Math.sin(at + i * 1.7) * 3)

describe("softmax", () => {
  test("is exp / Σ exp, however large the numbers", () => {
    const values = [1, 2, 3, 1001, 1002, 1003]
    const found = evaluate({ x: { axes: { row: 2, key: 3 }, values } }, ["row", "key"], ({ x }) =>
      weft.softmax(x!, "key"),
    )
    const e = [1, 2, 3].map((x) => Math.exp(x - 3))
    const p = e.map((x) => x / e.reduce((a, b) => a + b, 0))
    close(found, [...p, ...p])
  })

  test("masked elements are 0, and a row that is wholly masked is NaN", () => {
    const low = Number.NEGATIVE_INFINITY
    const found = evaluate(
      { x: { axes: { row: 2, key: 3 }, values: [5, low, 5, low, low, low] } },
      ["row", "key"],
      ({ x }) => weft.softmax(x!, "key"),
    )
    expect([...found]).toEqual([0.5, 0, 0.5, Number.NaN, Number.NaN, Number.NaN])
  })
})

test("rmsNorm", () => {
  const [values, w] = [numbers(8), numbers(4, 5)]
  const given = { x: { axes: { seq: 2, embed: 4 }, values }, w: { axes: { embed: 4 }, values: w } }
  const found = evaluate(given, ["seq", "embed"], ({ x, w }) => weft.rmsNorm(x!, w!, "embed", 1e-3))
  const wanted = [0, 1].flatMap((row) => {
    const x = values.slice(row * 4, row * 4 + 4)
    const size = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / 4 + 1e-3)
    return x.map((v, i) => (v / size) * w[i]!)
  })
  close(found, wanted)
})

test("silu stays finite", () => {
  const values = [-1e30, -200, -88, -20, -1, 0, 1, 20, 200, 1e30]
  const found = evaluate({ x: { axes: { a: values.length }, values } }, ["a"], ({ x }) => weft.map(weft.silu, x!))
  close(
    found.slice(1),
    values.slice(1).map((x) => x / (1 + Math.exp(-x))),
  )
  expect(found.every(Number.isFinite)).toBe(true)
  expect(Math.abs(found[0]!)).toBeLessThan(1e-7)
})

describe("rope", () => {
  const rotary = { frequencies: [1, 0.1, 0.01], scaling: 1.25 }
  const turned = (values: readonly number[], start: number) =>
    evaluate({ x: { axes: { seq: 2, dim: 6 }, values } }, ["seq", "dim"], ({ x }) =>
      weft.rope(x!, weft.iota("seq", 2, start, "position") as never, "dim", rotary),
    )

  test("turns the pairs (j, j + half) as complex numbers", () => {
    const values = numbers(12)
    const wanted = [0, 1].flatMap((row) => {
      const x = values.slice(row * 6, row * 6 + 6)
      const angle = (j: number) => (row + 7) * rotary.frequencies[j]!
      const real = [0, 1, 2].map((j) => 1.25 * (x[j]! * Math.cos(angle(j)) - x[j + 3]! * Math.sin(angle(j))))
      const imaginary = [0, 1, 2].map((j) => 1.25 * (x[j]! * Math.sin(angle(j)) + x[j + 3]! * Math.cos(angle(j))))
      return [...real, ...imaginary]
    })
    close(turned(values, 7), wanted)
  })

  test("products depend on the distance alone", () => {
    const values = numbers(12)
    const product = (rows: readonly number[]) => rows.slice(0, 6).reduce((sum, v, i) => sum + v * rows[i + 6]!, 0)
    expect(product(turned(values, 3))).toBeCloseTo(product(turned(values, 90)), 4)
  })

  test("refuses an axis that does not fit the frequencies", () => {
    const attempt = () =>
      evaluate({ x: { axes: { seq: 2, dim: 8 }, values: numbers(16) } }, ["seq", "dim"], ({ x }) =>
        weft.rope(x!, weft.iota("seq", 2, 0, "position") as never, "dim", rotary),
      )
    expect(attempt).toThrow("axis 'dim' has 8 elements, and there are 3 frequencies")
  })
})

describe("causal", () => {
  const seen = (window?: number) =>
    evaluate({ x: { axes: { seq: 3, key: 6 }, values: Array(18).fill(1) } }, ["seq", "key"], ({ x }) =>
      weft.causal(x!, weft.iota("seq", 3, 3, "position") as never, "key", window),
    ).map((v) => (v === 1 ? 1 : 0))

  test("keys up to the position", () => {
    expect(seen()).toEqual([1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1])
  })

  test("a window holds that many keys, the position's own among them", () => {
    expect(seen(2)).toEqual([0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1])
  })
})

test("a result of another value type than its type says is refused", () => {
  const span = { file: "model.ts", line: 1, column: 1, length: 1, text: "(v) => bits(v)" }
  const place = [1, 1, 1] as const
  const wordOf = __scalar((v: number) => v, {
    kind: "function",
    parameters: ["v"],
    locals: [],
    result: { kind: "operation", operation: "bits", args: [{ kind: "parameter", index: 0, span: place }], span: place },
    captures: () => ({}),
    span,
  })
  const given = { x: { axes: { a: 2 }, values: [1, -2] } }
  expect(() => evaluate(given, ["a"], ({ x }) => weft.map(wordOf, x!))).toThrow(
    "the scalar function gives u32, and its type says f32",
  )
  expect(evaluate(given, ["a"], ({ x }) => weft.mapTo("u32", wordOf, x!))).toEqual([0x3f800000, 0xc0000000])
})
