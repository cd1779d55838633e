/** Each distinct kernel is compiled once: their number follows from the structure of the model, not from its depth. */
import { describe, expect, test } from "vitest"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { compileConfig, configNames } from "../support/configs.js"

/** All entry points together: prefill, step, logits, greedy and sample; on a device that binds every weight whole. */
const most = 37

describe.each(["wasm", "webgpu"] as const)("all entry points on %s", (target) => {
  test.each(configNames)(`of %s are at most ${most} distinct kernels`, async (name) => {
    const { artifact } = await compileConfig(name, target, { bindingBytes: 2 ** 32 })
    // Slots, lifetimes, bindings: the loader's own check of the plan.
    expect(checkArtifact(artifact)).toBe(artifact)
    expect(artifact.kernels.length).toBeLessThanOrEqual(most)
  })
})
