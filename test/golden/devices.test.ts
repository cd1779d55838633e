/** Logits and greedy tokens of transformers on every device, fed in one piece, in chunks and token by token. */
import { describe, expect, test } from "vitest"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { adapterOf, compileCheckpoint, greedyAfter, logitsOf, openSession } from "../support/driver.js"
import { goldenNames, loadGolden, normalisedError } from "../support/goldens.js"

const entries = ["prefill", "step", "logits", "greedy"]
const devices = { wasm: () => createWasmDevice({ threads: 1 }), webgpu: () => createWebgpuDevice({ adapter: "any" }) }

const present = { wasm: await available("wasm", devices.wasm), webgpu: await available("webgpu", devices.webgpu) }

describe.each(["wasm", "webgpu"] as const)("golden logits and tokens on %s", (kind) => {
  test.skipIf(!present[kind]).each(goldenNames)("%s", async (name) => {
    const golden = await loadGolden(name)
    const device = await devices[kind]()
    const compilation = await compileCheckpoint(golden.checkpoint, kind, { ...adapterOf(device), entries })
    const session = await openSession(compilation, device, golden.checkpoint)
    for (const [row, ids] of golden.ids.entries()) {
      expect(normalisedError(await logitsOf(session, ids, ids.length), golden.logits[row]!), `row ${row}`).toBeLessThan(
        1e-8,
      )
    }
    // In pieces: long enough for several of each kind and for a window to move.
    const start = golden.ids[0]!.slice(0, 40)
    for (const chunk of [1, 7, 32]) {
      const logits = await logitsOf(session, start, chunk)
      expect(normalisedError(logits, golden.logits[0]!.subarray(0, logits.length)), `chunks of ${chunk}`).toBeLessThan(
        1e-8,
      )
    }
    for (const [row, ids] of golden.ids.entries())
      expect(await greedyAfter(session, ids, 16), `row ${row}`).toEqual(golden.greedy[row])
    session.dispose()
    device.dispose()
    await golden.checkpoint.close()
  })
})
