/** Every kernel of every golden configuration is valid WGSL: Dawn's null backend checks it, on any machine, with subgroups and f16 and without. */
import { describe, expect, test } from "vitest"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import { long } from "../laws/settings.js"
import { compileCheckpoint } from "../support/driver.js"
import { goldenNames, loadGolden, someGoldens } from "../support/goldens.js"

/** Every layer has a router, and all that a choice hangs on is computed in f32. */
const routed: readonly string[] = ["qwen3-moe", "qwen3-moe-unnormalised", "mixtral", "olmoe", "qwen2-moe"]

/** But for long runs: those of narrow subgroups run as they are on a software adapter (golden/devices), and layers that others have are left out. */
const some = (names: readonly string[]) => (long ? goldenNames : names)

/**
 * What picks a token is the same text for all of one vocabulary and one adapter: all entries of the first of them, of the others those that
 * have a model in them.
 */
const entriesOf = (at: number) => (long || at === 0 ? {} : { entries: ["prefill", "step", "logits"] })

describe.each([
  [0, "exact", some(["qwen3-yarn", "qwen3-window", "qwen3-moe-unnormalised", "qwen3-moe-mixed"])],
  [4, "exact", some(["qwen3-window", "qwen3-moe-mixed"])],
  [32, "exact", someGoldens],
  [32, "fast", someGoldens],
] as const)("kernels for subgroups of %i, %s", (subgroupSize, precision, names) => {
  test.each(names.map((name, at) => [name, at] as const))("%s", async (name, at) => {
    const { checkpoint } = await loadGolden(name)
    const adapter = { subgroupSize, f16: true }
    const { artifact } = await compileCheckpoint(checkpoint, "webgpu", { adapter, precision, ...entriesOf(at) })
    expect(artifact.kernels.some((k) => k.source.includes("enable f16;"))).toBe(
      precision === "fast" && !routed.includes(name),
    )
    await checkpoint.close()
    expect(artifact.kernels.length).toBeGreaterThan(at === 0 ? 30 : 16)
    expect(await validateWgsl(artifact.kernels)).toEqual([])
  })
})
