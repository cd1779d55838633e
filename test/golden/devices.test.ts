/** Logits and greedy tokens of transformers on every device, fed in one piece, in chunks and token by token. */
import { describe, expect, test } from "vitest"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { adapterOf, compileCheckpoint, greedyAfter, logitsInPieces, logitsOf, openSession } from "../support/driver.js"
import { goldenNames, loadGolden, longGoldens, normalisedError } from "../support/goldens.js"

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

  // Row 0 at once; then one piece up to the interesting place and pieces of one size after it. Greedy tokens follow both rows.
  test.skipIf(!present[kind]).each(longGoldens)(
    "$name: all at once, and from $from on in pieces of 1, 7 and 32",
    async (long) => {
      const golden = await loadGolden(long.name)
      const device = await devices[kind]()
      const ids = golden.ids[0]!
      const options = { ...adapterOf(device), entries, chunk: ids.length }
      const session = await openSession(
        await compileCheckpoint(golden.checkpoint, kind, options),
        device,
        golden.checkpoint,
      )
      for (const pieces of [
        [ids.length],
        [long.from, ...Array<number>(16).fill(1)],
        [long.from, 7, 7, 7],
        [long.from, 32, 32, 32],
      ]) {
        const logits = await logitsInPieces(session, ids, pieces)
        expect(
          normalisedError(logits, golden.logits[0]!.subarray(0, logits.length)),
          `pieces of ${pieces}`,
        ).toBeLessThan(1e-8)
      }
      for (const [row, ids] of golden.ids.entries())
        expect(await greedyAfter(session, ids, 16), `row ${row}`).toEqual(golden.greedy[row])
      session.dispose()
      device.dispose()
      await golden.checkpoint.close()
    },
  )
})
