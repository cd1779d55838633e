/**
 * The CUDA device on a driver in memory, whose streams are late: the order of what is asked, what is used again and when, faults, and that
 * nothing is left behind.
 */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, fromBytes, toBytes } from "../../compiler/interpret/memory.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import type { ArtifactKernel } from "../../runtime/artifact.js"
import { type CudaDeviceOptions, openCudaDevice } from "../../runtime/devices/cuda/device.js"
import type { Device } from "../../runtime/devices/device.js"
import { runs, seed } from "../laws/settings.js"
import { type FakeDriver, type FakeKernel, fakeDriver, imageOf } from "../support/cuda-driver.js"
import { conformance, type Emit } from "./conformance.js"

/** All kernels in one binary. */
const open = (driver: FakeDriver, options: CudaDeviceOptions = {}) =>
  openCudaDevice(
    driver,
    async ({ kernels }) => [
      { image: imageOf(kernels.map((k) => k.symbol!)), kernels: [...kernels.keys()], early: true },
    ],
    options,
  )

// Conformance: kernels are interpreted.

const interpreted =
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

const whole = fakeDriver(2 ** 28)
const emit: Emit = (kernels, order) => ({
  kernels: kernels.map((k) => {
    const symbol = k.name.replaceAll(" ", "_")
    whole.kernels.set(symbol, interpreted(k, order))
    return { ...record(symbol, k.buffers.length), name: k.name, early: true as const }
  }),
})
await conformance("cuda on a driver in memory", async () => open(whole), emit)

const record = (symbol: string, bindings: number): ArtifactKernel => ({
  name: symbol,
  symbol,
  source: "",
  bindings: Array.from({ length: bindings }, () => ({ access: "readwrite" as const })),
  threads: 32,
  sharedBytes: 0,
  scratch: 0,
})

// A kernel: x[0] ← 3 x[0] + the first symbol, modulo 251.

const step: FakeKernel = ([x, symbols], at) => {
  const to = at(x!)
  to[0] = (3 * to[0]! + at(symbols!)[0]!) % 251
}

async function opened(options: CudaDeviceOptions = {}) {
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
async function left(driver: FakeDriver): Promise<Readonly<Record<string, number>>> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(driver.mistakes).toEqual([])
  return Object.fromEntries([...driver.live].filter(([, n]) => n !== 0))
}
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "fulfilled",
    (e) => e.code,
  )

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

  test("end with the first of their buffers", async () => {
    const { driver, device, x, one } = await opened()
    x.destroy()
    expect(driver.live.get("executable")).toBe(0)
    expect(() => device.submit([one], Int32Array.of(1))).toThrow("or a buffer that it binds was destroyed")
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
    // The same bytes as if all of it had been submitted: once to begin with and eight times, then again with marks.
    expect(driver.runs).toHaveLength(2 * 9 * 3)
    expect(await codeOf(device.profile!([{ commands: 1 }], Int32Array.of(1), 8))).toBe("device/submit-recording")
    device.dispose()
    expect(await left(driver)).toEqual({})
  })
})

describe("faults", () => {
  test("of a kernel: what waits is rejected, every call is refused, another device works", async () => {
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
    const again = open(driver)
    const y = again.allocate(4, "y")
    again.upload(y, 0, Uint8Array.of(7))
    expect(await again.read(y, 0, 1)).toEqual(Uint8Array.of(7))
    again.dispose()
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
