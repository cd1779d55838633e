import { describe, expect, test } from "vitest"
import { apply, literal, splat } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type DType, type Operation, operation, operations, resultType, roundTo } from "../../compiler/ir/operations.js"
import { elementwise, generator, samples } from "./wasm-support.js"

const widths = [1, 2, 4, 8]
const size = 256

function argumentTypes(name: Operation, dtype: DType): DType[] {
  const { arity, rule } = operation(name)
  return rule === "select" ? ["bool", dtype, dtype] : Array.from({ length: arity }, () => dtype)
}

/** What the table says, and how far a device may be from it. */
function reference(name: Operation, dtypes: readonly DType[], args: readonly number[]) {
  const to = resultType(name, dtypes) as DType
  const exact = operation(name).evaluate(dtypes[0]!, ...args)
  return { to, exact, value: roundTo(to, exact), error: operation(name).error ?? 0 }
}

function expectClose(name: Operation, got: number, dtypes: readonly DType[], args: readonly number[]) {
  const { to, exact, value, error } = reference(name, dtypes, args)
  const label = `${name}(${args.join(", ")}) of ${dtypes.join(", ")} is ${value}, not ${got}`
  // Of a NaN and a number, and of zeros, either of them.
  if (name === "looseMax" && (args.some(Number.isNaN) || args.every((x) => x === 0))) {
    expect(
      args.some((x) => Object.is(x, got)),
      label,
    ).toBe(true)
    return
  }
  // Which NaN it is, is not said.
  if (name === "bits" && Number.isNaN(args[0])) {
    expect(operation("fromBits").evaluate("u32", got), label).toBeNaN()
    return
  }
  // The sine of −0 is a zero of either sign.
  if (name === "sin" && value === 0) expect(got, label).toBeCloseTo(0, 30)
  else if (to !== "f32" || Number.isNaN(value) || value === 0) {
    expect(got, label).toBe(value)
    return
  }
  if (got === value) return
  if (name === "sin" || name === "cos" || name === "angle") {
    const off = Math.abs(got - exact)
    expect(name === "angle" ? Math.min(off, Math.abs(off - 2 * Math.PI)) : off, label).toBeLessThanOrEqual(1e-6)
    return
  }
  const bound = error * 2 ** -24 * Math.abs(exact) + 2e-45
  expect(Math.abs(got - exact), label).toBeLessThanOrEqual(bound)
}

describe("every operation on every dtype and width is what the table says", () => {
  for (const name of Object.keys(operations) as Operation[]) {
    const indices = name === "floordiv" || name === "floormod"
    for (const dtype of operation(name).on)
      test(`${name} of ${dtype}`, async () => {
        const random = generator(name.length * 31 + dtype.length)
        const dtypes = argumentTypes(name, dtype)
        const inputs = dtypes.map((d) => ({ dtype: d, values: samples(d, size, random) }))
        const to = resultType(name, dtypes) as DType
        for (const width of widths)
          for (const divisor of indices ? [1, 2, 7, 64, 100] : [0]) {
            const of = (...args: Expression[]) =>
              indices ? apply(name, args[0]!, splat(literal(divisor, dtype), width)) : apply(name, ...args)
            const out = await elementwise(inputs, to, width, of)
            for (let i = 0; i < size; i++) {
              const args = inputs.map((x) => x.values[i]!)
              if (indices) args[1] = divisor
              expectClose(name, out[i]!, dtypes, args)
            }
          }
      })
  }
})

describe("mixed widths", () => {
  test("a scalar operand means the same value in all lanes", async () => {
    const x = { dtype: "f32" as const, values: samples("f32", 64, generator(1)) }
    const out = await elementwise([x], "f32", 4, (a) =>
      apply("add", literal(1.5, "f32"), apply("mul", a, literal(2, "f32"))),
    )
    x.values.forEach((v, i) => {
      expect(out[i]).toBe(Math.fround(1.5 + Math.fround(v * 2)))
    })
  })
  test("a shift by a scalar amount, and a select by a scalar condition", async () => {
    const x = { dtype: "i32" as const, values: samples("i32", 64, generator(2)) }
    const shifted = await elementwise([x], "i32", 8, (a) => apply("shr", a, literal(35)))
    x.values.forEach((v, i) => {
      expect(shifted[i]).toBe(v >> 3)
    })
  })
})
