/**
 * Special values, as the language's README says: NaN, infinities, zeros of either sign and huge angles go through every function and fold alike, at
 * every place of an array (bodies of vectors and what is left after them) and on every device.
 */
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import * as z from "zod"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { rotaryContext, rotaryFields, rotaryFrequencies } from "../../models/rotary.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { loadProgram, type RunningProgram } from "../../runtime/program.js"
import { available } from "../devices/conformance.js"
import { refusal } from "../generate/model.js"
import { configNames } from "../support/configs.js"
import type * as Programs from "./special-programs.js"

let programs: typeof Programs
beforeAll(async () => {
  programs = (await loadModel("test/dsl/special-programs.ts")).module as typeof Programs
})

const I = Number.POSITIVE_INFINITY
const largest = 3.4028234663852886e38
const numbers = [
  Number.NaN, I, -I, 0, -0, 1, -1, 0.5, -0.5, -0.25, 2.5, 3, -3, 88.8, -104, 1e10, -1e30, largest, -largest, 2 ** -126, 131072.5, 16777215, 1e30, 0.1,
].map(Math.fround) // biome-ignore format: a list

/** The number that two evaluations may differ by; 0 where they must be equal, NaN being one value. */
type Tolerance = (wanted: number) => number
const exact: Tolerance = () => 0
const units =
  (n: number): Tolerance =>
  (wanted) =>
    n * 2 ** -24 * Math.abs(wanted)
const absolute: Tolerance = () => 1e-6

function expectNumber(found: number, wanted: number, tolerance: Tolerance, what: string): void {
  const rounded = Math.fround(wanted)
  if (Object.is(found, rounded)) return
  const near = Number.isFinite(rounded) && rounded !== 0 && Math.abs(found - wanted) <= tolerance(wanted)
  // What is subnormal may be flushed, and the sine of −0 is a zero of either sign.
  const flushed = found === 0 && Math.abs(rounded) < 2 ** -126 && (rounded !== 0 || tolerance === absolute)
  if (!near && !flushed) expect(found, what).toBe(rounded)
}

const unary: Readonly<Record<string, readonly [(x: number) => number, Tolerance]>> = {
  negated: [(x) => -x, exact],
  abs: [Math.abs, exact],
  sign: [Math.sign, exact],
  floor: [Math.floor, exact],
  ceil: [Math.ceil, exact],
  trunc: [Math.trunc, exact],
  round: [Math.round, exact],
  sqrt: [Math.sqrt, units(4)],
  exp: [Math.exp, units(16)],
  log: [Math.log, units(16)],
  sin: [Math.sin, absolute],
  cos: [Math.cos, absolute],
  tanh: [Math.tanh, units(32)],
  silu: [(x) => x / (1 + Math.fround(Math.exp(-x))), units(32)],
  clip: [(x) => Math.max(-0.5, Math.min(1, x)), exact],
  relu: [(x) => Math.max(0, x), exact],
  below: [(x) => Math.min(-0, x), exact],
  literals: [(x) => (x === I ? Number.NaN : x === -I ? I : x < 0 ? -I : 0), exact],
  unequal: [(x) => (Number.isNaN(x) ? 1 : 2), exact],
  chosen: [(x) => (x < 1 ? 1 / x : x), units(4)],
}

const truth = (holds: boolean) => (holds ? 1 : 0)
const binary: Readonly<Record<string, readonly [(x: number, y: number) => number, Tolerance]>> = {
  sum: [(x, y) => x + y, exact],
  difference: [(x, y) => x - y, exact],
  product: [(x, y) => x * y, exact],
  quotient: [(x, y) => x / y, units(4)],
  remainder: [(x, y) => x % y, exact],
  power: [(x, y) => x ** y, units(64)],
  smaller: [Math.min, exact],
  larger: [Math.max, exact],
  less: [(x, y) => truth(x < y), exact],
  atMost: [(x, y) => truth(x <= y), exact],
  equal: [(x, y) => truth(x === y), exact],
  unequal: [(x, y) => truth(x !== y), exact],
}

/** NaN first, then the larger; the lower place where they are equal, −0 and 0 too. */
const ranked = (row: readonly number[]) =>
  row
    .map((x, i) => [x, i] as const)
    .sort(([x, i], [y, j]) => {
      if (Number.isNaN(x) || Number.isNaN(y)) return truth(Number.isNaN(y)) - truth(Number.isNaN(x)) || i - j
      return x === y ? i - j : y > x ? 1 : -1
    })

const rows: readonly (readonly number[])[] = [
  [1, -I, -I, 2, -I],
  [-I, -I, -I, -I, -I],
  [Number.NaN, 1, 2, 3, Number.NaN],
  [3, 1, Number.NaN, I, 2],
  [I, -I, I, 0, 1],
  [0, -0, 0, -0, 0],
  [-0, 0, -1, -1, -0],
  [-largest, -I, -largest, -I, -I],
  [1, 2, 3, 4, 5],
]

const opens: Readonly<Record<"wasm" | "webgpu", () => Promise<Device>>> = {
  wasm: () => createWasmDevice({ threads: 1 }),
  webgpu: () => createWebgpuDevice(),
}

const present = { wasm: true, webgpu: await available("webgpu", () => createWebgpuDevice()) }

describe.each(["wasm", "webgpu"] as const)("%s", (target) => {
  const here = test.skipIf(!present[target])
  let device: Device
  const loaded = new Map<string, Promise<RunningProgram>>()
  beforeAll(async () => {
    if (present[target]) device = await opens[target]()
  })
  afterAll(() => device?.dispose())

  const opened = (name: keyof typeof Programs): Promise<RunningProgram> => {
    const made =
      loaded.get(name) ??
      loadProgram(compileProgram(programs[name], name, { target, storage: () => "f32", verify: true }).artifact, {
        device,
      })
    loaded.set(name, made)
    return made
  }

  here("functions of one number, at every place", async () => {
    const program = await opened("unary")
    for (const length of [numbers.length, 5, 1]) {
      const x = Float32Array.from({ length }, (_, i) => numbers[(i * 7) % numbers.length]!)
      const found = await program.run({ x })
      for (const [name, [evaluate, tolerance]] of Object.entries(unary))
        x.forEach((v, i) => {
          expectNumber(found[name]!.data[i]!, evaluate(v), tolerance, `${name}(${v}) at ${i} of ${length}`)
        })
    }
    const same = Float32Array.from({ length: 7 }, () => Number.NaN)
    const { clip } = await program.run({ x: same })
    expect([...clip!.data]).toEqual([...same])
  })

  here("sines and cosines of every angle: of published configs to their last position, and of all sizes", async () => {
    const program = await opened("unary")
    const angles: number[] = []
    for (const name of configNames) {
      const config = JSON.parse(readFileSync(new URL(`../configs/${name}.json`, import.meta.url), "utf8"))
      const parsed = z.object(rotaryFields).parse(config)
      const last = Math.max(config.max_position_embeddings, rotaryContext(parsed) ?? 0) - 1
      for (const f of rotaryFrequencies(parsed, config.head_dim).frequencies.slice(0, 8))
        for (const p of [last, last - 1, 2 ** 17 - 1, 2 ** 17, 2 ** 18 - 1, 2 ** 20 + 1])
          angles.push(Math.fround(p * Math.fround(f)))
    }
    let state = 5
    for (let exponent = 100; exponent < 255; exponent++)
      for (let i = 0; i < 6; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        angles.push(new Float32Array(Uint32Array.of(((state & 0x807fffff) | (exponent << 23)) >>> 0).buffer)[0]!)
      }
    // As near to multiples of π / 2 as an f32 comes (Muller et al., Handbook of Floating-Point Arithmetic).
    angles.push(16367173 * 2 ** 72, Math.fround(Math.PI / 2), Math.fround(355 * 64), 710 * 1024)
    for (let from = 0; from < angles.length; from += 63) {
      const x = Float32Array.from(angles.slice(from, from + 63))
      const { sin, cos } = await program.run({ x })
      x.forEach((v, i) => {
        expect(Math.abs(sin!.data[i]! - Math.sin(v)), `sin(${v})`).toBeLessThanOrEqual(1e-6)
        expect(Math.abs(cos!.data[i]! - Math.cos(v)), `cos(${v})`).toBeLessThanOrEqual(1e-6)
      })
    }
  })

  here("functions of two numbers, at every place", async () => {
    const program = await opened("binary")
    const pairs = numbers.flatMap((x) => numbers.map((y) => [x, y] as const))
    for (let from = 0; from < pairs.length; from += 61) {
      const part = pairs.slice(from, from + 61)
      const [x, y] = [0, 1].map((i) => Float32Array.from(part, (p) => p[i]!)) as [Float32Array, Float32Array]
      const found = await program.run({ x, y })
      for (const [name, [evaluate, tolerance]] of Object.entries(binary))
        part.forEach(([a, b], i) => {
          expectNumber(found[name]!.data[i]!, evaluate(a, b), tolerance, `${name}(${a}, ${b}) at ${i}`)
        })
    }
  })

  here("a remainder is that of JavaScript for all signs and sizes", async () => {
    const program = await opened("binary")
    let state = 99
    const random = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state
    }
    const float = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0]!
    const any = () => float(random() ^ (random() << 7))
    const normal = () => {
      for (;;) {
        const x = any()
        if (Math.abs(x) >= 2 ** -100 && Number.isFinite(x)) return x
      }
    }
    for (let batch = 0; batch < 20; batch++) {
      const x = Float32Array.from({ length: 64 }, (_, i) => (i % 2 === 0 ? normal() : Math.fround(normal() % 1000)))
      const y = Float32Array.from({ length: 64 }, (_, i) => (i % 4 < 2 ? normal() : Math.fround((i + 1) / 10)))
      const { remainder } = await program.run({ x, y })
      x.forEach((a, i) => {
        expectNumber(remainder!.data[i]!, a % y[i]!, exact, `${a} % ${y[i]}`)
      })
    }
  })

  here("folds", async () => {
    const program = await opened("folds")
    const found = await program.run({ x: Float32Array.from(rows.flat()) }, { row: rows.length })
    const at = (name: string, row: number, count: number) =>
      [...found[name]!.data].slice(row * count, (row + 1) * count)
    rows.forEach((row, r) => {
      const what = `of ${row}`
      const check = (name: string, wanted: readonly number[], tolerance = exact) =>
        at(name, r, wanted.length).forEach((x, i) => {
          // The sign of a zero that is a sum is not said.
          expectNumber(name === "total" ? x + 0 : x, wanted[i]!, tolerance, `${name} ${what}, ${i}`)
        })
      const best = ranked(row)
      const m = Math.max(...row)
      const e = row.map((x) => Math.exp(x - m))
      const total = e.reduce((a, b) => a + b)
      check("total", [row.reduce((a, b) => a + b) + 0])
      check("largest", [m])
      check("smallest", [Math.min(...row)])
      check("best", [best[0]![1]])
      check(
        "index",
        best.slice(0, 3).map(([, i]) => i),
      )
      check(
        "value",
        best.slice(0, 3).map(([x]) => x),
      )
      check(
        "highest",
        row.map((_, i) => Math.max(...row.slice(0, i + 1))),
      )
      check(
        "soft",
        e.map((x) => x / total),
        units(64),
      )
      check("logarithm", [m + Math.log(total)], units(64))
    })
  })

  here("folds of nothing, and choices among too few", async () => {
    const nothing = await (await opened("empty")).run({ x: new Float32Array(0) })
    expect(Object.values(nothing).map(({ data }) => data[0])).toEqual([0, -I, I, Number.NaN])
    const folds = await opened("folds")
    expect(await refusal(folds.run({ x: Float32Array.of(7, 8) }, { row: 1 }))).toMatch(
      /^program\/size: 'top' along 'n' takes at least 3, at .*special-programs\.ts:\d+:\d+: there are 2 elements/,
    )
    const chosen = await opened("chosen")
    expect(await refusal(chosen.run({ x: new Float32Array(0), label: new Float32Array(0) }))).toMatch(
      /^program\/size: '(argmax|at)' along 'n' takes at least 1, .*there are 0 elements/,
    )
    const infinite = { x: Float32Array.of(-I, -I, -I), label: Float32Array.of(5, 6, 7) }
    expect([...(await chosen.run(infinite)).label!.data]).toEqual([5])
  })

  here("integers at the ends of their range", async () => {
    const program = await opened("integers")
    const found = await program.run({
      i: Int32Array.of(-2147483648, -2147483648, -2147483648, -2147483648, -2147483648),
      u: Uint32Array.of(0, 4294967295, 1, 2147483648, 0),
    })
    expect([found.largest!.data[0], found.smallest!.data[0], found.most!.data[0]]).toEqual([
      -2147483648, -2147483648, 4294967295,
    ])
  })

  here("long rows in which scores are not finite", async () => {
    const program = await opened("attending")
    const [rowCount, keys, out] = [37, 1030, 8]
    const make = (length: number, seed: number) =>
      Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(i * 12.9898 + seed) * 2))
    const v = make(keys * out, 3)
    for (const [place, value] of [
      [4 * 2, Number.NaN],
      [4 * 2, I],
      [4 * 35 + 1, -I],
      [-1, 0],
    ] as const) {
      const [q, k] = [make(rowCount * 4, 1), make(keys * 4, 2)]
      if (place >= 0) k[place] = value
      const { y } = await program.run({ q, k, v })
      for (let row = 0; row < rowCount; row++) {
        const scores = Array.from({ length: row + 1 }, (_, key) =>
          [0, 1, 2, 3].reduce((s, d) => s + q[row * 4 + d]! * k[key * 4 + d]!, 0),
        )
        const m = Math.max(...scores)
        const e = scores.map((s) => Math.exp(s - m))
        const total = e.reduce((a, b) => a + b)
        for (let o = 0; o < out; o++) {
          const wanted = e.reduce((s, w, key) => s + (w / total) * v[key * out + o]!, 0)
          const found = y!.data[row * out + o]!
          if (Number.isNaN(wanted)) expect(found, `row ${row}`).toBeNaN()
          else expect(Math.abs(found - wanted), `row ${row}: ${found}, not ${wanted}`).toBeLessThanOrEqual(1e-5)
        }
      }
    }
  })
})
