/** Steps of a model on a driver in memory: a step and its choice are one graph, and what they compute is what two would. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { createSession, type Session } from "../../runtime/session.js"
import { checkEndings, vocab } from "../generate/endings.js"
import { runs, seed } from "../laws/settings.js"
import { type FakeKernel, fakeDriver } from "../support/cuda-driver.js"
import { left, open, record } from "./cuda-fake.js"

const buffers = ["inputs.tokens", "states.token", "states.total", "inputs.sampling"] as const
const words = [8, 1, 1, 8]

/** A model by hand: what it knows of a sequence is one number. */
const kernels: Readonly<Record<string, { readonly binds: readonly number[]; readonly run: FakeKernel }>> = {
  prefill: {
    binds: [0, 2],
    run: ([tokens, total, symbols], at) => {
      const [past, seq] = [word(at(symbols!), 0), word(at(symbols!), 1)]
      for (let i = 0; i < seq; i++) advance(at(total!), word(at(tokens!), i), past + i)
    },
  },
  step: {
    binds: [1, 2],
    run: ([token, total, symbols], at) => advance(at(total!), word(at(token!), 0), word(at(symbols!), 0)),
  },
  greedy: { binds: [2, 1], run: ([total, token], at) => put(at(token!), word(at(total!), 0) % vocab) },
  draw: {
    binds: [2, 3, 1],
    run: ([total, sampling, token], at) =>
      put(at(token!), (word(at(total!), 0) + 5 * word(at(sampling!), 6) + 3) % vocab),
  },
}
const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset)
const word = (bytes: Uint8Array, i: number) => view(bytes).getInt32(4 * i, true)
const put = (bytes: Uint8Array, value: number) => view(bytes).setInt32(0, value, true)
const advance = (total: Uint8Array, token: number, place: number) =>
  put(total, (31 * word(total, 0) + 7 * token + place + 1) % 10_007)

const names = Object.keys(kernels)
const artifact: Artifact = {
  format: "weft",
  version: 5,
  target: "cuda",
  precision: "exact",
  model: { family: "number", context: 24, chunk: 4, vocabulary: vocab, endTokens: [] },
  symbols: ["past", "seq"].map((name) => ({ name, max: 24 })),
  slots: words.map((n) => ({ bytes: 4 * n })),
  buffers: buffers.map((name, slot) => ({
    name,
    role: name.startsWith("states") ? "state" : "input",
    storage: "i32",
    shape: [words[slot]!],
    bytes: 4 * words[slot]!,
    slot,
  })),
  weights: [],
  constants: [],
  kernels: names.map((name) => ({
    ...record(name, kernels[name]!.binds.length),
    proven: true as const,
    early: true as const,
  })),
  module: "",
  entries: Object.fromEntries(
    names.map((name, kernel) => [name, { launches: [{ kernel, buffers: kernels[name]!.binds, groups: kernel + 1 }] }]),
  ),
}

function opened() {
  const driver = fakeDriver()
  for (const [name, { run }] of Object.entries(kernels)) driver.kernels.set(name, run)
  return { driver, device: open(driver) }
}
const openSession = (device: ReturnType<typeof open>) =>
  createSession(artifact, device, { read: () => Promise.reject(new Error("no weights")) })
const token = async (session: Session) => word(await session.read("states.token", 4), 0)

describe("a step and its choice", () => {
  test("are one graph from the second time on, in which the choice starts early; a prompt stays two", async () => {
    const { driver, device } = opened()
    const session = await openSession(device)
    const launched = async (entries: readonly string[]) => {
      const before = driver.calls.length
      session.run(entries, { past: 1, seq: 1 })
      await token(session)
      const calls = driver.calls.slice(before)
      return [calls.filter((c) => c === "launchGraph").length, calls.filter((c) => c === "instantiate").length]
    }
    expect(await launched(["prefill", "greedy"])).toEqual([2, 0])
    expect(await launched(["step", "greedy"])).toEqual([2, 0])
    expect(await launched(["step", "greedy"])).toEqual([1, 1])
    expect(driver.graphs.at(-1)!.map(({ groups, early }) => [groups, early])).toEqual([
      [2, false],
      [3, true],
    ])
    expect(await launched(["prefill", "greedy"])).toEqual([2, 0])
    expect(await launched(["step", "greedy"])).toEqual([1, 0])
    const { submits, commands } = device.counters
    expect(await launched(["step", "draw"])).toEqual([2, 0])
    expect(await launched(["step", "draw"])).toEqual([1, 1])
    expect([device.counters.submits - submits, device.counters.commands - commands]).toEqual([2, 4])
    expect(await launched(["step"])).toEqual([1, 0])
    expect(await launched(["step"])).toEqual([1, 0])
    expect(() => session.run(["step", "choose"], {})).toThrow("the artifact has no entry 'choose'")
    session.dispose()
    expect(driver.live.get("executable")).toBe(0)
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("are timed as they run: each launch by itself, and the whole as one graph", async () => {
    const { driver, device } = opened()
    const session = await openSession(device)
    const before = driver.calls.length
    const { commands, whole } = await session.profile(["step", "greedy"], { past: 0, seq: 1 }, 4)!
    expect(commands).toEqual([2, 3])
    expect(whole).toBeCloseTo(5)
    // Once to begin with and four times, each one graph; then as often with marks.
    expect(driver.calls.slice(before).filter((c) => c === "launchGraph")).toHaveLength(5 + 5)
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test(`compute what two recordings do, whatever runs between, WEFT_SEED=${seed}`, async () => {
    const choices = [["step", "greedy"], ["step", "draw"], ["prefill", "greedy"], ["step"], ["greedy"]] as const
    const action = fc.record({
      entries: fc.constantFrom(...choices),
      times: fc.integer({ min: 1, max: 4 }),
      look: fc.boolean(),
    })
    const property = fc.asyncProperty(fc.array(action, { maxLength: 8 }), async (actions) => {
      const { driver, device } = opened()
      const apart = Object.create(device, { join: { value: undefined } })
      const sessions = [await openSession(device), await openSession(apart)]
      const seen: unknown[][] = []
      for (const session of sessions) {
        const reads: Promise<number>[] = []
        session.write("inputs.tokens", new Uint8Array(Int32Array.of(3, 1, 4, 1).buffer))
        for (const [i, { entries, times, look }] of actions.entries())
          for (let n = 0; n < times; n++) {
            session.write("inputs.sampling", new Uint8Array(new Int32Array(8).fill(i + n).buffer))
            session.run(entries, { past: 2 * i + (n % 2), seq: 1 + (n % 4) })
            if (look) reads.push(token(session))
          }
        reads.push(
          token(session),
          session.read("states.total", 4).then((bytes) => word(bytes, 0)),
        )
        seen.push(await Promise.all(reads))
      }
      expect(seen[0]).toEqual(seen[1])
      device.dispose()
      expect(await left(driver)).toEqual({})
    })
    await fc.assert(property, { seed, numRuns: runs(20) })
  })

  test("ended at any position, with eight ahead of the host, leave nothing to what comes next", async () => {
    const { driver, device } = opened()
    await checkEndings(artifact, device, [{ temperature: 0 }, { temperature: 1, seed: 3 }], [8], 6)
    // What computes two tokens in a row is joined.
    expect(driver.graphs.filter((launches) => launches.length === 2).length).toBeGreaterThan(0)
    device.dispose()
    expect(await left(driver)).toEqual({})
  })
})
