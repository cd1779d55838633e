/** The same goldens through the kernel and the loop interpreter: fuse, tile and clean keep the meaning. */
import { describe, expect, test } from "vitest"
import { compileCheckpoint, logitsOf, openSession } from "../support/driver.js"
import { goldenNames, loadGolden, normalisedError } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"

const positions = 14

describe.each(["kernel", "loop"] as const)("golden logits through the %s interpreter", (language) => {
  test.each(goldenNames)("%s", async (name) => {
    const golden = await loadGolden(name)
    const compilation = await compileCheckpoint(golden.checkpoint, "wasm", { entries: ["logits"] })
    const session = await openSession(compilation, interpretedDevice(compilation, language), golden.checkpoint)
    // The past decides: the first positions are those of the whole row. Two pieces, so that a past is there.
    const ids = golden.ids[0]!.slice(0, positions)
    const logits = await logitsOf(session, ids, 9)
    expect(normalisedError(logits, golden.logits[0]!.subarray(0, logits.length))).toBeLessThan(1e-8)
    await golden.checkpoint.close()
  })
})
