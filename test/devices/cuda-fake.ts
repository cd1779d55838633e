/** The CUDA device on a driver in memory, with kernels that add, and one that faults. */
import { expect } from "vitest"
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
