/** A fault of a kernel on CUDA, on a driver in memory: commands end with what happened, and other devices work on in the process. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { chooseDevice } from "../../cli/device.js"
import { loadProgram } from "../../cli/node.js"
import type { KernelCode } from "../../runtime/devices/device.js"
import { WeftError } from "../../runtime/errors.js"
import { present } from "../generate/model.js"
import { fakeDriver, imageOf } from "../support/cuda-driver.js"
import { root } from "../support/goldens.js"
import { weftHere } from "./run.js"

const driver = fakeDriver()
vi.mock("../../runtime/devices/cuda/signatures.js", () => ({ loadDriver: async () => driver }))
/** All kernels in one binary, each of which faults. */
vi.mock("../../runtime/devices/cuda/compilers/modules.js", () => ({
  loadableModules: async ({ kernels }: KernelCode) => {
    const symbols = kernels.map((k) => k.symbol!)
    const fault = () => {
      throw driver.fault
    }
    for (const symbol of symbols) driver.kernels.set(symbol, fault)
    return [{ image: imageOf(symbols), kernels: [...kernels.keys()], early: true }]
  },
}))

const text = `import { add, defineProgram, input } from "../../dsl/index.js"

export const program = defineProgram({
  inputs: { x: input({ i: 64 }) },
  outputs: { y: ["i"] },
  run: ({ x }) => ({ y: add(x, x) }),
})
`
// Inside of the package, whose own modules it imports.
mkdirSync(join(root, ".weft"), { recursive: true })
const folder = mkdtempSync(join(root, ".weft", "lost-"))
const file = join(folder, "twice.ts")
writeFileSync(file, text)

// Files, so that driver and compiler are found; nobody opens them.
beforeAll(() => {
  for (const name of ["WEFT_CUDA_DRIVER", "WEFT_NVCC"]) vi.stubEnv(name, fileURLToPath(import.meta.url))
})
afterAll(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

test("a command ends with what the driver says, and with what is left to do", async () => {
  const args = [file, "--device", "cuda", "--budget", "1", "--out", join(folder, "tuned.json")]
  const { code, stdout, stderr } = await weftHere(["tune", ...args])
  expect([code, stdout]).toEqual([1, ""])
  expect(
    stderr,
  ).toContain(`the device was lost (cuStream: CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal memory access was encountered)
hint: what it held is gone: start a new process, for CUDA works in this one no more, though other devices do
`)
  expect(stderr).not.toMatch(/^ +at /m)
  expect(driver.mistakes).toEqual([])
  expect(driver.live.get("context")).toBe(0)
})

describe("afterwards", async () => {
  test("CUDA is refused, with the reason", async () => {
    const error: unknown = await loadProgram(file, { device: "cuda" }).catch((e) => e)
    expect(error).toBeInstanceOf(WeftError)
    expect(error).toMatchObject({
      code: "device/lost",
      reason: expect.stringMatching(
        /^CUDA makes no device for a process in which a kernel faulted \(cuCtxCreate: CUDA_/,
      ),
      hint: "start a new process: CUDA works in this one no more, though other devices do",
    })
  })

  test("what is left is taken where no device is named, and says why", async () => {
    const { device, reason } = await chooseDevice("auto", 1)
    expect(device.kind).not.toBe("cuda")
    expect(reason).toContain("CUDA makes no device for a process in which a kernel faulted")
    device.dispose()
  })

  for (const name of ["wasm", "webgpu"] as const) {
    const here = await present(name)
    test.skipIf(!here)(`${name} works`, async () => {
      using program = await loadProgram(file, { device: name, cache: false })
      const { y } = await program.run({ x: Float32Array.from({ length: 64 }, (_, i) => i) })
      expect([...(y!.data as Float32Array)].slice(0, 3)).toEqual([0, 2, 4])
    })
  }
})
