/** An artifact is refused on a device that it is not for, whatever was asked, before a device is opened. */
import { beforeAll, describe, expect, test, vi } from "vitest"
import { type DeviceName, load, loadProgram, type Precision } from "../../cli/node.js"
import { compile } from "../../compiler/index.js"
import type { Artifact } from "../../runtime/artifact.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { loadProgram as loadArtifact } from "../../runtime/program.js"
import { refusal } from "../generate/model.js"
import { goldenFolder } from "../support/goldens.js"

const targetNames = ["webgpu", "wasm"] as const

let artifacts: Record<(typeof targetNames)[number], Artifact>
beforeAll(async () => {
  const made = targetNames.map(async (target) => [target, await compile("examples/mandelbrot.ts", {}, target)] as const)
  artifacts = Object.fromEntries(await Promise.all(made)) as typeof artifacts
})

describe.each(targetNames)("an artifact for %s", (target) => {
  const other: DeviceName = target === "wasm" ? "webgpu" : "wasm"
  const message = `device/target: the artifact is for ${target}, but the device is to be '${other}'`

  test("is not run as a program on the other device", async () => {
    expect(await refusal(loadProgram(artifacts[target], { device: other }))).toContain(message)
  })
  test("nor as a model", async () => {
    const options = { checkpoint: goldenFolder("qwen3"), device: other }
    expect(await refusal(load(artifacts[target], options))).toContain(message)
  })
  test("nor on a device that is none", async () => {
    for (const device of ["metal", null, 3, Object.create(null)] as unknown as DeviceName[])
      expect(await refusal(loadProgram(artifacts[target], { device }))).toMatch(/^device\/name/)
  })
})

test("an artifact for CUDA is run only where that is asked for: nothing there checks what it touches", async () => {
  const artifact = await compile("examples/mandelbrot.ts", {}, "cuda")
  vi.stubEnv("WEFT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
  for (const accesses of [undefined, "checked"] as const)
    expect(await refusal(loadProgram(artifact, { accesses }))).toMatch(/^device\/unchecked: .*'proven'/s)
  expect(await refusal(loadProgram(artifact, { accesses: "proven" }))).toMatch(/^cuda\/missing/)
  vi.unstubAllEnvs()
})

test("the runtime refuses it, too", async () => {
  const device = await createWasmDevice({ threads: 1 })
  expect(await refusal(loadArtifact(artifacts.webgpu, { device }))).toMatch(/^session\/target/)
  expect(device.counters.allocatedBytes).toBe(0)
  device.dispose()
})

test("nor with another precision, context or chunk than it has", async () => {
  const model = { family: "none", context: 8, chunk: 4, vocabulary: 16, endTokens: [] }
  const { program: _, ...rest } = artifacts.wasm
  const given = { ...rest, model } as Artifact
  const asked: readonly { precision?: Precision; context?: number; chunk?: number; model?: string }[] = [
    { precision: "fast" },
    { context: 7 },
    { chunk: 3 },
    { model: "model.ts" },
  ]
  for (const options of asked)
    expect(
      await refusal(load(given, { checkpoint: goldenFolder("qwen3"), device: "wasm", threads: 1, ...options })),
    ).toMatch(new RegExp(`^load/${Object.keys(options)[0]}: `))
})
