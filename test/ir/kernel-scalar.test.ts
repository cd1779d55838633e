/** Compiled scalars against the table of operations, and the rules of bounds. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { compileBound, compileScalar } from "../../compiler/interpret/scalar.js"
import { apply, literal, variable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type DType, type Operation, operation, operations, resultType, roundTo } from "../../compiler/ir/operations.js"

const edges: Record<DType, readonly number[]> = {
  f32: [
    0,
    -0,
    1,
    -1,
    0.5,
    1.5,
    2.5,
    -2.5,
    3.7,
    -1e10,
    4294967296,
    Math.fround(0.1),
    Math.fround(1e-40),
    3.4e38,
    -7,
  ].map(Math.fround),
  i32: [0, 1, -1, 2, -2, 3, 7, -7, 31, 33, 2147483647, -2147483648, 65537],
  u32: [0, 1, 2, 3, 7, 31, 33, 2147483647, 2147483648, 4294967295, 65537],
  bool: [0, 1],
}
const names = Object.keys(operations) as Operation[]
const signatures = names.flatMap((name) => {
  const { arity, on, rule } = operation(name)
  return on.map((d) => ({
    name,
    types: Array.from({ length: arity }, (_, i): DType => (rule === "select" && i === 0 ? "bool" : d)),
  }))
})
const over = (name: Operation, types: readonly DType[]) => apply(name, ...types.map((d, i) => variable(`x${i}`, d)))

test("every operation on every dtype is what the table says, to the bit", () => {
  for (const { name, types } of signatures) {
    const result = resultType(name, types) as DType
    const compiled = compileScalar(
      over(name, types),
      types.map((_, i) => `x${i}`),
    )
    const points = types.reduce<number[][]>((ps, d) => ps.flatMap((p) => edges[d].map((x) => [...p, x])), [[]])
    for (const p of points) {
      if ((name === "floordiv" || name === "floormod") && p[1]! <= 0) continue
      const wanted = roundTo(result, operation(name).evaluate(types[0]!, ...p))
      const found = compiled(...p)
      if (!Object.is(found, wanted)) expect([name, types, p, found]).toEqual([name, types, p, wanted])
    }
  }
})

const [a, b] = [variable("a", "f32"), variable("b", "f32")]

describe("compiled expressions", () => {
  test("f32 rounds after every operation, float64 never", () => {
    const x = apply("sub", apply("add", a, b), a)
    expect(compileScalar(x, ["a", "b"])(1, 2 ** -30)).toBe(0)
    expect(compileScalar(x, ["a", "b"], "float64")(1, 2 ** -30)).toBe(2 ** -30)
  })

  test("a DAG of 60 doublings costs 60 operations", () => {
    let x: Expression = a
    for (let i = 0; i < 60; i++) x = apply("add", x, x)
    expect(compileScalar(x, ["a"])(1)).toBe(2 ** 60)
  })
})

describe("bounds", () => {
  const bound = (x: Expression, p: number, q: number) => compileBound(x, ["a", "b"])([p, q], [Math.abs(p), Math.abs(q)])
  test("are the program on absolute values for + − ×", () => {
    const x = apply("mul", apply("sub", a, b), apply("add", apply("neg", a), literal(-2, "f32")))
    expect(bound(x, 3, 2)).toEqual({ value: -5, bound: 25 })
  })
  test("follow the branch of a select and the winner of a contest", () => {
    const big = literal(-3e38, "f32")
    expect(bound(apply("max", a, big), 2, 0)).toEqual({ value: 2, bound: 2 })
    expect(bound(apply("select", apply("lt", a, b), a, big), 2, 3)).toEqual({ value: 2, bound: 2 })
    const near = apply("max", apply("sub", a, b), apply("sub", apply("add", a, b), apply("add", b, b)))
    expect(bound(near, 2, 1)).toEqual({ value: 1, bound: 5 })
  })

  test("are never negative or undefined: a root of minus zero, a quotient by zero, a result below the normal numbers", () => {
    const zero = apply("sub", a, a)
    expect(bound(apply("sqrt", apply("mul", zero, b)), 1, -1).bound).toBeGreaterThan(0)
    expect(bound(apply("div", a, zero), 1, 1).bound).toBe(Number.POSITIVE_INFINITY)
    expect(bound(apply("exp", a), -100, 0).bound * 8 * 2 ** -24).toBeGreaterThanOrEqual(2 ** -126)
  })

  const smooth: readonly Operation[] = [
    "add",
    "sub",
    "mul",
    "div",
    "sqrt",
    "exp",
    "log",
    "sin",
    "cos",
    "tanh",
    "min",
    "max",
    "abs",
  ]
  const program = fc.letrec<{ x: Expression }>((tie) => ({
    x: fc.oneof(
      { maxDepth: 3, depthSize: "large" },
      fc.constantFrom<Expression>(a, b, literal(0.75, "f32")),
      fc
        .tuple(fc.constantFrom(...smooth), tie("x"), tie("x"))
        .map(([name, p, q]) => apply(name, ...[p, q].slice(0, operation(name).arity))),
    ),
  })).x

  test("hold the difference between rounded and float64 arithmetic", () => {
    let checked = 0
    fc.assert(
      fc.property(
        program,
        fc.float({ min: 0.25, max: 4, noNaN: true }),
        fc.float({ min: -4, max: -0.25, noNaN: true }),
        (x, p, q) => {
          const exact = compileScalar(x, ["a", "b"], "float64")(p, q)
          const { value, bound: c } = bound(x, p, q)
          if (!Number.isFinite(value) || !Number.isFinite(exact) || !(c < 1e30)) return
          checked++
          expect(Math.abs(value - exact)).toBeLessThanOrEqual(8 * 2 ** -24 * c)
        },
      ),
      { numRuns: 1000 },
    )
    expect(checked).toBeGreaterThan(300)
  })
})
