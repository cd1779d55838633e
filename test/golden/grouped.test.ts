/** Logits of transformers on every device, with all rows of the chosen weights in groups. */
import { describe, expect, test } from "vitest"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { adapterOf, compileCheckpoint } from "../support/driver.js"
import { loadGolden, normalisedError } from "../support/goldens.js"
import { greedyAfter, logitsOf, openSession } from "../support/session.js"

const devices = { wasm: () => createWasmDevice({ threads: 1 }), webgpu: () => createWebgpuDevice({ adapter: "any" }) }
const present = { wasm: await available("wasm", devices.wasm), webgpu: await available("webgpu", devices.webgpu) }

describe.each(["wasm", "webgpu"] as const)("rows in groups on %s", (kind) => {
  test.skipIf(!present[kind])("qwen3-moe", async () => {
    const golden = await loadGolden("qwen3-moe")
    const device = await devices[kind]()
    const options = { ...adapterOf(device), entries: ["prefill", "step", "logits", "greedy"] }
    const compilation = await compileCheckpoint(golden.checkpoint, kind, { ...options, gather: { rows: 0, block: 4 } })
    const names = compilation.kernels.flatMap((k) => k.kernel.items.flatMap((i) => i.axes.map((a) => a.name)))
    expect(names.some((n) => n.startsWith("block"))).toBe(true)
    const session = await openSession(compilation, device, golden.checkpoint)
    const [ids, expected] = [golden.ids[0]!, golden.logits[0]!]
    for (const chunk of [ids.length, 7]) {
      const start = ids.slice(0, 3 * chunk - 1)
      const logits = await logitsOf(session, start, chunk)
      expect(normalisedError(logits, expected.subarray(0, logits.length)), `chunks of ${chunk}`).toBeLessThan(1e-8)
    }
    expect(await greedyAfter(session, ids, 16)).toEqual(golden.greedy[0])
    session.dispose()
    device.dispose()
    await golden.checkpoint.close()
  })
})
