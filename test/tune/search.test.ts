/** The search of the best schedule, with times that are made up: what is wrong is never taken, and noise is no gain. */
import { describe, expect, test } from "vitest"
import { disagreement } from "../../cli/tune/agree.js"
import { createRandom, indexLimit, randomBytes } from "../../cli/tune/data.js"
import { search } from "../../cli/tune/search.js"
import type { Trial, Variant } from "../../cli/tune/trial.js"
import { memoryOf, toBytes } from "../../compiler/interpret/memory.js"
import { literal, load, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import type { Schedule } from "../../compiler/ir/schedule.js"

/** A schedule that stands for its time; the lanes are its name. */
const named = (threads: number): Schedule => ({ threads, stores: [], locals: {} })
const loops = (threads: number): LoopKernel => ({
  name: "k",
  buffers: [],
  symbols: [],
  threads,
  groups: 1,
  body: [],
})

/** Times by lanes; the second sample of each is 10 % slower. */
function pretend(
  times: Readonly<Record<number, number>>,
  wrong: readonly number[] = [],
  spilling: readonly number[] = [],
): Trial & { readonly kept: () => readonly number[]; readonly checked: readonly number[] } {
  const lanesOf = new Map<Variant, number>()
  const kept = new Set<Variant>()
  const checked: number[] = []
  const samples = new Map<number, number>()
  return {
    async prepare({ threads }) {
      if (times[threads] === undefined) throw new Error("the device refuses it")
      const kernel = { name: "k", ...(spilling.includes(threads) ? { spills: true as const } : {}) }
      const made = { kernel, sample: { commands: 1 }, once: { commands: 1 } }
      lanesOf.set(made, threads)
      kept.add(made)
      return made
    },
    async check(v) {
      checked.push(lanesOf.get(v)!)
      return wrong.includes(lanesOf.get(v)!) ? "b0[0] is 1, the heuristic schedule stores 2" : undefined
    },
    drop: (v) => kept.delete(v),
    kept: () => [...kept].map((v) => lanesOf.get(v)!),
    checked,
    async time(v) {
      const lanes = lanesOf.get(v)!
      const n = (samples.get(lanes) ?? 0) + 1
      samples.set(lanes, n)
      return times[lanes]! * (n % 2 === 0 ? 1.01 : 1)
    },
    dispose() {},
  }
}

const found = (trial: Trial, lanes: readonly number[]) =>
  search(trial, {
    schedules: lanes.map(named),
    realise: (s) => loops(s.threads),
    until: performance.now() + 3_600_000,
  })

describe("search", () => {
  test("the fastest is found", async () => {
    const result = await found(pretend({ 1: 100, 2: 90, 3: 50, 4: 300 }), [1, 2, 3, 4])
    expect(result).toMatchObject({ better: true, schedule: named(3), tried: 4, choices: 4, problems: [] })
    expect(result.microseconds / result.heuristicMicroseconds).toBeCloseTo(0.5, 1)
  })
  test("a gain of 2 % is taken for noise", async () => {
    const result = await found(pretend({ 1: 100, 2: 98 }), [1, 2])
    expect(result).toMatchObject({ better: false, schedule: named(1) })
  })
  test("a wrong result is reported and never taken, a refusal of the device is no wrong result", async () => {
    const result = await found(pretend({ 1: 100, 2: 10, 3: 80 }, [2]), [1, 2, 3, 5])
    expect(result).toMatchObject({ better: true, schedule: named(3) })
    expect(result.problems).toEqual([
      { schedule: named(2), problem: "b0[0] is 1, the heuristic schedule stores 2", wrong: true },
      { schedule: named(5), problem: "the device refuses it", wrong: false },
    ])
  })
  test("registers that do not hold what a schedule keeps refuse it before it runs, but not the heuristic one", async () => {
    const trial = pretend({ 1: 100, 2: 10, 3: 80 }, [], [1, 2])
    const result = await found(trial, [1, 2, 3])
    expect(result).toMatchObject({ better: true, schedule: named(3) })
    expect(result.problems).toEqual([
      { schedule: named(2), problem: "its registers do not hold what it keeps", wrong: false },
    ])
    expect(trial.checked).toEqual([1, 3])
  })
  test("what is of no use any more is given back: the heuristic one and four others are there at the end", async () => {
    const times = Object.fromEntries([100, 90, 300, 85, 80, 10, 60, 99, 70].map((t, i) => [i + 1, t]))
    const trial = pretend(times, [6])
    expect(await found(trial, Object.keys(times).map(Number))).toMatchObject({ better: true, schedule: named(7) })
    expect(trial.kept()).toEqual([1, 4, 5, 7, 9])
  })
  test("without time only the heuristic one is measured", async () => {
    const result = await search(pretend({ 1: 100, 2: 10 }), {
      schedules: [named(1), named(2)],
      realise: (s) => loops(s.threads),
      until: performance.now() - 1,
    })
    expect(result).toMatchObject({ better: false, tried: 1, choices: 2 })
  })
})

describe("results agree", () => {
  const buffer = (storage: "f32" | "bf16" | "i32") =>
    ({ name: "b0", dtype: storage === "i32" ? "i32" : "f32", storage, shape: [3] }) as const
  const bytes = (storage: "f32" | "bf16" | "i32", numbers: readonly number[]) => toBytes(memoryOf(storage, numbers))
  const differ = (storage: "f32" | "bf16" | "i32", a: readonly number[], b: readonly number[]) =>
    disagreement(buffer(storage), bytes(storage, a), bytes(storage, b))

  test("up to the order of sums", () => {
    expect(differ("f32", [1, -2, 1e-7], [1.00001, -2.00001, 2e-7])).toBeUndefined()
    expect(differ("bf16", [1, -2, 3], [1.0078125, -2, 3])).toBeUndefined()
  })
  test("not beyond", () => {
    expect(differ("f32", [1, -2, 3], [1, -2.001, 3])).toContain("b0[1]")
    expect(differ("bf16", [1, -2, 3], [1.125, -2, 3])).toContain("b0[0]")
    expect(differ("i32", [1, 2, 3], [1, 2, 4])).toBe("b0[2] is 4, the heuristic schedule stores 3")
    expect(differ("f32", [1, 2, Number.NaN], [1, 2, 3])).toContain("b0[2]")
    expect(differ("f32", [1, 2, Number.NaN], [1, 2, Number.NaN])).toBeUndefined()
    // What lies beside the identity of max is compared by its own size.
    expect(differ("f32", [-Infinity, 1, 2], [-Infinity, 1, 2.1])).toContain("b0[2]")
    expect(differ("f32", [-Infinity, 1, 2], [-3.4028234e38, 1, 2])).toContain("b0[0]")
  })
})

test("indices stay inside of what they index", () => {
  withTable(() => {
    const index = load("b0", [variable("i")], "i32")
    const kernel: Kernel = {
      name: "gather",
      buffers: [
        { name: "b0", dtype: "i32", storage: "i32", shape: [8] },
        { name: "b1", dtype: "f32", storage: "f32", shape: [5, 3] },
        { name: "b2", dtype: "f32", storage: "f32", shape: [8] },
      ],
      items: [
        {
          kind: "store",
          buffer: "b2",
          axes: [{ name: "i", extent: literal(8) }],
          index: [variable("i")],
          value: load("b1", [index, literal(0)], "f32"),
        },
      ],
      spans: [],
    }
    expect(indexLimit([[kernel, "b0"]])).toBe(5)
    expect(indexLimit([[kernel, "b1"]])).toBe(2)
    const numbers = new Int32Array(randomBytes("i32", 400, 5, createRandom(7)).buffer)
    expect([Math.min(...numbers), Math.max(...numbers)]).toEqual([0, 4])
    expect(randomBytes("f32", 9, 2, createRandom(7))).toEqual(randomBytes("f32", 9, 2, createRandom(7)))
  })
})
