/** Vectors whose lanes are written one by one: sums of other vectors' lanes, shifts by bytes, constants. */
import { expect, test } from "vitest"
import { add, apply, fetch, lane, literal, mul, ramp, splat, vector } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { constantLanes } from "../../compiler/targets/wasm/vectors.js"
import { g, n, range } from "./wasm-statements.js"
import { arrayOf, buffer, elementwise, generator, kernelOf, run, store } from "./wasm-support.js"

/** (x.0 + x.2) + (x.1 + x.3), as folds add up lanes. */
const summedUp = (x: Expression) => add(add(lane(x, 0), lane(x, 2)), add(lane(x, 1), lane(x, 3)))

/** How often an instruction of vectors is in a kernel's module. */
const count = (bytes: Uint8Array, code: number) => bytes.filter((b, i) => b === 0xfd && bytes[i + 1] === code).length
const [shuffle, replace] = [0x0d, 0x1c]

test.each(["f32", "i32"] as const)(
  "sums of four vectors' lanes are the lanes of one, each in its own order: %s",
  async (dtype) => {
    const random = generator(3)
    // Of very different sizes: another order would round otherwise.
    const x = arrayOf(
      dtype,
      range(64).map(() => Math.round((random() - 0.5) * 2 ** (random() * 30))),
    )
    const at = (i: number) => fetch("x", add(mul(g, n(16)), n(4 * i)), dtype, 4)
    const body = [store("y", mul(g, n(4)), vector(range(4).map((i) => summedUp(at(i)))))]
    const kernel = kernelOf([buffer("x", dtype, 64), buffer("y", dtype, 16, "write")], 4, body)
    const { module } = emitWasm([kernel])
    expect([count(module, shuffle), count(module, replace)]).toEqual([6, 0])
    const plus = (a: number, b: number) => (dtype === "f32" ? Math.fround(a + b) : (a + b) | 0)
    const wanted = range(16).map((i) => plus(plus(x[4 * i]!, x[4 * i + 2]!), plus(x[4 * i + 1]!, x[4 * i + 3]!)))
    expect([...(await run(kernel, { x })).y!]).toEqual(wanted)
  },
)

test("lanes in another order are summed up as they are written", async () => {
  const x = arrayOf("f32", [1, 2 ** 30, -(2 ** 30), 3, ...range(12)])
  const inOrder = (v: Expression) => add(add(add(lane(v, 0), lane(v, 1)), lane(v, 2)), lane(v, 3))
  const body = [store("y", n(0), vector(range(4).map((i) => inOrder(fetch("x", n(4 * i), "f32", 4)))))]
  const kernel = kernelOf([buffer("x", "f32", 16), buffer("y", "f32", 4, "write")], 1, body)
  expect([...(await run(kernel, { x })).y!]).toEqual([3, 6, 22, 38])
})

test("bytes of words: shifts of each lane by its own, and numbers of what is left", async () => {
  const words = [0, 1, 0xffffffff, 0x80000000, 0x12345678, 0xfedcba98, 0x00ff00ff, 0x7fffffff]
  const bits = apply("toU32", mul(ramp(n(0), 4), splat(n(8), 4)))
  expect(constantLanes(bits)).toEqual([0, 8, 16, 24])
  const shifted = await elementwise([{ dtype: "u32", values: words }], "u32", 4, (x) => apply("shr", x, bits))
  expect([...shifted]).toEqual(words.map((w, i) => w >>> (8 * (i % 4))))
  const masked = (x: Expression) =>
    apply("toF32", apply("bitand", apply("shr", x, bits), splat(literal(255, "u32"), 4)))
  const bytes = await elementwise([{ dtype: "u32", values: words }], "f32", 4, masked)
  expect([...bytes]).toEqual(words.map((w, i) => (w >>> (8 * (i % 4))) & 255))
})
