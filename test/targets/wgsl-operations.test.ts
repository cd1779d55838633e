/** Every operation on every dtype at every width against the table, executed on the adapter: all shaders in one submit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { DType } from "../../compiler/ir/operations.js"
import { inaccurate, wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { batchesOf, cases, count, dtypes, inputs, keyOf, wrongOfBatch } from "./operations.js"

const batches = batchesOf(inaccurate)
const encode = (dtype: DType, values: readonly number[]) =>
  new Uint8Array((dtype === "f32" ? Float32Array.from(values) : Uint32Array.from(values, (x) => x >>> 0)).buffer)
const open = () => createWebgpuDevice()
const present = await available("webgpu", open)

describe.skipIf(!present)("operations on the adapter", () => {
  const failures = new Map<string, string[]>()
  let device: WebgpuDevice

  beforeAll(async () => {
    device = await open()
    const options = { symbolOrder: [], limits: device.adapterInfo.limits }
    const texts = batches.map((b) => wgslKernel(b.kernel, options))
    const compiled = await device.compile({ kernels: texts }, 0)
    const sources = dtypes.map((d) => {
      const b = device.allocate(3 * count * 4, `in ${d}`)
      device.upload(b, 0, encode(d, inputs[d].flat()))
      return b
    })
    const targets = batches.map((b) => device.allocate(b.cases.length * count * 4, `out ${b.kernel.name}`))
    const commands = compiled.map((kernel, i) => ({ kernel, buffers: [...sources, targets[i]!], groups: 3 }))
    device.submit([device.record(commands)], new Int32Array(0))
    for (const [i, batch] of batches.entries()) {
      const found = new Uint32Array((await device.read(targets[i]!, 0, targets[i]!.bytes)).slice().buffer)
      for (const { key, problem } of wrongOfBatch(batch, found))
        failures.set(key, [...(failures.get(key) ?? []), problem])
    }
  })
  afterAll(() => device?.dispose())

  it.each([...new Set(cases.map(keyOf))])("%s", (key) => {
    expect(failures.get(key)?.slice(0, 6) ?? []).toEqual([])
  })
})
