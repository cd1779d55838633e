/** Quantized files of every kind compute what transformers does with the weights that they decode to, on every device. */
import { describe, expect, test } from "vitest"
import type { Compilation } from "../../compiler/compile.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { adapterOf, compileStored } from "../support/driver.js"
import { normalisedError } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"
import { folderMethods } from "../support/quantized-files.js"
import { loadQuantized, quantizedNames } from "../support/quantized-goldens.js"
import { logitsInPieces, openSession } from "../support/session.js"

type Opening = (compilation: Compilation) => Device | Promise<Device>

async function check(
  name: string,
  target: "wasm" | "webgpu",
  opening: Opening,
  pieces: readonly number[],
  adapter = {},
) {
  const { checkpoint, ids, logits } = await loadQuantized(name)
  const compilation = await compileStored(checkpoint, target, adapter)
  const device = await opening(compilation)
  const session = await openSession(compilation, device, checkpoint)
  const found = await logitsInPieces(session, ids, pieces)
  expect(normalisedError(found, logits.subarray(0, found.length))).toBeLessThan(1e-8)
  session.dispose()
  await checkpoint.close()
}

/** All in a long run, else some by its seed. */
const drawn = (count: number) =>
  long ? quantizedNames : quantizedNames.filter((_, i) => (i + seed) % Math.ceil(quantizedNames.length / count) === 0)

test("each kind of block and of folder has its golden", () => {
  expect(quantizedNames).toHaveLength(12 + 3 + Object.keys(folderMethods).length + 2)
})

const webgpu = await available("webgpu", () => createWebgpuDevice({ adapter: "any" }))

describe("logits of transformers", () => {
  test.each(drawn(2))("%s on WebAssembly", async (name) => {
    const device = await createWasmDevice({ threads: 1 })
    await check(name, "wasm", () => device, [1, 7, 4])
    device.dispose()
  })

  test.skipIf(!webgpu).each(drawn(1))("%s on WebGPU", async (name) => {
    const device = await createWebgpuDevice({ adapter: "any" })
    await check(name, "webgpu", () => device, [1, 11], adapterOf(device))
    device.dispose()
  })

  test.each(drawn(1))("%s in the interpreter of kernels", (name) =>
    check(name, "wasm", (compilation) => interpretedDevice(compilation, "kernel"), [1, 3]),
  )
})
