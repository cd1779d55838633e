/** Every operation on every dtype at every width against the table, executed on the adapter: all shaders in one submit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { inaccurate, wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { batchesOf, cases, keyOf } from "./operations.js"
import { failuresOn } from "./operations-device.js"

const batches = batchesOf(inaccurate)
const open = () => createWebgpuDevice()
const present = await available("webgpu", open)

describe.skipIf(!present)("operations on the adapter", () => {
  let failures: Awaited<ReturnType<typeof failuresOn>>
  let device: WebgpuDevice

  beforeAll(async () => {
    device = await open()
    const options = { symbolOrder: [], limits: device.adapterInfo.limits }
    const texts = batches.map((b) => wgslKernel(b.kernel, options))
    failures = await failuresOn(device, batches, { kernels: texts })
  })
  afterAll(() => device?.dispose())

  it.each([...new Set(cases.map(keyOf))])("%s", (key) => {
    expect(failures.get(key)?.slice(0, 6) ?? []).toEqual([])
  })
})
