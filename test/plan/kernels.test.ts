/** Each distinct kernel is compiled once: their number follows from the structure of the model, not from its depth. */
import { describe, expect, test } from "vitest"
import { devices } from "../../compiler/explain/devices.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { compileConfig, configNames } from "../support/configs.js"
import { unsureKernels } from "../support/driver.js"

const { adapter } = devices["nvidia-h200"]!

/**
 * All entry points together: prefill, step, logits, greedy and sample. WebGPU as on a GPU that binds every weight whole; WebAssembly has two
 * more for models of experts, which sort the rows of a prompt by what they chose.
 */
describe.each([
  { target: "wasm", options: {}, most: 32 },
  { target: "webgpu", options: { adapter }, most: 30 },
] as const)("all entry points on $target", ({ target, options, most }) => {
  test.each(configNames)(`of %s are at most ${most} distinct kernels`, async (name) => {
    const compilation = await compileConfig(name, target, options)
    const { artifact } = compilation
    expect(unsureKernels(compilation)).toEqual([])
    // Slots, lifetimes, bindings: the loader's own check of the plan.
    expect(checkArtifact(artifact)).toBe(artifact)
    expect(artifact.kernels.length).toBeLessThanOrEqual(most)
  })
})

test("and on adapters that grant no more than they must, with weights that are bound whole, at most 37", async () => {
  for (const name of configNames) {
    const compilation = await compileConfig(name, "webgpu", { bindingBytes: 2 ** 32 })
    const { artifact } = compilation
    expect(unsureKernels(compilation), name).toEqual([])
    expect(checkArtifact(artifact)).toBe(artifact)
    expect(artifact.kernels.length, name).toBeLessThanOrEqual(37)
  }
})
