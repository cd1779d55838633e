/** The same goldens through the kernel and the loop interpreter: fuse, tile and clean keep the meaning. */
import { describe, expect, test } from "vitest"
import { compileCheckpoint, logitsOf, openSession } from "../support/driver.js"
import { goldenNames, loadGolden, normalisedError } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"

describe.each(["kernel", "loop"] as const)("golden logits through the %s interpreter", (language) => {
  test.each(goldenNames)("%s", async (name) => {
    const golden = await loadGolden(name)
    const compilation = await compileCheckpoint(golden.checkpoint, "wasm")
    const session = await openSession(compilation, interpretedDevice(compilation, language), golden.checkpoint)
    const logits = await logitsOf(session, golden.ids[0]!, golden.ids[0]!.length)
    expect(normalisedError(logits, golden.logits[0]!)).toBeLessThan(1e-8)
    await golden.checkpoint.close()
  })
})
