/** The CUDA device on a driver in memory, whose streams are late: the order of what is asked, and what is asked of graphs. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { openCudaDevice } from "../../runtime/devices/cuda/device.js"
import type { Device } from "../../runtime/devices/device.js"
import { runs, seed } from "../laws/settings.js"
import { type FakeDriver, fakeDriver, imageOf } from "../support/cuda-driver.js"
import { codeOf, left, open, opened, record, step } from "./cuda-fake.js"

describe("order", () => {
  test(`uploads, submits, clears and reads come as they were asked for, however late, WEFT_SEED=${seed}`, async () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constant("submit" as const), value: fc.nat(250) }),
      fc.record({ kind: fc.constant("upload" as const), value: fc.nat(250) }),
      fc.record({ kind: fc.constant("large" as const), value: fc.nat(250) }),
      fc.record({ kind: fc.constantFrom("read" as const, "clear" as const, "turn" as const), value: fc.constant(0) }),
    )
    const property = fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
      const { driver, device, x, one } = await opened()
      const large = device.allocate(3 << 20, "large")
      let [now, last] = [0, 0]
      const reads: Promise<unknown>[] = []
      const wanted: unknown[] = []
      for (const { kind, value } of actions) {
        if (kind === "turn") await new Promise((resolve) => setImmediate(resolve))
        else if (kind === "clear") device.clear!(x, 4)
        else if (kind === "upload") device.upload(x, 0, Uint8Array.of(value))
        else if (kind === "large") device.upload(large, 0, new Uint8Array(3 << 20).fill(value))
        else if (kind === "submit") device.submit([one], Int32Array.of(value))
        if (kind === "clear") now = 0
        if (kind === "upload") now = value
        if (kind === "submit") now = (3 * now + value) % 251
        if (kind === "large") last = value
        if (kind !== "read") continue
        reads.push(device.read(x, 0, 1), device.read(large, (3 << 20) - 1, 1))
        wanted.push(Uint8Array.of(now), Uint8Array.of(last))
      }
      expect(await Promise.all(reads)).toEqual(wanted)
      device.dispose()
      expect(await left(driver)).toEqual({})
    })
    await fc.assert(property, { seed, numRuns: runs(15) })
  })

  test("a read comes when what it reads is there, while later submits wait", async () => {
    const { driver, device, x, one } = await opened()
    const seen: number[] = []
    const reads = Array.from({ length: 8 }, (_, i) => {
      device.submit([one], Int32Array.of(i))
      return device.read(x, 0, 1).then(() => seen.push(driver.runs.length))
    })
    expect(driver.runs).toEqual([])
    await Promise.all(reads)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    device.dispose()
  })

  test("words are read by a kernel, what is larger or no words by the copy engine, and all where nothing can be assembled", async () => {
    for (const assembles of [true, false]) {
      const driver = fakeDriver()
      if (!assembles) driver.refusals.set("loadModule", 222)
      const device = open(driver)
      const x = device.allocate(4096, "x")
      const data = Uint8Array.from({ length: 4096 }, (_, i) => i % 253)
      device.upload(x, 0, data)
      const ways: string[] = []
      for (const [offset, bytes] of [
        [0, 4],
        [8, 1024],
        [4, 2],
        [2, 4],
        [0, 1028],
      ] as const) {
        const before = driver.calls.length
        expect(await device.read(x, offset, bytes)).toEqual(data.subarray(offset, offset + bytes))
        ways.push(driver.calls.slice(before).find((c) => c === "launch" || c === "toHost")!)
      }
      const words = assembles ? "launch" : "toHost"
      expect(ways).toEqual([words, words, "toHost", "toHost", "toHost"])
      device.dispose()
      expect(await left(driver)).toEqual({})
    }
  })

  test("devices side by side keep their contexts apart", async () => {
    const { driver, device, x, one, kernel } = await opened()
    const other = open(driver)
    const y = other.allocate(16, "y")
    const [twin] = await other.compile({ kernels: [record("step", 1)] }, 1)
    device.submit([one], Int32Array.of(1))
    other.submit([other.record([{ kernel: twin!, buffers: [y], groups: 1 }])], Int32Array.of(2))
    expect([await device.read(x, 0, 1), await other.read(y, 0, 1)]).toEqual([Uint8Array.of(1), Uint8Array.of(2)])
    expect(() => other.record([{ kernel, buffers: [y], groups: 1 }])).toThrow("kernel 'step' is not of this device")
    expect(() => other.record([{ kernel: twin!, buffers: [x], groups: 1 }])).toThrow("is not alive on this device")
    expect(() => other.submit([one], Int32Array.of(1))).toThrow("a recording is not of this device")
    device.dispose()
    await left(driver)
    expect(
      other.limits.memoryBytes,
      "asked when the other's context, which was the current one, is gone",
    ).toBeGreaterThan(0)
    expect(await other.read(y, 0, 1)).toEqual(Uint8Array.of(2))
    other.dispose()
    expect(await left(driver)).toEqual({})
  })
})

describe("graphs", () => {
  test("start early where the kernel waits itself, never first, and never where the binary or the device cannot wait", async () => {
    const early = { ...record("step", 1), early: true as const }
    const flags = async (device: Device, driver: FakeDriver) => {
      const kernels = await device.compile({ kernels: [early, { ...record("other", 1), name: "late" }] }, 1)
      const x = device.allocate(16, "x")
      device.record([0, 0, 1, 0].map((i) => ({ kernel: kernels[i]!, buffers: [x], groups: i + 5 })))
      return driver.graphs.at(-1)!.map((launch) => launch.early)
    }
    const driver = fakeDriver()
    driver.kernels.set("step", step).set("other", step)
    expect(await flags(open(driver), driver)).toEqual([false, true, false, true])
    expect(driver.graphs.at(-1)).toMatchObject([
      { groups: 5, threads: 32 },
      { groups: 5 },
      { groups: 6 },
      { groups: 5 },
    ])
    const without = openCudaDevice(driver, async () => [
      { image: imageOf(["step", "other"]), kernels: [0, 1], early: false },
    ])
    expect(await flags(without, driver)).toEqual([false, false, false, false])
    const old = { ...driver, attribute: (_: number, of: number) => (of === 75 ? 8 : 0) }
    expect(await flags(open(old), driver)).toEqual([false, false, false, false])
  })

  test("bind every buffer and the symbols, and get the shared memory that they ask for", async () => {
    const { driver, device } = await opened()
    driver.kernels.set("two", step)
    const [two] = await device.compile({ kernels: [{ ...record("two", 2), sharedBytes: 100 << 10, threads: 256 }] }, 1)
    const [a, b] = [device.allocate(16, "a"), device.allocate(16, "b")]
    device.record([{ kernel: two!, buffers: [b, a], groups: 2 ** 31 - 1 }])
    const { parameters } = driver.graphs.at(-1)![0]!
    const pointer = (buffer: unknown) => (buffer as { pointer: number }).pointer
    expect(parameters.slice(0, 2)).toEqual([pointer(b), pointer(a)])
    expect(parameters).toHaveLength(3)
    expect(parameters[2]).toBe(driver.graphs[0]![0]!.parameters[1])
    expect(driver.graphs.at(-1)).toMatchObject([{ sharedBytes: 100 << 10, threads: 256, groups: 2 ** 31 - 1 }])
    expect(driver.calls.filter((c) => c === "allowShared")).toHaveLength(1)
    device.dispose()
  })

  test("kernels that copy boxes get what tells of each matrix where it lies", async () => {
    const { driver, device } = await opened()
    driver.kernels.set("boxes", () => {})
    const matrix = { binding: 1, storage: "bf16", rows: 3, columns: 20, stride: 24, box: [8, 16] } as const
    const asked = { ...record("boxes", 2), matrices: [matrix] }
    const [kernel] = await device.compile({ kernels: [asked] }, 0)
    const [a, b] = [device.allocate(16, "a"), device.allocate(136, "b")]
    device.record([{ kernel: kernel!, buffers: [a, b], groups: 1 }])
    const { parameters } = driver.graphs.at(-1)![0]!
    const { pointer } = b as unknown as { readonly pointer: number }
    expect(parameters).toHaveLength(4)
    expect(JSON.parse(new TextDecoder().decode(parameters[2] as Uint8Array))).toEqual({ ...matrix, pointer })
    // The last row has no rest: 2 · 24 + 20 halves.
    const short = device.allocate(132, "short")
    expect(() => device.record([{ kernel: kernel!, buffers: [a, short], groups: 1 }])).toThrow(
      "kernel 'boxes' copies from 136 bytes of 'short', which has 132",
    )
    device.dispose()
  })

  test("kernels that need more shared memory than a block has are refused before they are compiled", async () => {
    const { device, driver } = await opened()
    const most = device.facts.sharedBytes
    const before = driver.calls.length
    const compiling = (sharedBytes: number) => device.compile({ kernels: [{ ...record("step", 1), sharedBytes }] }, 1)
    await expect(compiling(most + 1)).rejects.toMatchObject({
      code: "device/shared-memory",
      reason: `kernel 'step' needs ${most + 1} bytes of shared memory for a block; Fake has ${most}`,
    })
    expect(driver.calls.slice(before)).not.toContain("loadModule")
    expect(await compiling(most)).toHaveLength(1)
    device.dispose()
  })

  test("end with the first of their buffers", async () => {
    const { driver, device, x, one } = await opened()
    x.destroy()
    expect(driver.live.get("executable")).toBe(0)
    expect(() => device.submit([one], Int32Array.of(1))).toThrow("or a buffer or a kernel of it was given back")
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("have a delay before each kernel where that is asked for, which starts early and waits itself", async () => {
    const { driver, device, kernel, bad, x } = await opened({ delay: 20 })
    device.record([kernel, kernel, bad].map((k) => ({ kernel: k, buffers: [x], groups: 1 })))
    expect(driver.graphs.at(-1)!.map(({ early, parameters }) => [parameters.length, early])).toEqual([
      [0, false],
      [2, true],
      [0, true],
      [2, true],
      [0, true],
      [2, false],
    ])
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("a binary that is loaded twice is loaded once", async () => {
    const { driver, device } = await opened()
    const loads = () => driver.calls.filter((c) => c === "loadModule").length
    const before = loads()
    expect(device.counters.pipelines).toBe(2)
    await device.compile({ kernels: [{ ...record("step", 1), early: true }, record("bad", 1)] }, 1)
    expect(loads()).toBe(before)
    expect(device.counters.pipelines).toBe(2)
    device.dispose()
  })

  test("kernels that are given back: their binaries go with the last who has them, and recordings of them are refused", async () => {
    const { driver, device, x, one, kernel } = await opened()
    const again = await device.compile({ kernels: [{ ...record("step", 1), early: true }, record("bad", 1)] }, 1)
    const other = device.record([{ kernel: again[0]!, buffers: [x], groups: 1 }])
    const both = device.join!([other, one])
    const modules = driver.live.get("module")!
    device.submit([one, both], Int32Array.of(1))
    device.release!(again)
    device.release!(again)
    expect([driver.live.get("module"), driver.runs.length]).toEqual([modules, 3])
    for (const gone of [other, both])
      expect(() => device.submit([gone], Int32Array.of(1))).toThrow("a kernel of it was given back")
    expect(() => device.record([{ kernel: again[0]!, buffers: [x], groups: 1 }])).toThrow("is not of this device")
    device.submit([one], Int32Array.of(1))
    device.release!([kernel])
    expect([driver.live.get("module"), driver.live.get("executable")]).toEqual([modules - 1, 0])
    device.dispose()
    expect(await left(driver)).toEqual({})
  })

  test("kernels of which their compiler says that they spill say so", async () => {
    const driver = fakeDriver()
    driver.kernels.set("step", step).set("other", step)
    const image = imageOf(["step", "other"])
    const device = openCudaDevice(driver, async () => [
      { image, kernels: [0, 1], early: true, spilling: new Set(["other"]) },
    ])
    const made = await device.compile({ kernels: [record("step", 1), record("other", 1)] }, 1)
    expect(made.map((k) => k.spills)).toEqual([undefined, true])
    device.dispose()
  })

  test("a function that a binary does not have", async () => {
    const { driver, device } = await opened()
    const code = { kernels: [{ ...record("step", 1), symbol: "missing" }] }
    expect(await codeOf(device.compile(code, 1))).toBe("cuda/driver")
    const none = openCudaDevice(driver, async () => [])
    expect(await codeOf(none.compile(code, 1))).toBe("cuda/arch")
    none.dispose()
    device.dispose()
  })
})

describe("profile", () => {
  test("times each launch by itself, none early, and the whole as it runs; nothing is left", async () => {
    const { driver, device, kernel, x, one } = await opened()
    const more = device.record([6, 7].map((groups) => ({ kernel, buffers: [x], groups })))
    const none = device.record([])
    const { commands, whole } = await device.profile!([one, none, more], Int32Array.of(1), 8)
    expect(commands).toEqual([1, 6, 7])
    expect(whole).toBeCloseTo(14)
    expect(driver.graphs.at(-1)!.map(({ groups, early }) => [groups, early])).toEqual([
      [1, false],
      [6, false],
      [7, false],
    ])
    // Once to begin with and eight times, then again with marks, each time behind a launch that holds it up.
    expect(driver.runs).toHaveLength(9 * 3 + 9 * 4)
    expect(await codeOf(device.profile!([{ commands: 1 }], Int32Array.of(1), 8))).toBe("device/submit-recording")
    device.dispose()
    expect(await left(driver)).toEqual({})
  })
})
