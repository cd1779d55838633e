import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type DType, type Operation, operation, operations, resultType, roundTo } from "../../compiler/ir/operations.js"

const names = Object.keys(operations) as Operation[]
const evaluate = (name: Operation, dtype: DType, ...x: number[]) =>
  roundTo(resultType(name, Array(x.length).fill(dtype)) as DType, operation(name).evaluate(dtype, ...x))

/** Integers with the edges of their range far more often than chance. */
const edges = [0, 1, 2, 3, 7, 31, 32, 33, 65535, 65537, 2147483646, 2147483647]
const integer = (dtype: "i32" | "u32"): fc.Arbitrary<number> =>
  fc.oneof(fc.constantFrom(...edges, ...edges.map((x) => -x), -2147483648), fc.integer()).map((x) => roundTo(dtype, x))

/** The integer semantics, once more, over unbounded integers. */
const big: Partial<Record<Operation, (a: bigint, b: bigint, dtype: DType) => bigint | boolean>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => (b === 0n ? a : a / b),
  rem: (a, b) => (b === 0n ? 0n : a % b),
  min: (a, b) => BigInt(Math.min(Number(a), Number(b))),
  max: (a, b) => BigInt(Math.max(Number(a), Number(b))),
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  bitand: (a, b) => a & b,
  bitor: (a, b) => a | b,
  bitxor: (a, b) => a ^ b,
  shl: (a, b) => a << (b & 31n),
  shr: (a, b) => a >> (b & 31n),
}
const bigUnary: Partial<Record<Operation, (a: bigint) => bigint>> = {
  neg: (a) => -a,
  abs: (a) => (a < 0n ? -a : a),
  sign: (a) => (a < 0n ? -1n : a > 0n ? 1n : 0n),
  bitnot: (a) => ~a,
}
const wrapped = (dtype: "i32" | "u32", x: bigint | boolean) =>
  Number(typeof x === "boolean" ? x : dtype === "i32" ? BigInt.asIntN(32, x) : BigInt.asUintN(32, x))

describe("integer operations", () => {
  for (const dtype of ["i32", "u32"] as const) {
    for (const [name, reference] of Object.entries(big))
      it(`${name} wraps as ${dtype}`, () =>
        fc.assert(
          fc.property(integer(dtype), integer(dtype), (a, b) => {
            const expected = wrapped(dtype, reference(BigInt(a), BigInt(b), dtype))
            expect(evaluate(name as Operation, dtype, a, b)).toBe(expected)
          }),
          { numRuns: 300 },
        ))
    for (const [name, reference] of Object.entries(bigUnary))
      if (operation(name as Operation).on.includes(dtype))
        it(`${name} wraps as ${dtype}`, () =>
          fc.assert(
            fc.property(integer(dtype), (a) => {
              expect(evaluate(name as Operation, dtype, a)).toBe(wrapped(dtype, reference(BigInt(a))))
            }),
          ))
    it(`floordiv and floormod of ${dtype} belong together`, () =>
      fc.assert(
        fc.property(integer(dtype), fc.integer({ min: 1, max: 2147483647 }), (a, b) => {
          const [quotient, rest] = [evaluate("floordiv", dtype, a, b), evaluate("floormod", dtype, a, b)]
          expect(quotient * b + rest).toBe(a)
          expect(rest >= 0 && rest < b).toBe(true)
        }),
      ))
  }

  it("knows the corners of division", () => {
    const least = -2147483648
    expect([evaluate("div", "i32", 5, 0), evaluate("rem", "i32", 5, 0)]).toEqual([5, 0])
    expect([evaluate("div", "i32", least, -1), evaluate("rem", "i32", least, -1)]).toEqual([least, 0])
    expect([evaluate("div", "i32", -7, 2), evaluate("rem", "i32", -7, 2)]).toEqual([-3, -1])
    expect([evaluate("floordiv", "i32", -7, 2), evaluate("floormod", "i32", -7, 2)]).toEqual([-4, 1])
    expect([
      evaluate("shl", "i32", 1, 33),
      evaluate("shr", "i32", -8, 1),
      evaluate("shr", "u32", 4294967288, 1),
    ]).toEqual([2, -4, 2147483644])
  })
})

describe("f32 operations", () => {
  const f32 = fc.float({ noNaN: true, noDefaultInfinity: true })

  it("round halves to even", () => {
    const halves = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 8388607.5, 0.49999997]
    expect(halves.map((x) => evaluate("round", "f32", x))).toEqual([-2, -2, -0, 0, 2, 2, 8388608, 0])
  })

  it("convert by truncation that saturates, a NaN to 0", () => {
    const x = [1.9, -1.9, 3e9, -3e9, 5e9, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    expect(x.map((e) => evaluate("toI32", "f32", e))).toEqual([
      1, -1, 2147483647, -2147483648, 2147483647, 0, 2147483647, -2147483648,
    ])
    expect(x.map((e) => evaluate("toU32", "f32", e))).toEqual([1, 0, 3e9, 0, 4294967295, 0, 4294967295, 0])
    expect([evaluate("toF32", "i32", 16777217), evaluate("toF32", "u32", 4294967295)]).toEqual([16777216, 4294967296])
    expect([evaluate("toI32", "u32", 4294967295), evaluate("toU32", "i32", -1)]).toEqual([-1, 4294967295])
  })

  it("take the bits of a number and give them back", () =>
    fc.assert(
      fc.property(f32, (x) => {
        expect(evaluate("fromBits", "u32", evaluate("bits", "f32", x))).toBe(x)
      }),
    ))

  it("round once: sums, products, quotients and roots are the nearest f32", () =>
    fc.assert(
      fc.property(f32, f32, (a, b) => {
        expect(evaluate("add", "f32", a, b)).toBe(Math.fround(a + b))
        expect(evaluate("mul", "f32", a, b)).toBe(Math.fround(a * b))
        expect(evaluate("div", "f32", a, b)).toBe(Math.fround(a / b))
        expect(evaluate("sqrt", "f32", Math.abs(a))).toBe(Math.fround(Math.sqrt(Math.abs(a))))
        // As numbers: the parts of −0 are 0 and −0, whose sum is 0.
        expect(evaluate("rem", "f32", a, 1) + evaluate("trunc", "f32", a) === a).toBe(true)
      }),
    ))
})

describe("types of results", () => {
  it("follow the rules of the table", () => {
    expect(resultType("add", ["i32", "i32"])).toBe("i32")
    expect(resultType("lt", ["f32", "f32"])).toBe("bool")
    expect(resultType("select", ["bool", "u32", "u32"])).toBe("u32")
    expect(resultType("bits", ["f32"])).toBe("u32")
  })
  it("say what is wrong", () => {
    const problem = (name: Operation, ...args: DType[]) => (resultType(name, args) as { problem: string }).problem
    expect(problem("add", "i32")).toBe("'add' takes 2 arguments, not 1")
    expect(problem("add", "i32", "f32")).toBe("'add' got i32 and f32; both must be alike")
    expect(problem("sqrt", "i32")).toBe("'sqrt' does not take i32, only f32")
    expect(problem("select", "i32", "f32", "f32")).toBe("the condition of 'select' is i32, not bool")
  })
  it("have as many arguments as the arity says", () => {
    for (const name of names) expect(operation(name).evaluate.length).toBeLessThanOrEqual(operation(name).arity + 1)
  })
})
