/** `auto`: CUDA, then WebGPU on hardware, then WebAssembly, and the reason why. */
import { afterEach, describe, expect, test, vi } from "vitest"
import { type ChosenDevice, chooseDevice, deviceForArtifact, firstOf, precisionFor } from "../../cli/device.js"
import type { Artifact } from "../../runtime/artifact.js"
import { WeftError } from "../../runtime/errors.js"
import { refusal } from "../generate/model.js"

const opened = (kind: string, reason: string) => async () => ({ device: { kind }, reason }) as ChosenDevice
const refused = (message: string) => async () =>
  Promise.reject(new WeftError("cuda/missing", message, { hint: "not told" }))

test("the first that opens is taken, with what kept those before it", async () => {
  const wasm = opened("wasm", "")
  const all = [refused("no driver"), opened("webgpu", "hardware is present"), wasm]
  expect(await firstOf(all)).toMatchObject({ device: { kind: "webgpu" }, reason: "hardware is present; no driver" })
  expect(await firstOf([opened("cuda", "all is there"), ...all])).toMatchObject({ reason: "all is there" })
  const [none] = all
  expect(await firstOf([none!, refused("only software"), wasm])).toMatchObject({ reason: "no driver; only software" })
  expect(await refusal(firstOf([none!, refused("only software")]))).toContain("only software")
})

describe("auto", () => {
  afterEach(() => vi.unstubAllEnvs())
  test.each([
    ["no driver", { WEFT_CUDA_DRIVER: "" }, /no CUDA driver was found/],
    [
      "a driver, but no compiler",
      { WEFT_CUDA_DRIVER: import.meta.filename, WEFT_NVRTC: "", WEFT_NVCC: "" },
      /a CUDA driver, but neither NVRTC nor nvcc was found/,
    ],
    [
      "a driver that is none, and a compiler",
      { WEFT_CUDA_DRIVER: import.meta.filename, WEFT_NVRTC: "", WEFT_NVCC: import.meta.filename },
      /device\.test\.ts cannot be used: /,
    ],
  ])("%s", async (_, environment, why) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const { device, reason } = await chooseDevice("auto", 1)
    try {
      expect(["webgpu", "wasm"]).toContain(device.kind)
      expect(reason).toMatch(why)
      expect(reason).not.toContain("\n")
    } finally {
      device.dispose()
    }
  })

  test("cuda by name is refused with where was looked", async () => {
    vi.stubEnv("WEFT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    expect(await refusal(chooseDevice("cuda"))).toMatch(
      /^cuda\/missing: .*WEFT_CUDA_DRIVER=\/nowhere\/libcuda.so.1: no such file/,
    )
  })

  test("what is to be checked does not run on CUDA, where nothing checks", async () => {
    expect(await refusal(chooseDevice("cuda", 1, "checked"))).toMatch(/^device\/unchecked/)
    const { device, reason } = await chooseDevice("auto", 1, "checked")
    expect(["webgpu", "wasm"]).toContain(device.kind)
    expect(reason).toContain("nothing on CUDA checks what kernels touch")
    device.dispose()
  })
})

test("hardware takes the fast precision, what computes on processors the exact one", () => {
  expect(precisionFor({ kind: "cuda", fallback: false })).toBe("fast")
  expect(precisionFor({ kind: "webgpu", fallback: false })).toBe("fast")
  expect(precisionFor({ kind: "webgpu", fallback: true })).toBe("exact")
  expect(precisionFor({ kind: "wasm", fallback: false })).toBe("exact")
})

test("kernels that are not proven are refused on a device that never looks", async () => {
  const device = { kind: "cuda", unchecked: true, dispose: () => {} }
  const chosen = { device, reason: "" } as unknown as ChosenDevice
  const artifact = { kernels: [{ name: "k0" }] } as unknown as Artifact
  expect(await refusal(deviceForArtifact(chosen, artifact, {}))).toMatch(/^device\/unproven/)
  const proven = { kernels: [{ name: "k0", proven: true }] } as unknown as Artifact
  expect(await deviceForArtifact(chosen, proven, {})).toBe(chosen)
})
