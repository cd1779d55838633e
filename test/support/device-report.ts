/** A reporter that ends a run with one line naming what was skipped because its device is missing. */
import type { Reporter, TestModule } from "vitest/node"

/** How tests of a device are called, by file or by name. */
const devices = { webgpu: /webgpu|wgsl/i, wasm: /wasm/i }

let filtered = false

export const deviceReport: Reporter = {
  onInit(vitest) {
    // With a filter by name most tests are skipped for another reason.
    filtered = vitest.config.testNamePattern !== undefined
  },
  onTestRunEnd(modules: readonly TestModule[]) {
    const skipped = modules.flatMap((m) =>
      [...m.children.allTests("skipped")].map((t) => `${m.moduleId} ${t.fullName}`),
    )
    for (const [device, called] of Object.entries(devices)) {
      const count = skipped.filter((name) => called.test(name)).length
      if (count > 0 && !filtered)
        console.log(
          `${device}: no such device here, ${count} tests skipped (WEFT_REQUIRE=${device} makes that a failure)`,
        )
    }
  },
}
