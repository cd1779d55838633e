/** Runs batches of operations on a device, all kernels in one submit. */
import type { DType } from "../../compiler/ir/operations.js"
import type { Device, KernelCode } from "../../runtime/devices/device.js"
import { type Batch, count, dtypes, inputs, wrongOfBatch } from "./operations.js"

const encode = (dtype: DType, values: readonly number[]) =>
  new Uint8Array((dtype === "f32" ? Float32Array.from(values) : Uint32Array.from(values, (x) => x >>> 0)).buffer)

/** What is wrong, by the key of a case; `code` holds a kernel for each batch, in their order. */
export async function failuresOn(
  device: Device,
  batches: readonly Batch[],
  code: KernelCode,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const compiled = await device.compile(code, 0)
  const sources = dtypes.map((d) => {
    const b = device.allocate(3 * count * 4, `in ${d}`)
    device.upload(b, 0, encode(d, inputs[d].flat()))
    return b
  })
  const targets = batches.map((b) => device.allocate(b.cases.length * count * 4, `out ${b.kernel.name}`))
  const commands = compiled.map((kernel, i) => ({ kernel, buffers: [...sources, targets[i]!], groups: 3 }))
  device.submit([device.record(commands)], new Int32Array(0))
  const failures = new Map<string, readonly string[]>()
  for (const [i, batch] of batches.entries()) {
    const found = new Uint32Array((await device.read(targets[i]!, 0, targets[i]!.bytes)).slice().buffer)
    for (const { key, problem } of wrongOfBatch(batch, found))
      failures.set(key, [...(failures.get(key) ?? []), problem])
  }
  return failures
}
