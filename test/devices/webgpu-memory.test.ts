/** Memory that the device refuses: the call that needs it rejects with both numbers, nothing is left, and no other call hears of it. */
import fc from "fast-check"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Model } from "../../dsl/index.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { findAdapter } from "../../runtime/devices/webgpu/adapter.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { WeftError } from "../../runtime/errors.js"
import type { GenerativeModel } from "../../runtime/generate/generator.js"
import { load } from "../../runtime/generate/load.js"
import { present, refusal } from "../generate/model.js"
import { runs, seed } from "../laws/settings.js"

const weights = Float32Array.from({ length: 28 }, (_, i) => Math.sin(i + 1))
const read = async (_: unknown, at: number, length: number) => new Uint8Array(weights.buffer, at, length)
const prompt = [1, 2, 3, 4, 5, 0]

/** Buffers that the adapter has made; the one with the number `failing` is far too large. */
const made = { count: 0, failing: -1, stuck: false, devices: [] as GPUDevice[] }
function spoiled(device: GPUDevice): GPUDevice {
  const create = device.createBuffer.bind(device)
  device.createBuffer = (descriptor) => {
    const buffer = create(made.count++ === made.failing ? { ...descriptor, size: 2 ** 46 } : descriptor)
    if (made.stuck && descriptor.label === "staging") buffer.mapAsync = () => new Promise(() => {})
    return buffer
  }
  made.devices.push(device)
  return device
}

const here = await present("webgpu")
describe.skipIf(!here)("memory that WebGPU refuses", () => {
  let artifact: Artifact
  let wanted: readonly number[]
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator")
  const open = (device: Device): Promise<GenerativeModel> => load(artifact, { device, weights: { read } })
  const tokens = async (model: GenerativeModel) =>
    (await model.generate(prompt, { temperature: 0, maxTokens: 4 })).tokens

  beforeAll(async () => {
    const { module } = await loadModel("test/generate/stateful-model.ts")
    const configured = (module.model as Model).configure({ context: 24, vocab: 7, layers: ["total", "cache"] })
    artifact = compileProgram(configured, "stateful", { target: "webgpu", chunk: 5, storage: () => "f32" }).artifact
    const requestAdapter = async () => {
      const adapter = await findAdapter({ toggles: ["-none"] })
      const { limits, features, info } = adapter
      return {
        limits,
        features,
        info,
        requestDevice: async (d: GPUDeviceDescriptor) => spoiled(await adapter.requestDevice(d)),
      }
    }
    Object.defineProperty(globalThis, "navigator", { configurable: true, value: { gpu: { requestAdapter } } })
    const device = await createWebgpuDevice()
    wanted = await tokens(await open(device))
    device.dispose()
  })
  beforeEach(() => Object.assign(made, { count: 0, failing: -1, stuck: false, devices: [] }))
  afterAll(() => Object.defineProperty(globalThis, "navigator", before ?? { configurable: true, value: undefined }))

  test(`any buffer of a load, WEFT_SEED=${seed}`, async () => {
    const property = fc.asyncProperty(fc.nat(artifact.slots.length - 1), async (slot) => {
      const device = await createWebgpuDevice()
      const good = await open(device)
      Object.assign(made, { count: 0, failing: slot })
      const held = device.counters.allocatedBytes
      const error = await open(device).catch((e: unknown) => e)
      expect(error).toBeInstanceOf(WeftError)
      expect((error as WeftError).code).toBe("device/out-of-memory")
      expect((error as WeftError).message).toMatch(
        new RegExp(
          `^'slot ${slot}' needs ${artifact.slots[slot]!.bytes} bytes, which the device refuses beside the \\d+ that it holds`,
        ),
      )
      expect(device.counters.allocatedBytes).toBe(held)
      // Neither the model that was there nor the next one hears of it.
      expect(await tokens(good)).toEqual(wanted)
      expect(await tokens(await open(device))).toEqual(wanted)
      device.dispose()
    })
    await fc.assert(property, { seed, numRuns: runs(3) })
  })

  test("a load beside one that works", async () => {
    const device = await createWebgpuDevice()
    Object.assign(made, { count: 0, failing: 2 })
    const [bad, good] = [refusal(open(device)), open(device)]
    expect(await bad).toMatch(/^device\/out-of-memory/)
    expect(await tokens(await good)).toEqual(wanted)
    device.dispose()
  })

  test("the first buffer of the device", async () => {
    made.failing = 0
    expect(await refusal(createWebgpuDevice())).toMatch(/^device\/out-of-memory: 'symbols' needs \d+ bytes/)
  })

  test("the buffer of a read", async () => {
    const device = await createWebgpuDevice()
    const model = await open(device)
    Object.assign(made, { count: 0, failing: 0 })
    expect(await refusal(model.generate(prompt, { temperature: 0, maxTokens: 4 }))).toMatch(
      /^device\/out-of-memory: 'staging'/,
    )
    expect(await tokens(model)).toEqual(wanted)
    device.dispose()
  })

  test.each(["lost", "disposed"])(
    "a device that is %s while it reads rejects what waits and what comes",
    async (how) => {
      const device = await createWebgpuDevice()
      const model = await open(device)
      made.stuck = true
      const waiting = refusal(model.logits(prompt))
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (how === "lost") made.devices.at(-1)!.destroy()
      else device.dispose()
      expect(await waiting).toMatch(/^device\/lost/)
      expect(await refusal(model.logits(prompt))).toMatch(/^device\/lost/)
      expect(await refusal(open(device))).toMatch(/^device\/lost/)
      model.dispose()
      device.dispose()
    },
  )
})
