/** Whatever a host gives to a program, its load, or a device: a result or a WeftError, never an error of JavaScript's. */
import { runInNewContext } from "node:vm"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { compile } from "../../compiler/index.js"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { WeftError } from "../../runtime/errors.js"
import { load } from "../../runtime/generate/load.js"
import { loadProgram, type RunningProgram } from "../../runtime/program.js"
import { refusal } from "../generate/model.js"
import { runs, seed } from "../laws/settings.js"

let artifact: Artifact
let device: Device
let program: RunningProgram
beforeAll(async () => {
  artifact = await compile("examples/mandelbrot.ts", {}, "wasm")
  device = await createWasmDevice({ threads: 1 })
  program = await loadProgram(artifact, { device })
})
afterAll(() => device?.dispose())

const re = [0, 1, 2, -1]
const im = Float32Array.of(0, 0.5)
const given = (array: unknown) => program.run({ re: array as Float32Array, im })

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
const throwing = () =>
  Object.defineProperty({}, "re", {
    enumerable: true,
    get: () => {
      throw new RangeError("not today")
    },
  })
const odd = fc.oneof(
  fc.anything({
    withBigInt: true,
    withTypedArray: true,
    withNullPrototype: true,
    withMap: true,
    withBoxedValues: true,
  }),
  fc.constantFrom(
    null,
    undefined,
    3n,
    Number.NaN,
    Symbol("s"),
    () => 1,
    new DataView(new ArrayBuffer(8)),
    new Float64Array(4),
  ),
)
/** Made anew each time: fast-check looks into what it draws, which these do not bear. */
const hostile = fc.constantFrom("revoked", "throwing", "plain")
const made = (kind: string, plain: unknown) =>
  kind === "revoked" ? revoked() : kind === "throwing" ? throwing() : plain

describe("arrays of every origin", () => {
  const resizable = () => {
    const buffer = new (ArrayBuffer as new (bytes: number, options: object) => ArrayBuffer)(16, { maxByteLength: 64 })
    const array = new Float32Array(buffer)
    array.set(re)
    return { buffer: buffer as ArrayBuffer & { resize(bytes: number): void }, array }
  }
  test.each<[string, () => unknown]>([
    ["shared memory", () => new Float32Array(new SharedArrayBuffer(16)).map((_, i) => re[i]!)],
    ["another realm", () => runInNewContext("Float32Array.of(0, 1, 2, -1)")],
    ["memory that may grow", () => resizable().array],
    ["the middle of a buffer", () => Float32Array.of(9, ...re, 9).subarray(1, 5)],
  ])("%s", async (_, make) => {
    const wanted = (await given(Float32Array.from(re))).steps!
    expect((await given(make())).steps).toEqual(wanted)
  })

  test("memory that has gone elsewhere is told, not read as nothing", async () => {
    const detached = Float32Array.from(re)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    const shrunk = new Float32Array(resizable().buffer, 4, 2)
    ;(shrunk.buffer as unknown as { resize(bytes: number): void }).resize(4)
    for (const array of [detached, shrunk])
      expect(await refusal(given(array))).toMatch(/^program\/input: the input 're' is without its memory/)
  })
})

test(`inputs and sizes, WEFT_SEED=${seed}`, async () => {
  const property = fc.asyncProperty(odd, odd, hostile, hostile, fc.boolean(), async (x, size, how, sizes, whole) => {
    const value = made(how, x)
    const inputs = whole ? value : { re: value, im }
    const extents = made(sizes, { column: size })
    await program.run(inputs as never, extents as never).catch((error) => expect(error).toBeInstanceOf(WeftError))
    expect((await given(Float32Array.from(re))).steps!.shape).toEqual([2, 4])
  })
  await fc.assert(property, { seed, numRuns: runs(150) })
})

test(`loads and devices, WEFT_SEED=${seed}`, async () => {
  const property = fc.asyncProperty(odd, hostile, async (x, how) => {
    const value = made(how, x) as never
    const calls = [
      () => loadProgram(value, { device }),
      () => loadProgram(artifact, value),
      () => loadProgram(artifact, { device: value }),
      () => load(artifact, value),
      () => load(value, { device, weights: value }),
      async () => checkArtifact(value),
      async () => (await createWasmDevice({ threads: 1, memoryBytes: value })).dispose(),
      async () => (await createWasmDevice({ threads: 1, shareFrom: value })).dispose(),
    ]
    for (const call of calls) await call().catch((error: unknown) => expect(error).toBeInstanceOf(WeftError))
  })
  await fc.assert(property, { seed, numRuns: runs(60) })
  for (const threads of [0, -1, 1.5, Number.NaN, 1e9, "2", 2n])
    expect(await refusal(createWasmDevice({ threads: threads as number }))).toMatch(/^device\/option: threads is/)
})

test("calls in any order with dispose", async () => {
  const one = await loadProgram(artifact, { device })
  const running = Promise.resolve(one.run({ re: Float32Array.from(re), im } as never))
  expect(await refusal(one.run({ re: Float32Array.from(re), im } as never))).toMatch(/^program\/busy/)
  one.dispose()
  one.dispose()
  await running.catch((error) => expect(error).toBeInstanceOf(WeftError))
  expect(await refusal(one.run({ re: Float32Array.from(re), im } as never))).toMatch(/^program\/disposed/)
})
