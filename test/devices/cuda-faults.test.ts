/** The CUDA device on a driver in memory that fails, and that nothing is left of it. */
import { describe, expect, test } from "vitest"
import type { CudaDeviceOptions } from "../../runtime/devices/cuda/device.js"
import { fakeDriver } from "../support/cuda-driver.js"
import { codeOf, left, open, opened } from "./cuda-fake.js"

describe("faults", () => {
  test("of a kernel: what waits is rejected, every call is refused, and so is another device", async () => {
    const { driver, device, bad, x, one } = await opened()
    const large = device.allocate(2 << 20, "large")
    const filling = await device.stage!([{ to: large, offset: 0, bytes: 2 << 20 }])
    device.submit([device.record([{ kernel: bad, buffers: [x], groups: 1 }])], Int32Array.of(1))
    const waiting = [device.read(x, 0, 4), device.read(x, 0, 0)].map(codeOf)
    expect(await Promise.all(waiting)).toEqual(["device/lost", "device/lost"])
    expect(await device.lost).toContain("CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal memory access")
    const refused: readonly (() => unknown)[] = [
      () => device.allocate(4, "late"),
      () => device.upload(x, 0, new Uint8Array(4)),
      () => device.clear!(x, 4),
      () => device.read(x, 0, 4),
      () => device.stage!([]),
      () => device.compile({ kernels: [] }, 0),
      () => device.record([]),
      () => device.submit([one], Int32Array.of(1)),
      () => filling.finish(),
    ]
    for (const call of refused) expect(await codeOf((async () => call())())).toBe("device/lost")
    x.destroy()
    device.dispose()
    device.dispose()
    expect(await left(driver)).toEqual({})
    expect(() => open(driver)).toThrow(
      "CUDA makes no device for a process in which a kernel faulted (cuCtxCreate: CUDA_",
    )
  })

  test("of a kernel beside another device: both are lost", async () => {
    const { driver, device, bad, x } = await opened()
    const beside = open(driver)
    device.submit([device.record([{ kernel: bad, buffers: [x], groups: 1 }])], Int32Array.of(1))
    expect(await codeOf(device.read(x, 0, 4))).toBe("device/lost")
    expect(() => beside.allocate(4, "y")).toThrow("the device was lost")
    for (const one of [device, beside]) one.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("that a call tells: only those after which nothing works end the device", async () => {
    const { driver, device, x } = await opened()
    driver.refusals.set("zero", 1)
    expect(() => device.clear!(x, 4)).toThrow("zero: CUDA_ERROR (1), as the test wants it")
    device.clear!(x, 4)
    driver.refusals.set("zero", 719)
    expect(() => device.clear!(x, 4)).toThrow("the device was lost (zero: CUDA_ERROR (719)")
    expect(await device.lost).toContain("719")
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("while a graph is captured: the capture ends, nothing is left of it, and the device goes on", async () => {
    const { driver, device, kernel, x, one } = await opened()
    driver.refusals.set("launch", 1)
    expect(() => device.record([{ kernel, buffers: [x], groups: 1 }])).toThrow("launch: CUDA_ERROR (1)")
    expect(driver.live.get("graph")).toBe(0)
    device.submit([one], Int32Array.of(1))
    device.submit([device.record([{ kernel, buffers: [x], groups: 1 }])], Int32Array.of(1))
    expect(await device.read(x, 0, 1)).toEqual(Uint8Array.of(4))
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("no memory: both numbers, nothing is left, and the device goes on", async () => {
    const { driver, device, x } = await opened()
    const { memoryBytes } = device.limits
    const held = device.counters.allocatedBytes
    expect(memoryBytes).toBe(driver.memory().free + held)
    expect(() => device.allocate(2 ** 30, "weights")).toThrow(
      `'weights' needs ${2 ** 30} bytes; ${driver.memory().free} of the device's ${2 ** 30} are free`,
    )
    expect(device.counters.allocatedBytes).toBe(held)
    driver.refusals.set("allocateHost", 2)
    expect(await codeOf(device.read(x, 0, 16))).toBe("host/out-of-memory")
    // Without pinned memory, regions are filled aside.
    const large = device.allocate(1 << 20, "large")
    driver.refusals.set("allocateHost", 2)
    const { parts, finish } = await device.stage!([{ to: large, offset: 0, bytes: 1 << 20 }])
    parts[0]!.fill(3)
    finish()
    expect(await device.read(large, (1 << 20) - 1, 1)).toEqual(Uint8Array.of(3))
    device.dispose()
  })

  test.each(["createStream", "createEvent", "allocate", "zero", "allocateHost", "memory"])(
    "%s fails while the device opens: the context is given back",
    async (call) => {
      const driver = fakeDriver()
      driver.refusals.set(call, 1)
      expect(() => open(driver, { delay: 1 })).toThrow(`${call}: CUDA_ERROR (1)`)
      expect(driver.live.get("context")).toBe(0)
    },
  )

  test("options that are none", () => {
    const driver = fakeDriver()
    const given = [{ ordinal: 1 }, { ordinal: -1 }, { delay: "x" }, { delay: -1 }, null]
    for (const options of given) expect(() => open(driver, options as CudaDeviceOptions)).toThrow()
    expect(driver.live.get("context") ?? 0).toBe(0)
  })
})

describe("nothing is left", () => {
  test("after dispose, with reads under way and memory that somebody fills", async () => {
    const { driver, device, x, one } = await opened()
    const large = device.allocate(2 << 20, "large")
    const filling = await device.stage!([{ to: large, offset: 0, bytes: 2 << 20 }])
    const other = await device.stage!([{ to: large, offset: 0, bytes: 2 << 20 }])
    device.submit([one], Int32Array.of(1))
    const reads = [1, 2, 3].map(() => codeOf(device.read(x, 0, 4)))
    device.dispose()
    expect(await Promise.all(reads)).toEqual(Array(3).fill("device/lost"))
    // Whoever fills it writes into memory that is there still; the ring is the third.
    expect((await left(driver)).host).toBe(3)
    filling.parts[0]!.fill(1)
    expect(() => filling.finish()).toThrow("disposed of")
    other.abandon()
    expect(await left(driver)).toEqual({})
  })

  test("after loads and reads of every size", async () => {
    const { driver, device } = await opened()
    const large = device.allocate(40 << 20, "large")
    const fill = async (i: number) => {
      const bytes = i % 5 === 0 ? 20 << 20 : 1 << 20
      const { finish, abandon } = await device.stage!([{ to: large, offset: 0, bytes }])
      await Promise.resolve()
      if (i % 3 === 0) abandon()
      else finish()
    }
    await Promise.all(Array.from({ length: 30 }, (_, i) => fill(i)))
    await Promise.all([0, 1, 5000, 5 << 20, 9 << 20].map((bytes) => device.read(large, 0, bytes)))
    await left(driver)
    // The ring, and what reads keep.
    expect(driver.live.get("host")).toBeLessThanOrEqual(3)
    device.dispose()
    expect(await left(driver)).toEqual({})
  })
})
