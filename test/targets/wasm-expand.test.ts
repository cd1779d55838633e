import { describe, expect, test } from "vitest"
import { apply, evaluate, variable, walk } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Operation } from "../../compiler/ir/operations.js"
import { expand, expandable } from "../../compiler/targets/expand.js"

/** A small deterministic generator. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const view = new DataView(new ArrayBuffer(4))
const ordinal = (x: number) => {
  view.setFloat32(0, x)
  const bits = view.getInt32(0)
  return bits < 0 ? -2147483648 - bits : bits
}
/** Distance in units in the last place; non-finite values must agree. */
function ulps(got: number, want: number): number {
  const rounded = Math.fround(want)
  if (Object.is(got, rounded) || got === rounded) return 0
  if (Number.isNaN(got) || Number.isNaN(rounded)) return Number.POSITIVE_INFINITY
  return Math.abs(ordinal(got) - ordinal(rounded))
}

const x = variable("x", "f32")
const y = variable("y", "f32")
const compile = (e: Expression) => {
  const made = expand(e, expandable)
  return (a: number, b = 0) => evaluate(made, new Map([["x", Math.fround(a)], ["y", Math.fround(b)]])) // biome-ignore format: one line
}
const worst = (inputs: readonly number[], error: (x: number) => number) => {
  let most = { error: -1, at: 0 }
  for (const v of inputs) {
    const e = error(Math.fround(v))
    if (e > most.error || Number.isNaN(e)) most = { error: e, at: v }
  }
  return most
}
const spread = (low: number, high: number, count = 4000, seed = 1) => {
  const random = generator(seed)
  return Array.from({ length: count }, () => low + (high - low) * random())
}
/** Random signs, exponents and mantissas. */
const anyFloat = (count = 4000) => {
  const random = generator(7)
  return Array.from({ length: count }, () => (random() < 0.5 ? -1 : 1) * 2 ** (-149 + 277 * random()))
}

describe("expansions, against Math", () => {
  test("exp is within 2 ulp over its whole range, underflows to 0 and overflows to +infinity", () => {
    const exp = compile(apply("exp", x))
    const inputs = [
      ...spread(-104, 89),
      ...spread(-1, 1),
      ...anyFloat(500),
      0,
      -0,
      88.72,
      88.73,
      -87.3,
      -103.9,
      1e38,
      -1e38,
    ]
    expect(worst(inputs, (v) => ulps(exp(v), Math.exp(v))).error).toBeLessThanOrEqual(2)
    expect(exp(-1e4)).toBe(0)
    expect(exp(1e4)).toBe(Number.POSITIVE_INFINITY)
    expect(exp(0)).toBe(1)
  })
  test("log is within 2 ulp for every positive float", () => {
    const log = compile(apply("log", x))
    const inputs = [
      ...anyFloat().map(Math.abs),
      ...spread(0.5, 2),
      1,
      1e-45,
      1.17e-38,
      3.4e38,
      Math.SQRT2,
      Math.SQRT1_2,
    ]
    expect(worst(inputs, (v) => ulps(log(v), Math.log(v))).error).toBeLessThanOrEqual(2)
    expect(log(0)).toBe(Number.NEGATIVE_INFINITY)
    expect(log(-1)).toBeNaN()
  })
  test("sin and cos are within 1e-6 up to 2^17 and bounded beyond", () => {
    const multiples = Array.from({ length: 4000 }, (_, i) => (i * 20 * Math.PI) / 2)
    const inputs = [...spread(-131072, 131072), ...spread(-10, 10), ...multiples, 0, 131072, -131072, 1e-30]
    for (const name of ["sin", "cos"] as const) {
      const expanded = compile(apply(name, x))
      expect(worst(inputs, (v) => Math.abs(expanded(v) - Math[name](v))).error).toBeLessThanOrEqual(2e-7)
      for (const v of anyFloat(300)) expect(Math.abs(expanded(v))).toBeLessThanOrEqual(1)
    }
  })
  test("tanh is within 3 ulp", () => {
    const tanh = compile(apply("tanh", x))
    const inputs = [...spread(-12, 12), ...spread(-0.7, 0.7), ...anyFloat(500), 0, 0.625, 1e-40]
    expect(worst(inputs, (v) => ulps(tanh(v), Math.tanh(v))).error).toBeLessThanOrEqual(3)
  })
  test("pow is within 2 ulp wherever the result is a normal number", () => {
    const pow = compile(apply("pow", x, y))
    const random = generator(3)
    let most = 0
    for (let n = 0; n < 6000; n++) {
      const a = Math.fround(n % 2 ? 2 ** (-149 + 277 * random()) : 4 * random())
      const b = Math.fround((random() - 0.5) * (n % 3 ? 20 : 250))
      const want = a ** b
      if (want < 1.2e-38 || want > 3.4e38) continue
      most = Math.max(most, ulps(pow(a, b), want))
    }
    expect(most).toBeLessThanOrEqual(2)
  })
  test("pow follows Math.pow in signs and at its ends", () => {
    const pow = compile(apply("pow", x, y))
    for (const [
      a,
      b,
    ] of [[-2, 3], [-2, 2], [-2, -1], [-1.5, 0], [0, 0], [0, 2], [0, -1], [-3, 5], [10, 50], [10, -60], [1, 1e9],
      [-1, 1e9], [2, 1e38], [2, -1e38], [0.5, 1e38], [-2, 0.5], [2, -140], [1e-40, 0.5]] as const) // biome-ignore format: a table
      expect(ulps(pow(a, b), Math.fround(a) ** Math.fround(b)), `${a} ** ${b}`).toBeLessThanOrEqual(2)
  })
  test("sign and rem", () => {
    const sign = compile(apply("sign", x))
    for (const v of [-3, 0, 5, 1e-45, -1e-45]) expect(sign(v)).toBe(Math.sign(v) + 0)
    const rem = compile(apply("rem", x, y))
    for (const [a, b] of [
      [7, 3],
      [-7, 3],
      [7, -3],
      [5.5, 0.5],
      [1, 3],
      [0.75, 0.1],
      [-100.25, 7],
    ] as const)
      expect(rem(a, b)).toBeCloseTo(a - b * Math.trunc(a / b), 5)
  })
})

describe("expand", () => {
  test("leaves nothing that is lacking and works on vectors", () => {
    const v = variable("v", "f32", 4)
    const root = apply("add", apply("tanh", v), apply("pow", apply("sin", v), apply("cos", v)))
    const made = expand(root, expandable)
    const seen = new Set<Operation>()
    walk(made, (e) => {
      if (e.kind === "operation") seen.add(e.operation)
    })
    expect([...seen].filter((o) => expandable.has(o))).toEqual([])
    expect(made.width).toBe(4)
  })
  test("keeps what the target has", () => {
    const root = apply("tanh", x)
    expect(expand(root, new Set(["sin"]))).toBe(root)
    const seen: string[] = []
    walk(expand(root, new Set(["tanh"])), (e) => {
      if (e.kind === "operation") seen.push(e.operation)
    })
    expect(seen).toContain("exp")
  })
  test("sin and cos of one angle share their reduction", () => {
    const count = (e: Expression) => {
      let n = 0
      walk(expand(e, expandable), () => n++)
      return n
    }
    const both = apply("add", apply("sin", x), apply("cos", x))
    expect(count(both)).toBeLessThan(1.4 * count(apply("sin", x)))
  })
  test("names an operation without an expansion", () => {
    expect(() => expand(apply("floor", x), new Set(["floor"]))).toThrow("'floor' has no expansion")
  })
})
