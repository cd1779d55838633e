/** The same goldens through the kernel and the loop interpreter: fuse, tile and clean keep the meaning. */
import { describe, expect, test } from "vitest"
import { adders } from "../../compiler/interpret/units.js"
import type { AdapterFacts } from "../../compiler/ir/machine.js"
import type { ArtifactTarget, Precision } from "../../runtime/artifact.js"
import { long, seed } from "../laws/settings.js"
import { compileCheckpoint } from "../support/driver.js"
import { goldenNames, loadGolden, normalisedError, someGoldens } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"
import { logitsOf, openSession } from "../support/session.js"
import { checkFast } from "./checks.js"

/** Two beyond the window of eight; more in a long run. */
const positions = long ? 14 : 10

/** Hardware that no continuous integration has: what is made for it runs in the interpreter of loops, which sees races and gaps. */
const hardware = { subgroupSize: 32, workgroupBytes: 49152 }

async function check(name: string, target: ArtifactTarget, language: "kernel" | "loop", adapter?: AdapterFacts) {
  const golden = await loadGolden(name)
  const options = { entries: ["logits"], ...(adapter === undefined ? {} : { adapter }) }
  const compilation = await compileCheckpoint(golden.checkpoint, target, options)
  const device = interpretedDevice(compilation, language, adapter?.subgroupSize)
  const session = await openSession(compilation, device, golden.checkpoint)
  // The past decides: the first positions are those of the whole row. Two pieces, so that a past is there.
  const ids = golden.ids[0]!.slice(0, positions)
  const logits = await logitsOf(session, ids, long ? 9 : 7)
  expect(normalisedError(logits, golden.logits[0]!.subarray(0, logits.length))).toBeLessThan(1e-8)
  await golden.checkpoint.close()
}

/** In a long run all of them, in each some of those that have most kinds of layers, by its seed. */
const some = (all: readonly string[], few: readonly string[]) => (long ? all : few)
const [most, other] = seed % 2 === 0 ? ["qwen3-window", "qwen3-moe-mixed"] : ["qwen3-moe-mixed", "qwen3-window"]

describe.each(["kernel", "loop"] as const)("golden logits through the %s interpreter", (language) => {
  test.each(some(goldenNames, language === "loop" ? someGoldens : [most]))("%s", (name) =>
    check(name, "wasm", language),
  )
})

describe("golden logits through the loop interpreter, as for hardware", () => {
  test.each(some(["qwen3", "qwen3-window", "qwen3-moe-mixed"], [other]))("%s", (name) =>
    check(name, "webgpu", "loop", hardware),
  )
})

/** Products of values that are rounded, and of such as have all their bits, added as NVIDIA's older units add: what the checks of devices ask of each. */
describe("golden logits through the loop interpreter, by matrix units", () => {
  // Rows of whole blocks; and pieces of so few that they are on the narrow side.
  const named = ["qwen3", "qwen3-window", "qwen3-moe-mixed"]
  const cases: readonly (readonly [string, number, Precision])[] = long
    ? named.flatMap((name) => [512, 9].flatMap((n) => (["fast", "exact"] as const).map((p) => [name, n, p] as const)))
    : [
        ["qwen3-window", 512, "fast"],
        ["qwen3-moe-mixed", 7, "fast"],
        ["qwen3", 7, "exact"],
      ]
  test.each(cases)("%s in pieces of %s, %s", async (name, chunk, precision) => {
    const golden = await loadGolden(name)
    const options = { entries: ["logits"], precision, chunk } as const
    const compilation = await compileCheckpoint(golden.checkpoint, "cuda", options)
    const byUnits = compilation.kernels.filter((k) => k.schedule.stores.some((s) => s.atom !== undefined))
    expect(byUnits.length).toBeGreaterThan(3)
    // Without its variant for few rows, which would take them.
    const { logits: entry, ...variants } = compilation.artifact.entries
    expect(Object.keys(variants)).toEqual(chunk > 16 ? ["logits.16"] : [])
    const artifact = { ...compilation.artifact, entries: { logits: entry! } }
    const device = interpretedDevice(compilation, "loop", 32, adders[80])
    const session = await openSession({ artifact }, device, golden.checkpoint)
    const logits = await logitsOf(session, golden.ids[0]!.slice(0, positions), long ? 9 : 7)
    const bound = precision === "exact" ? 1e-8 : 1e-3
    expect(normalisedError(logits, golden.logits[0]!.subarray(0, logits.length))).toBeLessThan(bound)
    await golden.checkpoint.close()
  })
})

/** What a card is held to in `fast`, where a choice of experts may hang on how sums are rounded: whole rows, which take half a minute each. */
test.skipIf(!long).each(["mixtral", "olmoe", "qwen2-moe", "qwen3-moe"])(
  "whole rows of %s by matrix units as they add",
  async (name) => {
    const golden = await loadGolden(name)
    const compilation = await compileCheckpoint(golden.checkpoint, "cuda", { entries: ["logits"], precision: "fast" })
    const device = interpretedDevice(compilation, "loop", 32, adders[90])
    const session = await openSession(compilation, device, golden.checkpoint)
    await checkFast(session, golden)
    await golden.checkpoint.close()
  },
)

test("steps as for hardware, one token after the other, beyond the window of keys that they see", async () => {
  const golden = await loadGolden("qwen3-window")
  const options = { entries: ["step"], adapter: hardware }
  const compilation = await compileCheckpoint(golden.checkpoint, "webgpu", options)
  // What has been seen is folded by lanes that hold the channels.
  const overLanes = compilation.kernels.filter(({ schedule }) =>
    schedule.stores.some((s) => Object.values(s.tile).some((t) => (t.lanes ?? 1) > 1)),
  )
  expect(overLanes.length).toBeGreaterThan(0)
  const session = await openSession(
    compilation,
    interpretedDevice(compilation, "loop", hardware.subgroupSize),
    golden.checkpoint,
  )
  const { vocabulary } = session.artifact.model!
  for (const [past, id] of golden.ids[0]!.slice(0, 9).entries()) {
    session.write("states.token", new Uint8Array(Int32Array.from([id]).buffer))
    session.run(["step"], { past, seq: 1 })
    const bytes = await session.read("states.logits", vocabulary * 4)
    const wanted = golden.logits[0]!.subarray(past * vocabulary, (past + 1) * vocabulary)
    expect(normalisedError(new Float32Array(bytes.slice().buffer), wanted), `at ${past}`).toBeLessThan(1e-8)
  }
  await golden.checkpoint.close()
})
