/** Every example on every device against plain TypeScript, at sizes that fill tiles and at sizes that do not. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Program } from "../../dsl/model.js"
import { type Artifact, isProven } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { loadProgram, type NumberArray, type Output } from "../../runtime/program.js"
import { available } from "../devices/conformance.js"
import { adapterOf } from "../support/driver.js"
import { root } from "../support/goldens.js"
import * as reference from "./references.js"
import { floats, likely, type Numbers, random, range, u } from "./references.js"

const makers = {
  "wasm, 1 thread": () => createWasmDevice({ threads: 1 }),
  "wasm, 2 threads": () => createWasmDevice({ threads: 2 }),
  webgpu: () => createWebgpuDevice({ adapter: "any" }),
} as const
const present = await available("webgpu", makers.webgpu)
const devices = Object.entries(makers).filter(([name]) => present || name !== "webgpu")
const opened = new Map<string, Device>()
beforeAll(async () => {
  for (const [name, make] of devices) opened.set(name, await make())
})
afterAll(() => {
  for (const device of opened.values()) device.dispose()
})

const programs = new Map<string, Promise<Program>>()
const artifacts = new Map<string, Promise<Artifact>>()
/** The front end once for each example, the compiler once for each target. */
function artifactOf(example: string, device: Device): Promise<Artifact> {
  const load = () => loadModel(join(root, "examples", `${example}.ts`)).then(({ module }) => module.program as Program)
  const program = programs.get(example) ?? load()
  programs.set(example, program)
  const compile = (loaded: Program) =>
    compileProgram(loaded, example, {
      target: device.kind,
      storage: () => "f32",
      verify: true,
      ...adapterOf(device),
    }).artifact
  const key = `${example} ${device.kind}`
  const artifact = artifacts.get(key) ?? program.then(compile)
  artifacts.set(key, artifact)
  return artifact
}

type Run = (
  inputs: Readonly<Record<string, NumberArray>>,
  sizes?: Readonly<Record<string, number>>,
) => Promise<Readonly<Record<string, Output>>>

/** A test for each device; `check` may run the example as often as it likes. */
function example(name: string, check: (run: Run, on: Device["kind"]) => Promise<void>): void {
  test.each(devices.map(([device]) => device))(`${name} on %s`, async (on) => {
    const device = opened.get(on)!
    const artifact = await artifactOf(name, device)
    expect(isProven(artifact)).toBe(true)
    const program = await loadProgram(artifact, { device })
    await check(program.run, device.kind)
    program.dispose()
  })
}

/** Within `bound` of `wanted`, place by place. */
function near(found: Numbers, wanted: readonly number[], bound: (i: number) => number): void {
  expect(found.length).toBe(wanted.length)
  const worst = wanted.map((w, i) => ({
    i,
    found: found[i]!,
    wanted: w,
    off: Math.abs(found[i]! - w),
    bound: bound(i),
  }))
  expect(worst.filter((x) => !(x.off <= x.bound)).slice(0, 3)).toEqual([])
}

example("black-scholes", async (run) => {
  for (const n of [1, 96, 331]) {
    const next = random(n)
    const spot = floats(n, () => 50 + 100 * next())
    const strike = floats(n, () => 50 + 100 * next())
    const years = floats(n, () => 0.1 + 3 * next())
    const sigma = floats(n, () => 0.1 + 0.5 * next())
    const { call, put } = await run({ spot, strike, years, sigma })
    const wanted = range(n).map((i) => reference.blackScholes(spot[i]!, strike[i]!, years[i]!, sigma[i]!, 0.02))
    // The approximation of N is off by 7.5e-8; an error of d cancels to first order, for s·N'(d) = x·N'(d − w).
    const bound = (i: number) => (7.5e-8 + 24 * u) * wanted[i]!.scale
    near(
      call!.data,
      wanted.map((w) => w.call),
      bound,
    )
    near(
      put!.data,
      wanted.map((w) => w.put),
      bound,
    )
  }
})

example("mandelbrot", async (run, on) => {
  for (const [rows, columns] of [
    [32, 64],
    [19, 37],
  ] as const) {
    const re = floats(columns, (i) => -2.1 + (2.8 * (i + 0.5)) / columns)
    const im = floats(rows, (i) => -1.2 + (2.4 * (i + 0.5)) / rows)
    const { steps } = await run({ re, im })
    expect(steps!.shape).toEqual([rows, columns])
    const wanted = (round: (x: number) => number) =>
      range(rows * columns).map((i) => reference.mandelbrot(re[i % columns]!, im[Math.floor(i / columns)]!, 64, round))
    // WebAssembly rounds every operation to f32. A GPU may fuse a product and a sum: it must agree where f32 and f64 do.
    const [single, double] = [wanted(Math.fround), wanted((x) => x)]
    const sure = range(rows * columns).filter((i) => on === "wasm" || single[i] === double[i])
    expect(sure.length).toBeGreaterThan(0.98 * rows * columns)
    expect(sure.map((i) => steps!.data[i])).toEqual(sure.map((i) => single[i]))
  }
})

example("histogram", async (run) => {
  for (const n of [1, 1024, 4099]) {
    const next = random(n)
    const image = Int32Array.from({ length: n }, () => Math.floor(256 * next() * next()))
    const { count, equalised } = await run({ image })
    expect({ count: [...count!.data], equalised: [...equalised!.data] }).toEqual(reference.histogram(image, 256))
  }
})

example("stencil", async (run) => {
  for (const [rows, columns] of [
    [1, 1],
    [32, 64],
    [23, 45],
  ] as const) {
    const next = random(rows)
    const image = floats(rows * columns, () => next() - 0.5)
    const kernel = floats(9, () => next() - 0.5)
    const { result } = await run({ image, kernel }, { row: rows })
    expect(result!.shape).toEqual([rows, columns])
    const wanted = reference.stencil(image, kernel, rows, columns)
    near(
      result!.data,
      wanted.map((w) => w.value),
      (i) => wanted[i]!.bound,
    )
  }
})

example("k-means", async (run) => {
  for (const [n, k] of [
    [1, 3],
    [128, 8],
    [217, 11],
  ] as const) {
    // Small whole numbers: distances and sums are exact, and ties are ties.
    const next = random(n)
    const whole = () => Math.floor(9 * next()) - 4
    const [points, centroids] = [floats(4 * n, whole), floats(4 * k, whole)]
    const { nearest, moved, inertia } = await run({ points, centroids })
    const wanted = reference.kMeans(points, centroids, 4)
    expect([...nearest!.data]).toEqual(wanted.nearest)
    expect([...inertia!.data]).toEqual([wanted.inertia])
    near(moved!.data, wanted.moved, (i) => 6 * u * Math.abs(wanted.moved[i]!))
  }
})

example("n-body", async (run) => {
  for (const n of [1, 32, 53]) {
    const next = random(n)
    const mass = floats(n, () => 0.1 + next())
    const [position, velocity] = [floats(3 * n, () => 2 * next() - 1), floats(3 * n, () => next() - 0.5)]
    const found = await run({ mass, position, velocity })
    const wanted = reference.nBody(mass, position, velocity, 8, 0.01, 0.05)
    near(found.velocity!.data, wanted.velocity, () => wanted.bound)
    near(found.position!.data, wanted.position, (i) => 0.08 * wanted.bound + 12 * u * Math.abs(wanted.position[i]!))
  }
})

example("power-iteration", async (run) => {
  for (const n of [1, 64, 77]) {
    // 3·v·vᵀ and a symmetric rest of norm below 1: errors shrink by a third at least with every step.
    const next = random(n)
    const v = range(n).map(() => next() + 0.5)
    const norm = v.reduce((s, e) => s + e * e, 0)
    const rest = range(n * n).map(() => (next() - 0.5) / n)
    const matrix = floats(n * n, (i) => {
      const [r, c] = [Math.floor(i / n), i % n]
      return (3 * v[r]! * v[c]!) / norm + rest[Math.min(r, c) * n + Math.max(r, c)]!
    })
    const start = floats(n, () => 1)
    const { value, vector } = await run({ matrix, start })
    const wanted = reference.powerIteration(matrix, start, 32)
    near(value!.data, [wanted.value], () => likely(n + 16) * wanted.value)
    near(vector!.data, wanted.vector, () => likely(n + 16))
  }
})

example("block", async (run) => {
  const [embed, hidden] = [96, 384]
  for (const tokens of [1, 16, 37]) {
    const next = random(tokens)
    const centred = (scale: number) => () => scale * (next() - 0.5)
    const [x, gain, bias] = [floats(tokens * embed, centred(4)), floats(embed, next), floats(embed, centred(1))]
    const [up, down] = [floats(hidden * embed, centred(0.4)), floats(hidden * embed, centred(0.4))]
    const { y } = await run({ x, gain, bias, up, down })
    const wanted = reference.block(x, gain, bias, up, down)
    near(
      y!.data,
      wanted.map((w) => w.value),
      (i) => wanted[i]!.bound,
    )
  }
})

/** What the README says of fusion and of repeated units. */
test.each([
  ["stencil", 1, 1],
  ["block", 2, 2],
  ["mandelbrot", 2, 65],
] as const)("%s is %i kernels, launched %i times", async (name, kernels, launches) => {
  const artifact = await artifactOf(name, opened.get("wasm, 1 thread")!)
  expect(artifact.kernels.length).toBeLessThanOrEqual(kernels)
  expect(artifact.entries.run!.launches.length).toBeLessThanOrEqual(launches)
})

describe("the files", () => {
  const files = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"))

  test("are eight, and each has at most 30 lines", () => {
    expect(files.length).toBe(8)
    for (const name of files) {
      const lines = readFileSync(join(root, "examples", name), "utf8").split("\n")
      expect(lines.filter((line) => line.trim() !== "").length, name).toBeLessThanOrEqual(30)
      expect(lines.slice(0, 5).join("\n"), name).toMatch(/^\/\*\*\n( \* .*\n){2,3} \*\//)
    }
  })

  test("are walked through in the README", () => {
    const text = readFileSync(join(root, "examples", "README.md"), "utf8")
    for (const name of files) expect(text).toContain(`(${name})`)
  })
})
