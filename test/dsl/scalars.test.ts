/** Scalar functions of a program on WebAssembly: what they mean is what JavaScript means, and what cannot be is refused with what to write. */
import { beforeAll, describe, expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { loadProgram } from "../../runtime/program.js"
import type * as Programs from "./scalars-programs.js"

let programs: typeof Programs
beforeAll(async () => {
  programs = (await loadModel("test/dsl/scalars-programs.ts")).module as typeof Programs
})

const compiled = (name: keyof typeof Programs) =>
  compileProgram(programs[name], name, { target: "wasm", storage: () => "f32", verify: true }).artifact
async function run(name: keyof typeof Programs, inputs: Readonly<Record<string, ArrayBufferView>>) {
  const device = await createWasmDevice({ threads: 1 })
  using program = await loadProgram(compiled(name), { device, onDispose: () => device.dispose() })
  return await program.run(inputs as never)
}

const x = Float32Array.of(
  ...[0, -0, 0.5, -0.5, 1.5, 2.5, -1.5, -2.5, -0.3, 0.49999997, -0.49999997, 4194303.5, -4194303.5, 8388607.5, 8388609],
  ...[-8388609, 3e38, -3e38, 1e-40, 7.25, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
)
const i = Int32Array.of(7, -7, 0, 1, -1, 2147483647, -2147483648, 123456, -3, 2)
const m = Uint32Array.of(0, 1, 7, 4294967295, 2147483648, 3, 65535)

const javascript: Readonly<Record<string, (v: number) => number>> = {
  round: Math.round,
  finite: (v) => (Number.isNaN(v) ? 0 : Number.isFinite(v) ? 1 : 2),
  clamped: (v) => (v > 6 ? 6 : Math.max(v * 2, -6)),
  compared: (v) => v,
  next: (v) => v + 1,
  signs: Math.sign,
  third: (v) => Math.trunc(v / 3),
  floor: (v) => Math.floor(v / -3),
  ceil: (v) => Math.ceil(v / 3),
  or: (v) => (v / 3) | 0,
  shifted: (v) => v >>> 28,
  unsigned: (v) => v >>> 0,
  halves: (v) => (v / 2) >>> 0,
  low: (v) => v >> 4,
  ones: () => 5,
  constants: (v) => v ^ 0xffffffff ^ -1,
  picked: (v) => (v > 0 ? v : 7),
  wrapped: (v) => Math.imul(v, 100003) - 0x9e3779b9,
  masked: (v) => v & 0xfffffff0,
}

test("every result is JavaScript's, stored in an array of its type", async () => {
  const found = await run("meaning", { x, i, m })
  expect(Object.keys(found).sort()).toEqual(Object.keys(javascript).sort())
  for (const [name, f] of Object.entries(javascript)) {
    const { data } = found[name]!
    const given = [x, i, m].find(({ length }) => length === data.length)!
    const wanted = new (data.constructor as Float32ArrayConstructor)([...given].map((v) => f(v)))
    expect([...data].map(sameZero), name).toEqual([...wanted].map(sameZero))
  }
})
const sameZero = (v: number) => (v === 0 ? 0 : v)

test("a half below zero is −0, as in JavaScript", async () => {
  const { round } = await run("meaning", { x: Float32Array.of(-0.5, -0.3, -0), i, m })
  expect([...round!.data].map((v) => Object.is(v, -0))).toEqual([true, true, true])
})

test("outer unites the axes of any number of tensors, with a value type of its own", async () => {
  const given = {
    x: Float32Array.of(1, 2, 3, 4),
    k: Int32Array.of(0, 1, 2),
    s: Float32Array.of(10, 20, 30, 40, 50, 60),
  }
  const { y, hit } = await run("united", given)
  expect([...y!.data]).toEqual([10, 20, 1, 40, 50, 2, 10, 20, 3, 40, 50, 4])
  expect([...hit!.data]).toEqual([1, 0, 0, 0, 1, 0])
})

describe("refused", () => {
  test.each<[keyof typeof Programs, string, string]>([
    ["quotient", "the quotient of two i32 is no integer in JavaScript", "write Math.trunc(a / b) for its whole part"],
    ["half", "0.5 is not an integer, but meets i32", 'name the type of the result: mapTo("f32", …)'],
    ["beyond", "3000000000 is outside of i32", "write -1294967296 if these bits are meant"],
    ["bitsOfFloat", "`|` is for integers, and this is an f32", "toI32(x) is its whole part"],
    ["product", "Math.imul is for integers, and this is an f32", "toI32(x) is its whole part"],
    ["power", "`**` is for f32, and this is i32", "toF32(x)"],
    ["mixed", "`+` got f32 and i32; both must be alike", "convert one side with toF32, toI32 or toU32"],
    ["claimed", "the scalar function gives i32, and its type says f32", 'write mapTo("i32", …)'],
    ["outerClaimed", "the scalar function gives f32, and its type says i32", 'write outerTo("f32", …)'],
  ])("%s", (name, message, hint) => {
    let error: { message: string; span?: { file: string; line: number } } | undefined
    try {
      compiled(name)
    } catch (e) {
      error = e as typeof error
    }
    expect(error?.message).toContain(message)
    expect(error?.message).toContain(hint)
    expect(error?.span?.file).toBe("test/dsl/scalars-programs.ts")
  })
})
