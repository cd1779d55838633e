/** Quantized files of every kind compute what transformers does with the weights that they decode to, on every device. */
import { describe, expect, test } from "vitest"
import type { Compilation, CompileOptions } from "../../compiler/compile.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { acrossFormat } from "../../runtime/weights/formats/across.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
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
  target: ArtifactTarget,
  opening: Opening,
  pieces: readonly number[],
  options: Partial<CompileOptions> = {},
  bound = 1e-8,
) {
  const { checkpoint, ids, logits } = await loadQuantized(name)
  const compilation = await compileStored(checkpoint, target, options)
  const device = await opening(compilation)
  const session = await openSession(compilation, device, checkpoint)
  const found = await logitsInPieces(session, ids, pieces)
  expect(normalisedError(found, logits.subarray(0, found.length))).toBeLessThan(bound)
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

  test.each(drawn(1))("%s as CUDA holds it where results need not be exact, in the interpreter of kernels", (name) => {
    const opened = (compilation: Compilation) => {
      const held = compilation.artifact.weights.flatMap((w) => (w.format === undefined ? [] : [w.format]))
      for (const format of new Set(held)) expect(acrossFormat(formatNamed(format)!).name).toBe(format)
      return interpretedDevice(compilation, "kernel")
    }
    return check(name, "cuda", opened, [1, 3], { precision: "fast" }, 1e-3)
  })
})
