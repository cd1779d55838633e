/** The CUDA device on a driver in memory, with kernels that add, and one that faults. */
import { expect } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, fromBytes, toBytes } from "../../compiler/interpret/memory.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import type { ArtifactKernel } from "../../runtime/artifact.js"
import { type CudaDeviceOptions, openCudaDevice } from "../../runtime/devices/cuda/device.js"
import { type FakeDriver, type FakeKernel, fakeDriver, imageOf } from "../support/cuda-driver.js"

/** All kernels in one binary. */
export const open = (driver: FakeDriver, options: CudaDeviceOptions = {}) =>
  openCudaDevice(
    driver,
    async ({ kernels }) => [
      { image: imageOf(kernels.map((k) => k.symbol!)), kernels: [...kernels.keys()], early: true },
    ],
    options,
  )

export const record = (symbol: string, bindings: number): ArtifactKernel => ({
  name: symbol,
  symbol,
  source: "",
  bindings: Array.from({ length: bindings }, () => ({ access: "readwrite" as const })),
  threads: 32,
  sharedBytes: 0,
  scratch: 0,
})

/** x[0] ← 3 x[0] + the first symbol, modulo 251. */
export const step: FakeKernel = ([x, symbols], at) => {
  const to = at(x!)
  to[0] = (3 * to[0]! + at(symbols!)[0]!) % 251
}

/** A kernel by the interpreter of its loops; `order`: the symbols of its artifact. */
export const interpreted =
  (kernel: LoopKernel, order: readonly string[]): FakeKernel =>
  (parameters, at) => {
    const values = at(parameters.at(-1)!)
    const words = new Int32Array(values.buffer, values.byteOffset, order.length)
    const memories = new Map(
      kernel.buffers.map((b, i) => {
        const count = (b.size as { value: number }).value
        const bytes = new Uint8Array(count * (b.storage === "bf16" || b.storage === "f16" ? 2 : 4))
        bytes.set(at(parameters[i]!).subarray(0, bytes.length))
        const memory = allocateBuffer(b.dtype, b.storage, count)
        memory.values.set(fromBytes(b.storage, bytes).values)
        return [b.name, memory] as const
      }),
    )
    interpretLoop(kernel, memories, new Map(order.map((name, i) => [name, words[i]!])), { trustWriteBuffers: true })
    for (const [i, b] of kernel.buffers.entries()) {
      const to = at(parameters[i]!)
      if (b.access !== "read") to.set(toBytes(memories.get(b.name)!).subarray(0, to.length))
    }
  }

export async function opened(options: CudaDeviceOptions = {}) {
  const driver = fakeDriver()
  driver.kernels.set("step", step)
  driver.kernels.set("bad", () => {
    throw driver.fault
  })
  const device = open(driver, options)
  const [kernel, bad] = await device.compile({ kernels: [{ ...record("step", 1), early: true }, record("bad", 1)] }, 1)
  const x = device.allocate(16, "x")
  const one = device.record([{ kernel: kernel!, buffers: [x], groups: 1 }])
  return { driver, device, kernel: kernel!, bad: bad!, x, one }
}
/** What is not given back, once everything that ends later has ended. */
export async function left(driver: FakeDriver): Promise<Readonly<Record<string, number>>> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(driver.mistakes).toEqual([])
  return Object.fromEntries([...driver.live].filter(([, n]) => n !== 0))
}
export const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "fulfilled",
    (e) => e.code,
  )
