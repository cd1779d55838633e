/** Programs that are no language models and as fast as memory: what they compute, and what the compiler makes of them at full size. */
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { type Compilation, type CompileOptions, compileProgram } from "../../compiler/compile.js"
import { deviceOn, devices } from "../../compiler/explain/devices.js"
import { kernelCosts } from "../../compiler/explain/kernels.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Program } from "../../dsl/model.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { loadProgram } from "../../runtime/program.js"
import { available } from "../devices/conformance.js"
import { adapterOf, unsureKernels } from "../support/driver.js"
import { root } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"
import { described, type Name, names, wrongIn } from "./references.js"

type Module = Readonly<Record<string, unknown>>
const modules = new Map<Name, Promise<Module>>()
function moduleOf(name: Name): Promise<Module> {
  const loading = modules.get(name) ?? loadModel(join(root, "test/floors", `${name}.ts`)).then(({ module }) => module)
  modules.set(name, loading)
  return loading
}

function compiled(program: Program, name: Name, options: Pick<CompileOptions, "target" | "adapter">): Compilation {
  const compilation = compileProgram(program, name, { storage: () => "f32", verify: true, ...options })
  expect(unsureKernels(compilation)).toEqual([])
  return compilation
}

async function smallOf(name: Name, options: Pick<CompileOptions, "target" | "adapter">): Promise<Compilation> {
  const { maker, small } = described[name]
  const make = (await moduleOf(name))[maker] as (...sizes: readonly number[]) => Program
  return compiled(make(...small), name, options)
}

/** Every row of the small program on a device. */
async function check(name: Name, { artifact }: Compilation, device: Device): Promise<void> {
  const { small, inputs, row } = described[name]
  using program = await loadProgram(artifact, { device, onDispose: () => device.dispose() })
  const arrays = inputs(small)
  const found = await program.run(arrays)
  const rows = Object.values(found)[0]!.shape[0]!
  const wrong = Array.from({ length: rows }, (_, i) =>
    row(arrays, small, i).flatMap((r) => wrongIn(r, found[r.output]!.data)),
  )
  expect(wrong.flat().slice(0, 3)).toEqual([])
}

const webgpu = () => createWebgpuDevice({ adapter: "any" })
const present = await available("webgpu", webgpu)
const { adapter } = devices["nvidia-h200"]!

describe.each(names)("%s is what plain TypeScript computes", (name) => {
  test("on wasm", async () =>
    check(name, await smallOf(name, { target: "wasm" }), await createWasmDevice({ threads: 1 })))

  test.runIf(present)("on webgpu", async () => {
    const device = await webgpu()
    await check(name, await smallOf(name, { target: "webgpu", ...adapterOf(device) }), device)
  })

  test.each(["kernel", "loop"] as const)(
    "as CUDA's kernels, by the interpreter of the %s language",
    async (language) => {
      const compilation = await smallOf(name, { target: "cuda" })
      await check(name, compilation, interpretedDevice(compilation, language, language === "loop" ? 32 : undefined))
    },
  )
})

/** Of the bytes that must move over what memory reads in the time that is estimated: what is wanted on a card is 0.8. */
const least = 0.85

test.each(
  names.flatMap(
    (name) =>
      [
        [name, "cuda"],
        [name, "webgpu"],
      ] as const,
  ),
)("%s for %s moves what it must, once, by estimate at almost the speed of memory", async (name, target) => {
  const program = (await moduleOf(name)).program as Program
  const compilation = compiled(program, name, { target, ...(target === "webgpu" ? { adapter } : {}) })
  const { buffers } = compilation.artifact
  const must = buffers.filter((b) => b.role !== "scratch").reduce((n, b) => n + b.bytes, 0)
  expect(must).toBeGreaterThan(500e6)
  const device = deviceOn(devices["nvidia-h200"]!, target)!
  const costs = kernelCosts(compilation, "run", new Map(), device)
  const moved = costs.reduce((n, c) => n + c.launches * c.bytes, 0)
  expect(moved / must).toBeLessThan(1.02)
  const seconds = costs.reduce((n, c) => n + (c.launches * c.estimatedMicroseconds!) / 1e6, 0)
  expect(must / device.bytesPerSecond / seconds).toBeGreaterThan(least)
})
