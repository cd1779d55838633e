/** Every kernel of every golden configuration is valid WGSL: Dawn's null backend checks it, on any machine, with subgroups and without. */
import { describe, expect, test } from "vitest"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import { compileCheckpoint } from "../support/driver.js"
import { goldenNames, loadGolden } from "../support/goldens.js"

describe.each([0, 4, 32])("kernels for subgroups of %i", (subgroupSize) => {
  test.each(goldenNames)("%s", async (name) => {
    const { checkpoint } = await loadGolden(name)
    const { artifact } = await compileCheckpoint(checkpoint, "webgpu", { adapter: { subgroupSize } })
    await checkpoint.close()
    expect(artifact.kernels.length).toBeGreaterThan(20)
    expect(await validateWgsl(artifact.kernels)).toEqual([])
  })
})
