import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { WeftError } from "../../runtime/errors.js"
import { available, conformance } from "./conformance.js"

const open = () => createWebgpuDevice()
await conformance("webgpu", open, (kernels, symbolOrder) => ({
  kernels: kernels.map((k) => wgslKernel(k, { symbolOrder })),
}))
const present = await available("webgpu", open)

const broken = {
  name: "broken sum",
  source: "@compute @workgroup_size(1) fn main() {\n  let x: u32 = 1f;\n}",
  bindings: [],
  threads: 1,
  scratch: 0,
}
const nothing = { ...broken, name: "nothing", source: "@compute @workgroup_size(1) fn main() {}" }

describe.skipIf(!present)("WebGPU", () => {
  let device: WebgpuDevice
  beforeAll(async () => {
    device = await open()
  })
  afterAll(() => device.dispose())

  it("reports a kernel that does not compile by its name and line, and stays usable", async () => {
    const error = await device.compile({ kernels: [nothing, broken] }, 0).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(WeftError)
    expect((error as WeftError).code).toBe("webgpu/kernel")
    expect((error as WeftError).message).toMatch(/^kernel 'broken sum': .*\(WGSL 2:7\)\n\n2 \| {3}let x: u32 = 1f;$/s)
    const buffer = device.allocate(4, "still alive")
    expect(await device.read(buffer, 0, 4)).toEqual(new Uint8Array(4))
  })

  it("makes one pipeline for equal texts", async () => {
    const before = device.counters.pipelines
    const source = "@compute @workgroup_size(2) fn main() {}"
    const kernels = [
      { ...nothing, name: "first", source },
      { ...nothing, name: "second", source },
    ]
    const made = await device.compile({ kernels }, 0)
    expect(made.map((k) => k.name)).toEqual(["first", "second"])
    expect(device.counters.pipelines - before).toBe(1)
  })

  it("rejects the next read after an error that WebGPU reports later, and only that one", async () => {
    const source =
      "@group(0) @binding(1) var<storage, read_write> x: array<f32>;\n@compute @workgroup_size(1) fn main() { x[0] = 1f; }"
    const writer = { ...nothing, name: "writer", source, bindings: [{ access: "write" as const }] }
    const [kernel] = await device.compile({ kernels: [writer] }, 0)
    const gone = device.allocate(16, "gone")
    const recording = device.record([{ kernel: kernel!, buffers: [gone], groups: 1 }])
    gone.destroy()
    device.submit([recording], new Int32Array(0))
    const buffer = device.allocate(4, "other")
    await expect(device.read(buffer, 0, 4)).rejects.toMatchObject({ code: "webgpu/validation" })
    expect(await device.read(buffer, 0, 4)).toEqual(new Uint8Array(4))
  })

  it("tells the compiler what the adapter allows", () => {
    const { limits } = device.adapterInfo
    expect(limits.invocations).toBeGreaterThanOrEqual(256)
    expect(limits.workgroupBytes).toBeGreaterThanOrEqual(16384)
    expect(limits.storageBuffers).toBeGreaterThanOrEqual(8)
    if (limits.subgroups) expect(limits.subgroupSize).toBe(device.adapterInfo.subgroupMinSize)
    if (/llvmpipe/.test(device.description)) expect(device.fallback).toBe(true)
  })

  it("refuses a software adapter when hardware is asked for", async () => {
    if (!device.fallback) return
    await expect(createWebgpuDevice({ adapter: "hardware" })).rejects.toMatchObject({ code: "webgpu/no-adapter" })
  })

  it("survives a garbage collection and lets the process exit by itself", async () => {
    const script = `
      const { createWebgpuDevice } = await import("./runtime/devices/webgpu/device.ts")
      let device = await createWebgpuDevice()
      const buffer = device.allocate(64, "x")
      for (let i = 0; i < 5; i++) { gc(); await new Promise((r) => setTimeout(r, 5)) }
      const bytes = await device.read(buffer, 0, 64)
      device = undefined
      for (let i = 0; i < 5; i++) { gc(); await new Promise((r) => setTimeout(r, 5)) }
      console.log("read", bytes.length)`
    const bundle = await import("esbuild")
    const built = await bundle.build({
      stdin: { contents: script.replace(/device\.ts/, "device.js"), resolveDir: process.cwd(), loader: "ts" },
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
    })
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--expose-gc", "--input-type=module", "--eval", built.outputFiles[0]!.text],
      { timeout: 600_000 },
    )
    expect(stdout).toBe("read 64\n")
  })
})
