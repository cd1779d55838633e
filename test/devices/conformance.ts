/**
 * What every device must do, as one suite; a device's test file instantiates it with a way to open the device and an emitter.
 *
 *   await conformance("webgpu", () => createWebgpuDevice(), (kernels, symbolOrder) => ({ kernels: kernels.map(…), module }))
 *
 * The kernels are small and built by hand in the loop language. A device that is missing is skipped, with a line that names it; when WEFT_REQUIRE
 * (names separated by commas) lists it, that is a failure.
 */
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { sizeSymbol } from "../../compiler/ir/dim.js"
import { add, apply, fetch, literal, mul, splat, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import { storageType } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { CompiledKernel, Device, DeviceBuffer, KernelCode } from "../../runtime/devices/device.js"
import { WeftError } from "../../runtime/errors.js"

// Mesa's software adapter spends its time compiling shaders: narrower vectors and no optimisation make that ten times as quick. Its cache does
// not tell the widths apart, so that these shaders get a cache of their own. Set before the driver is loaded.
process.env.XDG_RUNTIME_DIR ??= "/tmp"
process.env.LP_NATIVE_VECTOR_WIDTH ??= "128"
process.env.GALLIVM_PERF ??= "nopt"
process.env.MESA_SHADER_CACHE_DIR ??= join(tmpdir(), "weft-shader-cache")

export type Emit = (kernels: readonly LoopKernel[], symbolOrder: readonly string[]) => KernelCode | Promise<KernelCode>

/** Whether the device can be opened here; says so when not, and fails when it is required. */
export async function available(name: string, makeDevice: () => Promise<Device>): Promise<boolean> {
  try {
    const device = await makeDevice()
    console.log(`${name}: ${device.description}`)
    device.dispose()
    return true
  } catch (error) {
    if (required(name)) throw error
    console.log(`${name}: skipped, ${error instanceof Error ? error.message : error}`)
    return false
  }
}

export const required = (name: string): boolean => (process.env.WEFT_REQUIRE ?? "").split(",").includes(name)

// Kernels, by hand.

const threads = 32
const v = (name: string) => variable(name)
const n = (value: number) => literal(value)
const f = (value: number) => literal(value, "f32")
const length = sizeSymbol("length", 4096, 256)

export const buffer = (name: string, access: LoopBuffer["access"], storage: Storage = "f32"): LoopBuffer => ({
  name,
  dtype: storageType(storage),
  storage,
  size: n(4096),
  access,
})

/** grid over g < blocks, lanes over l; at = g · lanes + l */
function gridKernel(
  name: string,
  buffers: readonly LoopBuffer[],
  groups: number,
  blocks: Expression,
  body: readonly Statement[],
  shared: readonly Statement[] = [],
): LoopKernel {
  const laneLoop: Statement = { kind: "for", variable: "l", extent: n(threads), bind: "lane", body }
  const grid: Statement = { kind: "for", variable: "g", extent: blocks, bind: "grid", body: [...shared, laneLoop] }
  return { name, buffers, symbols: ["length"], threads, groups, body: [grid] }
}

const at = add(mul(v("g"), n(threads)), v("l"))
const blocks = apply("floordiv", add(length, n(threads - 1)), n(threads))
const when = (condition: Expression, ...body: Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})
const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})

/** y[i] = 2 x[i] + i for i < length, by 3 workgroups however many blocks there are. */
const affine = gridKernel("affine", [buffer("x", "read"), buffer("y", "write")], 3, blocks, [
  when(apply("lt", at, length), store("y", at, add(mul(fetch("x", at, "f32"), f(2)), apply("toF32", at)))),
])

/** x[i] = x[i] · 3 + 1 in place. */
const step = gridKernel("step", [buffer("x", "readwrite")], 2, blocks, [
  when(apply("lt", at, length), store("x", at, add(mul(fetch("x", at, "f32"), f(3)), f(1)))),
])

/** y[g] = Σ of block g of x, as a tree in shared memory. */
const blockSum = gridKernel(
  "block sum",
  [buffer("x", "read"), buffer("y", "write")],
  3,
  apply("floordiv", length, n(threads)),
  [
    store("tile", v("l"), fetch("x", at, "f32")),
    { kind: "barrier" },
    ...[16, 8, 4, 2, 1].flatMap((half): Statement[] => [
      when(
        apply("lt", v("l"), n(half)),
        store("tile", v("l"), add(fetch("tile", v("l"), "f32"), fetch("tile", add(v("l"), n(half)), "f32"))),
      ),
      { kind: "barrier" },
    ]),
    when(apply("eq", v("l"), n(0)), store("y", v("g"), fetch("tile", n(0), "f32"))),
    { kind: "barrier" },
  ],
  [{ kind: "alloc", name: "tile", dtype: "f32", size: threads, space: "shared" }],
)

/** y[4i…] = x[4i…] · 1.5 with 16-bit storage on both sides. */
const halves = (storage: "bf16" | "f16") =>
  gridKernel(`halves ${storage}`, [buffer("x", "read", storage), buffer("y", "write", storage)], 2, n(4), [
    store("y", mul(at, n(4)), mul(fetch("x", mul(at, n(4)), "f32", 4), splat(f(1.5), 4))),
  ])

const kernels: readonly LoopKernel[] = [affine, step, blockSum, halves("bf16"), halves("f16")]
const symbolOrder = ["a.first", "length"]
const symbolsAt = (size: number) => Int32Array.of(5, size)

const bytesOf = (data: Float32Array | Uint16Array) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
const floats = (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer)
const iota = (size: number) => Float32Array.from({ length: size }, (_, i) => i)

/** The code of the WeftError that a call throws or rejects with. */
async function codeOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(WeftError)
    return (error as WeftError).code
  }
}

export async function conformance(name: string, makeDevice: () => Promise<Device>, emit: Emit): Promise<void> {
  const present = await available(name, makeDevice)

  describe.skipIf(!present)(`${name} conforms`, () => {
    let device: Device
    let made: readonly CompiledKernel[]
    const kernel = (wanted: LoopKernel) => made.find((k) => k.name === wanted.name)!
    const filled = (data: Float32Array | Uint16Array, label: string): DeviceBuffer => {
      const buffer = device.allocate(data.byteLength, label)
      device.upload(buffer, 0, bytesOf(data))
      return buffer
    }
    const compileAll = async (on: Device) => {
      const emitted = await emit(kernels, symbolOrder)
      return on.compile(emitted, symbolOrder.length)
    }
    beforeAll(async () => {
      device = await makeDevice()
      made = await compileAll(device)
    })
    afterAll(() => device.dispose())

    it("names itself and its limits", () => {
      expect(device.description).not.toBe("")
      expect(device.limits.bindingBytes).toBeGreaterThanOrEqual(64 << 20)
    })

    it("allocates zeroed memory", async () => {
      const buffer = device.allocate(1000, "zeros")
      expect(buffer.bytes).toBe(1000)
      expect(await device.read(buffer, 0, 1000)).toEqual(new Uint8Array(1000))
    })

    it("reads back what was uploaded, at any offset", async () => {
      const buffer = device.allocate(64, "bytes")
      device.upload(
        buffer,
        0,
        Uint8Array.from({ length: 64 }, (_, i) => i),
      )
      device.upload(buffer, 8, Uint8Array.of(200, 201, 202, 203))
      expect(await device.read(buffer, 6, 7)).toEqual(Uint8Array.of(6, 7, 200, 201, 202, 203, 12))
      expect(await device.read(buffer, 61, 3)).toEqual(Uint8Array.of(61, 62, 63))
      expect(await device.read(buffer, 5, 0)).toEqual(new Uint8Array(0))
    })

    it("uploads parts of words side by side", async () => {
      const buffer = device.allocate(18, "odd")
      device.upload(buffer, 0, Uint8Array.of(1, 2, 3, 4, 5, 6))
      device.upload(buffer, 6, Uint8Array.of(7, 8, 9, 10, 11, 12))
      device.upload(buffer, 12, Uint8Array.of(13, 14, 15, 16, 17, 18))
      expect(await device.read(buffer, 0, 18)).toEqual(Uint8Array.from({ length: 18 }, (_, i) => i + 1))
    })

    it("clears from the start, after what was uploaded and before what comes next", async () => {
      const buffer = device.allocate(18, "cleared")
      device.upload(buffer, 0, new Uint8Array(18).fill(9))
      device.clear!(buffer, 12)
      expect([...(await device.read(buffer, 0, 18))]).toEqual([...Array(12).fill(0), ...Array(6).fill(9)])
      device.upload(buffer, 5, Uint8Array.of(1))
      expect([...(await device.read(buffer, 4, 4))]).toEqual([0, 1, 0, 0])
      expect(await codeOf(() => device.clear!(buffer, 40))).toBe("device/out-of-range")
    })

    it("fills regions that are read into, whole words or not, before what comes next", async () => {
      const mebi = 1 << 20
      const large = device.allocate(2 * mebi + 7, "large")
      const small = device.allocate(18, "small")
      device.upload(large, 0, new Uint8Array(4).fill(1))
      device.upload(small, 4, Uint8Array.of(1))
      device.upload(small, 11, Uint8Array.of(1))
      const { parts, finish } = await device.stage!([
        { to: large, offset: 8, bytes: 2 * mebi - 8 },
        { to: small, offset: 5, bytes: 6 },
        { to: large, offset: 2 * mebi, bytes: 7 },
        { to: small, offset: 12, bytes: 4 },
      ])
      expect(parts.map((p) => p.length)).toEqual([2 * mebi - 8, 6, 7, 4])
      for (const [i, part] of parts.entries()) part.fill(i + 2)
      finish()
      device.upload(small, 12, Uint8Array.of(9, 9, 9, 9))
      expect([...(await device.read(large, 0, 12))]).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 2])
      expect([...(await device.read(large, 2 * mebi - 2, 9))]).toEqual([2, 2, 4, 4, 4, 4, 4, 4, 4])
      expect([...(await device.read(small, 0, 18))]).toEqual([0, 0, 0, 0, 1, 3, 3, 3, 3, 3, 3, 1, 9, 9, 9, 9, 0, 0])
    })

    it("fills many regions at a time, leaves out what is abandoned, and refuses what is outside", async () => {
      const mebi = 1 << 20
      const large = device.allocate(20 * mebi, "large")
      const fill = async (i: number) => {
        const { parts, finish, abandon } = await device.stage!([{ to: large, offset: i * mebi, bytes: mebi }])
        parts[0]!.fill(i + 1)
        await Promise.resolve()
        if (i !== 7) finish()
        else abandon()
      }
      await Promise.all(Array.from({ length: 20 }, (_, i) => fill(i)))
      for (let i = 0; i < 20; i++)
        if (i !== 7) expect([...(await device.read(large, (i + 1) * mebi - 3, 3))]).toEqual(Array(3).fill(i + 1))
      expect(await codeOf(async () => device.stage!([{ to: large, offset: 4, bytes: 20 * mebi }]))).toBe(
        "device/out-of-range",
      )
    })

    it("keeps the order of uploads and reads", async () => {
      const buffer = device.allocate(4, "order")
      device.upload(buffer, 0, Uint8Array.of(1, 1, 1, 1))
      const first = device.read(buffer, 0, 4)
      device.upload(buffer, 0, Uint8Array.of(2, 2, 2, 2))
      expect(await first).toEqual(Uint8Array.of(1, 1, 1, 1))
      expect(await device.read(buffer, 0, 4)).toEqual(Uint8Array.of(2, 2, 2, 2))
    })

    it("runs more iterations of the grid than there are workgroups", async () => {
      const x = filled(iota(1000), "x")
      const y = device.allocate(4000, "y")
      device.submit([device.record([{ kernel: kernel(affine), buffers: [x, y], groups: 3 }])], symbolsAt(1000))
      expect(floats(await device.read(y, 0, 4000))).toEqual(iota(1000).map((i) => 3 * i))
    })

    it("follows symbols without new pipelines", async () => {
      const x = filled(iota(100), "x")
      const y = device.allocate(400, "y")
      const recording = device.record([{ kernel: kernel(affine), buffers: [x, y], groups: 3 }])
      const before = device.counters.pipelines
      for (const size of [10, 0, 33, 64]) {
        device.upload(y, 0, new Uint8Array(400))
        device.submit([recording], symbolsAt(size))
        expect(floats(await device.read(y, 0, 400))).toEqual(iota(100).map((i) => (i < size ? 3 * i : 0)))
      }
      expect(device.counters.pipelines).toBe(before)
    })

    it("keeps the symbols of submits that wait in the queue apart", async () => {
      const x = filled(new Float32Array(64), "x")
      const recording = device.record([{ kernel: kernel(step), buffers: [x], groups: 2 }])
      device.submit([recording], symbolsAt(8))
      device.submit([recording], symbolsAt(4))
      device.submit([recording], symbolsAt(2))
      const found = floats(await device.read(x, 0, 40))
      expect([...found]).toEqual([13, 13, 4, 4, 1, 1, 1, 1, 0, 0])
    })

    it("sums blocks through shared memory and barriers", async () => {
      const x = filled(iota(512), "x")
      const y = device.allocate(64, "y")
      device.submit([device.record([{ kernel: kernel(blockSum), buffers: [x, y], groups: 3 }])], symbolsAt(512))
      const expected = Float32Array.from({ length: 16 }, (_, g) => 32 * 32 * g + (32 * 31) / 2)
      expect(floats(await device.read(y, 0, 64))).toEqual(expected)
    })

    it.each([
      ["bf16", [0x3f80, 0xbf81, 0x4049, 0x7f00, 0x0000], [0x3fc0, 0xbfc2, 0x4097, 0x7f40, 0x0000]],
      ["f16", [0x3c00, 0xbc01, 0x4248, 0x7800, 0x0000], [0x3e00, 0xbe02, 0x44b6, 0x7a00, 0x0000]],
    ] as const)("widens and rounds %s", async (storage, before, after) => {
      const input = Uint16Array.from({ length: 512 }, (_, i) => before[i % before.length]!)
      const x = filled(input, "x")
      const y = device.allocate(1024, "y")
      device.submit([device.record([{ kernel: kernel(halves(storage)), buffers: [x, y], groups: 2 }])], symbolsAt(0))
      const found = new Uint16Array((await device.read(y, 0, 1024)).slice().buffer)
      expect(found).toEqual(Uint16Array.from({ length: 512 }, (_, i) => after[i % after.length]!))
    })

    it("runs dependent commands of many recordings in their order", async () => {
      const x = filled(new Float32Array(32), "x")
      const y = device.allocate(128, "y")
      const command = { kernel: kernel(step), buffers: [x], groups: 2 }
      const many = device.record(Array.from({ length: 9 }, () => command))
      const last = device.record([command, { kernel: kernel(affine), buffers: [x, y], groups: 1 }])
      const { submits, commands } = device.counters
      device.submit([many, last], symbolsAt(32))
      const ten = (3 ** 10 - 1) / 2
      expect(floats(await device.read(y, 0, 128))).toEqual(iota(32).map((i) => 2 * ten + i))
      expect(many.commands).toBe(9)
      expect(device.counters.submits - submits).toBe(1)
      expect(device.counters.commands - commands).toBe(11)
      if (device.join === undefined) return
      const joined = device.join([many, last, many])
      expect(joined.commands).toBe(20)
      device.upload(x, 0, new Uint8Array(128))
      device.upload(y, 0, new Uint8Array(128))
      for (let i = 0; i < 3; i++) device.submit([joined], symbolsAt(i < 2 ? 0 : 32))
      expect(floats(await device.read(y, 0, 128))).toEqual(iota(32).map((i) => 2 * ten + i))
      const foreign = { commands: 1 }
      expect(await codeOf(() => device.join!([many, foreign]))).toBe("device/submit-recording")
    })

    it("runs commands that take turns in the same memory, as plans with few slots do", async () => {
      // a, b: two slots of scratch memory, each written, read and written again with something else within one recording.
      const x = filled(iota(64), "x")
      const y = device.allocate(256, "y")
      const z = device.allocate(256, "z")
      const [a, b] = [device.allocate(256, "a"), device.allocate(512, "b")]
      const to = (from: DeviceBuffer, into: DeviceBuffer) => ({
        kernel: kernel(affine),
        buffers: [from, into],
        groups: 1,
      })
      const recording = device.record([to(x, a), to(a, b), to(b, a), to(a, y), to(x, b), to(b, a), to(a, z)])
      for (const size of [64, 64, 17]) device.submit([recording, recording], symbolsAt(size))
      // n times y ← 2 y + i makes (2^(n+1) − 1) i of i.
      expect(floats(await device.read(y, 0, 256))).toEqual(iota(64).map((i) => (2 ** 5 - 1) * i))
      expect(floats(await device.read(z, 0, 256))).toEqual(iota(64).map((i) => (2 ** 4 - 1) * i))
    })

    it("counts what it allocates and frees", () => {
      const before = device.counters.allocatedBytes
      const buffer = device.allocate(1 << 16, "counted")
      expect(device.counters.allocatedBytes - before).toBe(1 << 16)
      buffer.destroy()
      buffer.destroy()
      expect(device.counters.allocatedBytes).toBe(before)
    })

    it("refuses an allocation over its limit with both numbers", async () => {
      const wanted = device.limits.bufferBytes * 2
      const before = device.counters.allocatedBytes
      expect(() => device.allocate(wanted, "weights")).toThrow(String(wanted))
      expect(await codeOf(() => device.allocate(wanted, "weights"))).toBe("device/out-of-memory")
      expect(device.counters.allocatedBytes).toBe(before)
    })

    it("refuses what is out of range, destroyed or ill formed", async () => {
      const buffer = device.allocate(8, "small")
      expect(await codeOf(() => device.upload(buffer, 4, new Uint8Array(8)))).toBe("device/out-of-range")
      expect(await codeOf(() => device.read(buffer, 4, 8))).toBe("device/out-of-range")
      const command = { kernel: kernel(affine), buffers: [buffer], groups: 1 }
      expect(await codeOf(() => device.record([command]))).toBe("device/record-bindings")
      expect(await codeOf(() => device.record([{ ...command, buffers: [buffer, buffer], groups: 0 }]))).toBe(
        "device/record-groups",
      )
      buffer.destroy()
      expect(await codeOf(() => device.upload(buffer, 0, new Uint8Array(4)))).toBe("device/buffer-destroyed")
      expect(await codeOf(() => device.read(buffer, 0, 4))).toBe("device/buffer-destroyed")
    })

    it("ends with dispose: pending and later calls are refused, lost resolves", async () => {
      const other = await makeDevice()
      const [first] = await compileAll(other)
      const x = other.allocate(64, "x")
      const pending = codeOf(() => other.read(x, 0, 64))
      other.dispose()
      other.dispose()
      expect([undefined, "device/lost"]).toContain(await pending)
      expect(await codeOf(() => other.allocate(4, "late"))).toBe("device/lost")
      expect(await codeOf(() => other.read(x, 0, 4))).toBe("device/lost")
      expect(await codeOf(() => other.record([{ kernel: first!, buffers: [x, x], groups: 1 }]))).toBe("device/lost")
      expect(typeof (await other.lost)).toBe("string")
      expect(other.counters.allocatedBytes).toBe(0)
    })
  })
}
