/** Subgroup matrices of a device: asked for by option only, tested where they are offered, and not used where the test does not end well. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { chooseDevice } from "../../cli/device.js"
import { load } from "../../cli/node.js"
import type { LoadProgress } from "../../cli/options.js"
import { tunedName } from "../../cli/tuned.js"
import { atoms } from "../../compiler/ir/fragments/atoms.js"
import { targetFor } from "../../compiler/targets/target.js"
import { findAdapter } from "../../runtime/devices/webgpu/adapter.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { expectedResults, matrixTest, matrixWords } from "../../runtime/devices/webgpu/matrices.js"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import { matrixShape } from "../../runtime/matrices.js"
import { root } from "../support/goldens.js"
import { available } from "./conformance.js"

const matrices = "chromium-experimental-subgroup-matrix"
const atom = "subgroup.m16n16k16.f16"
const present = await available("webgpu null backend", () => createWebgpuDevice({ adapter: "null" }))

/** What an adapter says of itself, and what its test finds. */
interface Fake {
  readonly features: readonly string[]
  readonly configs: readonly (readonly [from: string, to: string, m: number, n: number, k: number])[]
  readonly lanes: readonly [number, number]
  readonly results: Float32Array
  /** Texts that its compiler takes. */
  readonly takes: (source: string) => boolean
}
const usual: Fake = {
  features: [matrices, "subgroups", "shader-f16"],
  configs: [
    ["i8", "i32", 16, 16, 32],
    ["f16", "f32", 16, 16, 16],
  ],
  lanes: [32, 32],
  results: expectedResults(),
  takes: () => true,
}

/** An adapter over Dawn's null backend, which reads and checks all texts and computes nothing. */
async function adapterOf(fake: Fake, asked: string[][]) {
  const adapter = await findAdapter({ adapter: "null", toggles: ["allow_unsafe_apis"] })
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info
  const [subgroupMinSize, subgroupMaxSize] = fake.lanes
  const subgroupMatrixConfigs = fake.configs.map(([componentType, resultComponentType, M, N, K]) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  }))
  const sizes = { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs }
  return {
    limits: adapter.limits,
    features: new Set(fake.features),
    info: { vendor, architecture, device, description, isFallbackAdapter, ...sizes },
    requestDevice: async (d: GPUDeviceDescriptor) => {
      asked.push([...d.requiredFeatures!])
      return computing(await adapter.requestDevice(d), fake)
    },
  }
}

/** The device with the results of a test in the place of zeros. */
function computing(gpu: GPUDevice, { results, takes }: Fake): GPUDevice {
  const [createBuffer, createShaderModule] = [gpu.createBuffer.bind(gpu), gpu.createShaderModule.bind(gpu)]
  gpu.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor)
    if (descriptor.label === "matrices") buffer.getMappedRange = () => results.slice().buffer
    return buffer
  }
  gpu.createShaderModule = (descriptor) =>
    createShaderModule(takes(descriptor.code) ? descriptor : { ...descriptor, code: `${descriptor.code} nonsense` })
  return gpu
}

describe.skipIf(!present)("subgroup matrices", () => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator")
  let fake: Fake
  let asked: string[][]
  beforeEach(() => {
    fake = usual
    asked = []
    const requestAdapter = () => adapterOf(fake, asked)
    Object.defineProperty(globalThis, "navigator", { configurable: true, value: { gpu: { requestAdapter } } })
  })
  afterEach(() => {
    if (before === undefined) delete (globalThis as { navigator?: unknown }).navigator
    else Object.defineProperty(globalThis, "navigator", before)
  })
  const opened = async (experimentalGpu?: boolean) => {
    const { device, adapter, reason, warning } = await chooseDevice("webgpu", undefined, "checked", experimentalGpu)
    const { adapterInfo } = device as Awaited<ReturnType<typeof createWebgpuDevice>>
    const name = tunedName(device)
    device.dispose()
    return { matrices: adapterInfo.matrices, adapter: adapter!, reason, warning, name }
  }

  test("nobody asks without the option", async () => {
    const found = await opened()
    expect(asked).toEqual([["subgroups", "shader-f16"]])
    expect(found).toMatchObject({ matrices: { asked: false }, reason: "as asked", warning: undefined })
    expect(found.adapter).not.toHaveProperty("matrices")
    expect(matrixWords(found.matrices)).toBe("not asked for")
    expect(found.name).not.toContain("matrices")
  })

  test("what is right is used: the compiler knows how it is spelled, and schedules are kept apart", async () => {
    const found = await opened(true)
    expect(asked).toEqual([["subgroups", "shader-f16", matrices]])
    expect(found.matrices).toEqual({
      asked: true,
      offered: ["i8 → i32 16 × 16 × 32", "f16 → f32 16 × 16 × 16"],
      spelling: "template",
    })
    expect(found).toMatchObject({ adapter: { matrices: "template", f16: true }, warning: undefined })
    expect(found.reason).toBe("as asked; with subgroup matrices, which are experimental")
    expect(found.name).toMatch(/-matrices$/)
    const { schedule } = targetFor("webgpu", found.adapter, "fast")
    expect(schedule.atoms).toMatchObject({ names: [atom], storage: "f16" })
    expect(targetFor("webgpu", found.adapter, "exact").schedule.atoms).toBeUndefined()
  })

  test("a device that takes the older spelling alone is asked in it", async () => {
    fake = { ...usual, takes: (source) => !source.includes("row_major") }
    expect(await opened(true)).toMatchObject({ matrices: { spelling: "argument" }, adapter: { matrices: "argument" } })
  })

  test("results that differ in one place end it, with the reason", async () => {
    const wrong = usual.results.slice()
    wrong[1234]! += 1
    fake = { ...usual, results: wrong }
    const found = await opened(true)
    expect(found.matrices.spelling).toBeUndefined()
    expect(found.adapter).not.toHaveProperty("matrices")
    expect(found.warning).toBe("subgroup matrices are not used: 1 of 4096 results of their test are wrong")
  })

  test.each<readonly [why: string, Partial<Fake>, says: RegExp]>([
    ["the feature is not there", { features: ["subgroups", "shader-f16"] }, /does not offer chromium-experimental/],
    ["there is no f16", { features: [matrices, "subgroups"] }, /no shader-f16/],
    ["others are listed", { configs: [["f16", "f16", 16, 16, 16]] }, /does not list f16 → f32 16 × 16 × 16/],
    ["subgroups have other sizes", { lanes: [8, 32] }, /subgroups have 8 to 32 lanes, not 32/],
    ["no spelling compiles", { takes: (source) => !source.includes("subgroupMatrixLoad") }, /does not compile: ./],
  ])("they are not used where %s", async (_, own, says) => {
    fake = { ...usual, ...own }
    const found = await opened(true)
    expect(found.matrices.refused).toMatch(says)
    expect(found.warning).toMatch(says)
    expect(found.adapter).not.toHaveProperty("matrices")
  })

  const loaded = async (folder: string) => {
    const steps: LoadProgress[] = []
    const options = { device: "webgpu", experimentalGpu: true, precision: "fast", accesses: "checked" } as const
    const model = await load(folder, { ...options, cache: false, onProgress: (step) => steps.push(step) })
    const { artifact } = model.session
    model.dispose()
    const stored = (matrix: boolean) =>
      new Set(artifact.weights.filter((w) => w.shape.length > 1 === matrix).map((w) => w.storage))
    const products = artifact.kernels.filter((k) => k.source.includes("subgroupMatrixMultiplyAccumulate")).length
    const warnings = steps.flatMap((s) => (s.stage === "warning" ? [s.message] : []))
    return { matrices: [...stored(true)], vectors: [...stored(false)], products, warnings }
  }

  test("matrices of weights in bf16 are read as f16 for them, where f16 holds them", async () => {
    const found = await loaded(join(root, "test/golden/qwen3"))
    expect(found).toMatchObject({ matrices: ["f16"], vectors: ["bf16"], warnings: [] })
    expect(found.products).toBeGreaterThan(3)
  })

  test("weights stay as they are where f16 does not hold a row of them, with the reason", async () => {
    const folder = mkdtempSync(join(tmpdir(), "narrow-"))
    try {
      cpSync(join(root, "test/golden/qwen3"), folder, { recursive: true })
      const path = join(folder, "model.safetensors")
      const bytes = readFileSync(path)
      const start = 8 + Number(bytes.readBigUInt64LE(0))
      const name = "model.layers.1.mlp.up_proj.weight"
      const header = JSON.parse(bytes.subarray(8, start).toString("utf8"))
      // The first row is of nothing but 2^-20.
      for (let i = 0; i < 64; i++) bytes.writeUInt16LE(107 << 7, start + header[name].data_offsets[0] + 2 * i)
      writeFileSync(path, bytes)
      const found = await loaded(folder)
      expect(found).toMatchObject({ matrices: ["bf16"], products: 0 })
      expect(found.warnings).toEqual([
        `row 0 of "${name}" is too small for f16: weights stay in bf16, and subgroup matrices do not multiply them`,
      ])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test("a kernel that needs them is refused by name where they are not used", async () => {
    const kernel = { name: "product", source: matrixTest("template"), bindings: [], threads: 128, scratch: 0 }
    const wrong = new Float32Array(usual.results.length)
    for (const [own, experimentalGpu, says] of [
      [usual, false, /are not asked for on this device/],
      [{ ...usual, results: wrong }, true, /not used: \d+ of 4096 results of their test are wrong on this device/],
    ] as const) {
      fake = own
      const device = await createWebgpuDevice({ experimentalGpu })
      await expect(device.compile({ kernels: [kernel] }, 0)).rejects.toMatchObject({
        code: "webgpu/feature",
        message: expect.stringMatching(says),
        hint: expect.stringContaining("--experimental-gpu"),
      })
      device.dispose()
    }
  })
})

test.skipIf(!present)("both texts of the test are valid", async () => {
  const sources = (["template", "argument"] as const).map((name) => ({ name, source: matrixTest(name) }))
  expect(await validateWgsl(sources)).toEqual([])
})

test("the shape that devices test is the one that kernels have", () => {
  expect(atoms.get(atom)).toMatchObject(matrixShape)
})

test("sums of the test are beyond what f16 holds", () => {
  const odd = expectedResults().filter((sum) => Math.abs(sum) > 2048 && sum % 2 !== 0)
  expect(odd.length).toBeGreaterThan(100)
})
