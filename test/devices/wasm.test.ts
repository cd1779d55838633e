import { spawnSync } from "node:child_process"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildSync } from "esbuild"
import { describe, expect, test } from "vitest"
import { add, apply, fetch, literal, mul, splat, symbol, variable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import type { Device, DeviceBuffer } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { bind, bound, buffer, kernelOf, serial, store } from "../targets/wasm-support.js"

const g = variable("g")
const i = variable("i")
const bytesOf = (values: Float32Array | Int32Array) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
const floats = async (device: Device, b: DeviceBuffer) =>
  new Float32Array((await device.read(b, 0, b.bytes)).buffer as ArrayBuffer)

async function compile(device: Device, kernels: readonly LoopKernel[]) {
  const out = emitWasm(kernels)
  const records = kernels.map((k, n) => ({
    name: k.name,
    source: "",
    bindings: k.buffers,
    threads: k.threads,
    scratch: out.kernels[n]!.scratch,
  }))
  return await device.compile({ kernels: records, module: out.module }, out.symbols.length)
}

/** y[g] = 3 x[g] + scale, by way of a scratch array. */
const scale = symbol("scale", 100, 10)
const scaled = (size: number, name = "scaled") =>
  kernelOf(
    [buffer("x", "f32", size), buffer("y", "f32", size, "readwrite")],
    size,
    [
      { kind: "alloc", name: "t", dtype: "f32", size: 3, space: "register" },
      serial("i", 3, [store("t", i, fetch("x", g, "f32"))]),
      bind("s", apply("toF32", scale), true),
      serial("i", 3, [{ kind: "assign", name: "s", value: apply("add", variable("s", "f32"), fetch("t", i, "f32")) }]),
      store("y", g, variable("s", "f32")),
    ],
    { name, symbols: ["scale"] },
  )

describe.each([1, 2, 3])("with %i threads", (threads) => {
  test("runs recordings in order, with symbols set for each submit", async () => {
    const device = await createWasmDevice({ threads, shareFrom: 0 })
    const size = 1000
    const [kernel] = await compile(device, [scaled(size)])
    const [x, y] = [device.allocate(4 * size, "x"), device.allocate(4 * size, "y")]
    const values = Float32Array.from({ length: size }, (_, v) => v)
    device.upload(x, 0, bytesOf(values))
    const forth = device.record([{ kernel: kernel!, buffers: [x, y], groups: size }])
    const back = device.record([{ kernel: kernel!, buffers: [y, x], groups: size }])
    device.submit([forth, back], Int32Array.of(5))
    expect(await floats(device, x)).toEqual(values.map((v) => 3 * (3 * v + 5) + 5))
    device.submit([forth], Int32Array.of(7))
    expect((await floats(device, y))[2]).toBe(3 * (9 * 2 + 20) + 7)
    expect(device.counters).toEqual({ pipelines: 1, submits: 2, commands: 3, allocatedBytes: 8 * size })
    device.dispose()
  })
  test("gives every iteration to one worker, whatever the extent", async () => {
    const extent = symbol("extent", 100, 10)
    const kernel = kernelOf([buffer("y", "i32", 100, "readwrite")], extent, [
      store("y", g, add(fetch("y", g, "i32"), literal(1))),
    ], { symbols: ["extent"] }) // biome-ignore format: one
    const device = await createWasmDevice({ threads, shareFrom: 0 })
    const [compiled] = await compile(device, [kernel])
    for (const count of [0, 1, 2, 3, 4, 5, 7, 100, -3]) {
      const y = device.allocate(400, "y")
      device.submit([device.record([{ kernel: compiled!, buffers: [y], groups: 100 }])], Int32Array.of(count))
      const got = new Int32Array((await device.read(y, 0, 400)).buffer as ArrayBuffer)
      expect([...got]).toEqual(Array.from({ length: 100 }, (_, v) => Number(v < count)))
      y.destroy()
    }
    device.dispose()
  })
  test("calls of many and of few pieces in turn run each piece once", async () => {
    const sizes = [2, 64, 3, 17]
    const kernels = sizes.map((size) =>
      kernelOf([buffer("y", "i32", size, "readwrite")], size, [store("y", g, add(fetch("y", g, "i32"), literal(1)))], {
        name: `count${size}`,
      }),
    )
    const device = await createWasmDevice({ threads, shareFrom: 0 })
    const compiled = await compile(device, kernels)
    const buffers = sizes.map((size) => device.allocate(4 * size, "y"))
    const turn = device.record(sizes.map((groups, n) => ({ kernel: compiled[n]!, buffers: [buffers[n]!], groups })))
    const [rounds, turns] = [200, 200]
    for (let n = 0; n < rounds; n++) {
      device.submit(Array(turns).fill(turn), new Int32Array())
      await new Promise((resolve) => setTimeout(resolve, n % 3)) // Some workers fall asleep.
    }
    for (const [n, y] of buffers.entries()) {
      const got = new Int32Array((await device.read(y, 0, y.bytes)).buffer as ArrayBuffer)
      expect([...got]).toEqual(Array(sizes[n]).fill(rounds * turns))
    }
    device.dispose()
  })
  test("compiles again while workers serve, and memory may grow in between", async () => {
    const device = await createWasmDevice({ threads, shareFrom: 0 })
    const [first] = await compile(device, [scaled(64, "first")])
    const [x, y] = [device.allocate(256, "x"), device.allocate(256, "y")]
    device.upload(x, 0, bytesOf(new Float32Array(64).fill(1)))
    device.submit([device.record([{ kernel: first!, buffers: [x, y], groups: 64 }])], Int32Array.of(1))
    const large = device.allocate(10_000_000, "large")
    const [second] = await compile(device, [scaled(64, "second")])
    device.submit([device.record([{ kernel: second!, buffers: [y, large], groups: 64 }, { kernel: first!, buffers: [large, x], groups: 64 }])], Int32Array.of(1)) // biome-ignore format: one
    expect(await floats(device, x)).toEqual(new Float32Array(64).fill(3 * (3 * 4 + 1) + 1))
    device.dispose()
  })
  test("a trap names the kernel and loses the device", async () => {
    const device = await createWasmDevice({ threads, shareFrom: 0 })
    const far = mul(g, literal(1 << 29))
    const kernel = kernelOf([buffer("y", "f32", 4, "readwrite")], 2, [store("y", far, literal(1, "f32"))], {
      name: "runaway",
    })
    const [compiled] = await compile(device, [kernel])
    const y = device.allocate(16, "y")
    const recording = device.record([{ kernel: compiled!, buffers: [y], groups: 2 }])
    expect(() => device.submit([recording], new Int32Array())).toThrow("kernel 'runaway' stopped: ")
    expect(await device.lost).toContain("runaway")
    expect(() => device.submit([recording], new Int32Array())).toThrow("the device was lost (kernel 'runaway' stopped")
    device.dispose()
  })
})

describe("threads", () => {
  test("give bit-equal results", async () => {
    const size = 4096
    const sum = variable("sum", "f32", 4)
    const kernel = kernelOf([buffer("x", "f32", 64), buffer("w", "f32", 64 * size), buffer("y", "f32", 4 * size, "write")], size, [
      bind("sum", splat(literal(0, "f32"), 4), true),
      serial("i", 16, [{ kind: "assign", name: "sum", value: apply("add", sum, apply("sin", apply("mul", fetch("x", mul(i, literal(4)), "f32", 4), fetch("w", add(mul(g, literal(64)), mul(i, literal(4))), "f32", 4)))) }]),
      store("y", mul(g, literal(4)), sum),
    ]) // biome-ignore format: long
    const results: Float32Array[] = []
    for (const threads of [1, 2, 4]) {
      const device = await createWasmDevice({ threads })
      expect(device.description).toBe(`WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`)
      const [compiled] = await compile(device, [kernel])
      const buffers = kernel.buffers.map((b) => device.allocate(4 * (b.size as { value: number }).value, b.name))
      buffers.slice(0, 2).forEach((b, n) => {
        device.upload(b, 0, bytesOf(Float32Array.from({ length: b.bytes / 4 }, (_, v) => Math.sin(v + n))))
      })
      const recording = device.record([{ kernel: compiled!, buffers, groups: size }])
      for (let n = 0; n < 20; n++) device.submit([recording], new Int32Array())
      results.push(await floats(device, buffers[2]!))
      device.dispose()
    }
    expect(results[1]).toEqual(results[0])
    expect(results[2]).toEqual(results[0])
  })
  test("do not keep a process alive", () => {
    const folder = mkdtempSync(join(tmpdir(), "weft-wasm-"))
    const script = `
      import { createWasmDevice } from ${JSON.stringify(join(process.cwd(), "runtime/devices/wasm/device.ts"))}
      const module = new Uint8Array(${JSON.stringify([...emitWasm([scaled(64)]).module])})
      const device = await createWasmDevice({ threads: 2, shareFrom: 0 })
      const [kernel] = await device.compile({ kernels: [{ name: "scaled", source: "", bindings: [{}, {}], threads: 1, scratch: 64 }], module }, 1)
      const [x, y] = [device.allocate(256, "x"), device.allocate(256, "y")]
      device.submit([device.record([{ kernel, buffers: [x, y], groups: 64 }])], Int32Array.of(9))
      console.log((await device.read(y, 0, 256)).length)`
    writeFileSync(join(folder, "script.mts"), script)
    const outfile = join(folder, "script.mjs")
    buildSync({
      entryPoints: [join(folder, "script.mts")],
      outfile,
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
    })
    const { status, stdout, stderr } = spawnSync(process.execPath, [outfile], { timeout: 600_000, encoding: "utf8" })
    expect(stderr).toBe("")
    expect([status, stdout.trim()]).toEqual([0, "256"])
  })
  test("workers may be injected; one that does not start is an error", async () => {
    const spawn = async () => {
      let fail = (_reason: string) => {}
      return {
        postMessage: () => fail("no workers here"),
        terminate: () => {},
        onMessage: () => {},
        onError: (listener: (reason: string) => void) => {
          fail = listener
        },
      }
    }
    await expect(createWasmDevice({ threads: 2, spawn })).rejects.toThrow("a worker did not start: no workers here")
  })
})

describe("memory", () => {
  test("is zeroed, aligned, freed once and used again", async () => {
    const device = await createWasmDevice({ threads: 1 })
    const first = device.allocate(100, "first")
    const second = device.allocate(1, "second")
    device.upload(first, 0, new Uint8Array(100).fill(7))
    device.upload(second, 0, Uint8Array.of(9))
    first.destroy()
    first.destroy()
    expect(device.counters.allocatedBytes).toBe(1)
    const third = device.allocate(64, "third")
    const fourth = device.allocate(64, "fourth")
    expect(await device.read(third, 0, 64)).toEqual(new Uint8Array(64))
    expect(await device.read(fourth, 0, 64)).toEqual(new Uint8Array(64))
    expect(await device.read(second, 0, 1)).toEqual(Uint8Array.of(9))
    device.dispose()
  })
  test("read gives a copy; ranges and destroyed buffers are refused", async () => {
    const device = await createWasmDevice({ threads: 1 })
    const b = device.allocate(8, "b")
    const copy = await device.read(b, 0, 8)
    device.upload(b, 4, Uint8Array.of(1, 2))
    expect([...copy]).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
    expect([...(await device.read(b, 3, 3))]).toEqual([0, 1, 2])
    expect(() => device.upload(b, 7, Uint8Array.of(1, 2))).toThrow("bytes 7 to 9 are not within a buffer of 8 bytes")
    b.destroy()
    await expect(device.read(b, 0, 1)).rejects.toThrow("the buffer was destroyed")
    device.dispose()
  })
  test("a refusal says both numbers and leaves the device as it was", async () => {
    const device = await createWasmDevice({ threads: 1, memoryBytes: 1_000_000 })
    expect(device.limits.bufferBytes).toBe(15 * 65536 - 65536)
    expect(() => device.allocate(1_000_000, "weights")).toThrow(
      /^'weights' needs 1000000 bytes; with them the device would hold 1065536 bytes of at most 983040/,
    )
    const b = device.allocate(900_000, "b")
    expect(b.bytes).toBe(900_000)
    device.dispose()
  })
  test("holes are merged, so that a larger buffer fits again", async () => {
    const device = await createWasmDevice({ threads: 1, memoryBytes: 4 * 65536 })
    for (let round = 0; round < 4; round++) {
      const parts = Array.from({ length: 6 }, (_, n) => device.allocate(30_000, `part ${n}`))
      for (const n of [1, 3, 5, 0, 4, 2]) parts[n]!.destroy()
      device.allocate(190_000, "whole").destroy()
    }
    device.dispose()
  })
})

describe("errors", () => {
  test("a module that is not one, a kernel that it lacks, too many symbols, a disposed device", async () => {
    const device = await createWasmDevice({ threads: 1 })
    await expect(device.compile({ kernels: [], module: Uint8Array.of(1, 2, 3) }, 0)).rejects.toThrow(
      "the artifact's WebAssembly module is not valid here",
    )
    const record = { name: "missing", source: "", bindings: [], threads: 1, scratch: 0 }
    await expect(device.compile({ kernels: [record], module: emitWasm([]).module }, 0)).rejects.toThrow(
      "has no kernel 'missing'",
    )
    await compile(device, [scaled(8)])
    expect(() => device.submit([], new Int32Array(2))).toThrow("2 size symbols; the kernels know 1")
    device.dispose()
    expect(await device.lost).toBe("the device was disposed of")
    expect(() => device.allocate(4, "late")).toThrow("this device has been disposed of")
  })
  test("lanes above one use scratch of each worker on its own", async () => {
    const [threads, groups] = [4, 50_000]
    const l = variable("l")
    const kernel = kernelOf(
      [buffer("y", "i32", 4 * groups, "write")],
      groups,
      [
        { kind: "alloc", name: "s", dtype: "i32", size: threads, space: "shared" },
        bound("lane", "l", threads, [
          store("s", l, add(g, l)),
          { kind: "barrier" },
          store("y", add(mul(g, literal(threads)), l), fetch("s", apply("bitxor", l, literal(3)), "i32")),
        ]),
      ],
      { threads },
    )
    const device = await createWasmDevice({ threads: 3, shareFrom: 0 })
    const [compiled] = await compile(device, [kernel])
    const y = device.allocate(16 * groups, "y")
    for (let n = 0; n < 10; n++)
      device.submit([device.record([{ kernel: compiled!, buffers: [y], groups }])], new Int32Array())
    const got = new Int32Array((await device.read(y, 0, 16 * groups)).buffer as ArrayBuffer)
    expect([...got]).toEqual(Array.from({ length: 4 * groups }, (_, v) => Math.floor(v / 4) + ((v % 4) ^ 3)))
    device.dispose()
  })
})
