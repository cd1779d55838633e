/** Each distinct kernel is compiled once: their number follows from the structure of the model, not from its depth. */
import { describe, expect, test } from "vitest"
import { compileConfig, configNames } from "../support/configs.js"

/** All entry points together: prefill, step, logits, greedy and sample. */
const most = 37

describe.each(["wasm", "webgpu"] as const)("all entry points on %s", (target) => {
  test.each(configNames)(`of %s are at most ${most} distinct kernels`, async (name) => {
    const { artifact } = await compileConfig(name, target)
    expect(artifact.kernels.length).toBeLessThanOrEqual(most)
  })
})
