/** Prefixes on every device, at lengths around the borders of blocks: their values, their error and how much work they are. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { operationsOf } from "../../compiler/explain/operations.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { loadProgram, type NumberArray, type RunningProgram } from "../../runtime/program.js"
import { available } from "../devices/conformance.js"
import { adapterOf } from "../support/driver.js"
import type * as Programs from "./prefix-programs.js"

type Name = keyof typeof Programs
let programs: typeof Programs
beforeAll(async () => {
  programs = (await loadModel("test/passes/prefix-programs.ts")).module as typeof Programs
})

const makers = {
  wasm: () => createWasmDevice({ threads: 1 }),
  webgpu: () => createWebgpuDevice({ adapter: "any" }),
} as const
const present = await available("webgpu", makers.webgpu)
const devices = (["wasm", "webgpu"] as const).filter((d) => present || d === "wasm")
const opened = new Map<string, Device>()
afterAll(() => {
  for (const device of opened.values()) device.dispose()
})

function compiled(name: Name, target: "wasm" | "webgpu", device?: Device): Compilation {
  const adapter = device === undefined ? {} : adapterOf(device)
  return compileProgram(programs[name], name, { target, storage: () => "f32", verify: true, ...adapter })
}

async function open(name: Name, target: "wasm" | "webgpu"): Promise<RunningProgram> {
  const device = opened.get(target) ?? (await makers[target]())
  opened.set(target, device)
  return loadProgram(compiled(name, target, device).artifact, { device, onDispose: () => {} })
}

/** Small whole numbers, so that no sum of them rounds. */
const whole = (length: number, seed = 0) => Array.from({ length }, (_, i) => ((i * 7919 + seed * 31 + 17) % 23) - 11)

/** Prefixes along one axis of a row-major array with `inner` elements behind each of its places, in float64. */
function prefixes(
  x: ArrayLike<number>,
  length: number,
  inner: number,
  join: (a: number, b: number) => number,
): number[] {
  const y = Array.from(x)
  for (let i = 0; i < y.length; i++) if (Math.floor(i / inner) % length > 0) y[i] = join(y[i - inner]!, y[i]!)
  return y
}
const plus = (a: number, b: number) => a + b

/** What a sum of f32 may be off by: (8 + log2 n) · 2^-24 · Σ|x| at each place. */
function wrongPlaces(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0
  let absolute = 0
  let wrong = 0
  for (let i = 0; i < x.length; i++) {
    sum += x[i]!
    absolute += Math.abs(x[i]!)
    if (!(Math.abs(y[i]! - sum) <= (8 + Math.log2(i + 1)) * 2 ** -24 * absolute)) wrong++
  }
  return wrong
}

const lengths = [0, 1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257, 272, 273, 4095, 4096, 4097, 5000]

describe.each(devices)("on %s", (target) => {
  test("every fold of every type", async () => {
    using program = await open("kinds", target)
    for (const length of lengths) {
      const x = whole(length)
      const given = { x: Float32Array.from(x), i: Int32Array.from(x), u: Uint32Array.from(x) }
      const found = await program.run(given)
      const of = (join: (a: number, b: number) => number) => prefixes(x, length, 1, join)
      expect(found.sums!.data, `sums of ${length}`).toEqual(Float32Array.from(of(plus)))
      expect(found.largest!.data, `largest of ${length}`).toEqual(Float32Array.from(of(Math.max)))
      expect(found.smallest!.data, `smallest of ${length}`).toEqual(Float32Array.from(of(Math.min)))
      expect(found.whole!.data, `whole of ${length}`).toEqual(Int32Array.from(of(plus)))
      expect(found.lowest!.data, `lowest of ${length}`).toEqual(Int32Array.from(of(Math.min)))
      expect(found.wrapped!.data, `wrapped of ${length}`).toEqual(Uint32Array.from(of(plus)))
    }
  })

  test("along an axis in the middle, of computed values, of prefixes, and in units", async () => {
    using program = await open("places", target)
    for (const length of [0, 1, 16, 17, 33, 257, 600]) {
      const x = whole(2 * length * 3, length)
      const found = await program.run({ x: Float32Array.from(x) }, { n: length })
      const along = (of: ArrayLike<number>, join = plus) => prefixes(of, length, 3, join)
      const at = (of: readonly number[], row: number, i: number, column: number) => of[(row * length + i) * 3 + column]!
      const each = <T>(
        see: (row: number, i: number, column: number) => T,
        order: "row n column" | "n row column" | "row column n",
      ) => {
        const made: T[] = []
        const [a, b, c] = {
          "row n column": [2, length, 3],
          "n row column": [length, 2, 3],
          "row column n": [2, 3, length],
        }[order] as [number, number, number]
        for (let p = 0; p < a; p++)
          for (let q = 0; q < b; q++)
            for (let r = 0; r < c; r++)
              made.push(
                order === "row n column" ? see(p, q, r) : order === "n row column" ? see(q, p, r) : see(p, r, q),
              )
        return made
      }
      const plain = along(x)
      const columns = prefixes(plain, 3, 1, plus)
      const shares = each((row, i, c) => at(x, row, i, c) - Math.max(at(x, 0, i, c), at(x, 1, i, c)), "row n column")
      const smallest = along(x, Math.min)
      const wanted: Record<string, readonly number[]> = {
        plain,
        both: along(columns, Math.max),
        computed: each((row, i, c) => 2 * at(along(shares), row, i, c) + 1, "n row column"),
        turned: each((row, i, c) => at(plain, row, length - 1 - i, c), "row column n"),
        folded: Array.from({ length: 6 }, (_, k) =>
          Array.from({ length }, (_, i) => at(smallest, Math.floor(k / 3), i, k % 3)).reduce(plus, 0),
        ),
        called: along(along(x).map((v) => v / 2)).map((v) => v / 2),
      }
      for (const [name, values] of Object.entries(wanted))
        expect(found[name]!.data, `${name} of ${length}`).toEqual(Float32Array.from(values))
    }
  })

  test.each(["fixed16", "fixed33", "fixed273"] as const)("of %s elements in rows", async (name) => {
    using program = await open(name, target)
    const length = Number(name.slice(5))
    for (const rows of [1, 37]) {
      const x = whole(rows * length, rows)
      const { y } = await program.run({ x: Float32Array.from(x) })
      expect(y!.data).toEqual(Float32Array.from(prefixes(x, length, 1, plus)))
    }
  })

  test.each<[string, number, (i: number) => number]>([
    ["equal numbers", 60_001, () => 0.1],
    ["a large number before small ones", 60_001, (i) => (i === 0 ? 2 ** 24 : 1)],
    ["numbers of both signs", 60_001, (i) => Math.sin(i * i)],
  ])("no place is off by more than a tree of sums is: %s", async (_, length, value) => {
    using program = await open("million", target)
    const x = Float32Array.from({ length }, (_, i) => value(i))
    expect(wrongPlaces(x, (await program.run({ x })).y!.data)).toBe(0)
  })
})

test("a million and three elements on WebAssembly", async () => {
  using program = await open("million", "wasm")
  const x = Float32Array.from({ length: 1_000_003 }, (_, i) => 1 / (1 + (i % 7)))
  const y: NumberArray = (await program.run({ x })).y!.data
  expect(wrongPlaces(x, y)).toBe(0)
  expect(y.length).toBe(x.length)
})

test.each(["wasm", "webgpu"] as const)("work grows with the length and no faster: %s", (target) => {
  const { kernels } = compiled("million", target)
  const work = (length: number) =>
    kernels.reduce((n, { kernel, schedule }) => n + operationsOf(kernel, schedule, new Map([["n", length]])), 0)
  for (const length of [1000, 10_000, 100_000, 1_000_003]) expect(work(length) / length).toBeLessThan(20)
})
