/** Each distinct kernel is compiled once: their number follows from the structure of the model, not from its depth. */
import { describe, expect, test } from "vitest"
import { devices } from "../../compiler/explain/devices.js"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { tales } from "../cuda/names.js"
import { long, runs, seed } from "../laws/settings.js"
import { type ConfigName, compileConfig, configNames, someConfigs } from "../support/configs.js"
import { compileCheckpoint, unsureKernels } from "../support/driver.js"

const { adapter } = devices["nvidia-h200"]!

/** Those that a choice of a token is made of, whatever the model; and all others. */
const choices = ["sample", "draw"]
const [first] = configNames

/** What a choice is made of hangs on the vocabulary alone, which all of them share: it is compiled with the first, and with all in long runs. */
const entriesOf = (name: ConfigName) =>
  long || name === first ? {} : { entries: ["prefill", "step", "logits", "greedy"] as const }
function counts({ entries, kernels }: Artifact) {
  const launched = (names: readonly string[]) => names.flatMap((n) => entries[n]!.launches.map((l) => l.kernel))
  const others = new Set(launched(Object.keys(entries).filter((n) => !choices.includes(n))))
  return { model: others.size, choice: kernels.length - others.size }
}

/**
 * Prefill, step, logits and greedy together, and apart from them sample and draw. WebGPU as on a GPU that binds every weight whole; models of
 * experts have more, for they sort the rows of a prompt by what they chose.
 */
describe.each([
  { target: "wasm", options: {}, model: 26, choice: 17 },
  { target: "webgpu", options: { adapter }, model: 24, choice: 17 },
] as const)("all entry points on $target", ({ target, options, ...most }) => {
  test.each(someConfigs)(
    `of %s are at most ${most.model} distinct kernels, and ${most.choice} of a draw`,
    async (name) => {
      const compilation = await compileConfig(name, target, { ...options, ...entriesOf(name) })
      const { artifact } = compilation
      expect(unsureKernels(compilation)).toEqual([])
      // Slots, lifetimes, bindings: the loader's own check of the plan.
      expect(checkArtifact(artifact)).toBe(artifact)
      const found = counts(artifact)
      expect(found.model).toBeLessThanOrEqual(most.model)
      if (long || name === first) expect(found.choice).toBeGreaterThan(0)
      expect(found.choice).toBeLessThanOrEqual(most.choice)
    },
  )
})

test("a draw is made of the same kernels, whatever the model", async () => {
  const sourcesOf = async (name: ConfigName) => {
    const { artifact } = await compileConfig(name, "webgpu", { adapter, entries: choices })
    return artifact.kernels.map(({ source }) => source.replace(/^\/\/.*\n/, ""))
  }
  expect(await sourcesOf("qwen3-30b-a3b")).toEqual(await sourcesOf(first))
})

/** Of the model for which devices have matrix units of their own, too. */
const ofCuda = [
  { precision: "exact" },
  { precision: "fast" },
  { precision: "exact", adapter: { subgroupSize: 32, capability: 90 } },
  { precision: "fast", adapter: { subgroupSize: 32, capability: 90 } },
] as const

test.each(long ? ofCuda : [ofCuda[(seed >> 2) % ofCuda.length]!])(
  "every access on CUDA is proven, and none by a clamp: $precision, $adapter.capability",
  async (options) => {
    // One of them in each run, by its seed, another for each of the options; all in long ones.
    const from = seed + ofCuda.indexOf(options)
    const some = configNames.map((_, i) => configNames[(from + i) % configNames.length]!).slice(0, runs(1))
    const compilations = some.map(
      (name) => [name, compileConfig(name, "cuda", { ...options, ...entriesOf(name) })] as const,
    )
    for (const [name, compilation] of compilations) expect(unsureKernels(await compilation), name).toEqual([])
    const checkpoint = await openCheckpoint(tales)
    try {
      // It looks for the same.
      await compileCheckpoint(checkpoint, "cuda", options)
    } finally {
      await checkpoint.close()
    }
  },
)

test("and on adapters that grant no more than they must, with weights that are bound whole, at most 32 and 21", async () => {
  for (const name of someConfigs) {
    const compilation = await compileConfig(name, "webgpu", { bindingBytes: 2 ** 32, ...entriesOf(name) })
    const { artifact } = compilation
    expect(unsureKernels(compilation), name).toEqual([])
    expect(checkArtifact(artifact)).toBe(artifact)
    const { model, choice } = counts(artifact)
    expect(model, name).toBeLessThanOrEqual(32)
    expect(choice, name).toBeLessThanOrEqual(21)
  }
})

test("on hardware a choice is few launches, and each that goes over all tokens has many blocks", async () => {
  const { artifact } = await compileConfig("qwen3-0.6b", "webgpu", { adapter })
  const { entries, buffers } = artifact
  const launches = (name: string) => entries[name]!.launches
  expect(launches("greedy").length).toBeLessThanOrEqual(2)
  expect(launches("draw").length).toBeLessThanOrEqual(6)
  expect(launches("sample").length).toBeLessThanOrEqual(14)
  /** Blocks of those that go over all tokens. */
  const over = (name: string) =>
    launches(name).flatMap(({ buffers: bound, groups }) =>
      bound.some((b) => buffers[b]!.bytes >= artifact.model!.vocabulary * 4) ? [groups as number] : [],
    )
  // Of 151,936 tokens there are 99 parts: one block folds all that is folded of one.
  expect(Math.min(...over("draw"))).toBeGreaterThanOrEqual(99)
  // What is counted is counted in larger parts, for each has bins that others add up. Where ties end is looked for in one part of the tokens.
  const small = over("sample").filter((groups) => groups < 22)
  expect(over("sample").length - small.length).toBeGreaterThan(7)
  expect(small.length).toBeLessThanOrEqual(1)
})
