/** weft compile for CUDA: a folder with the artifact and the texts of its kernels, and with binaries for the architectures that are asked for. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { loadableModules, unitOf } from "../../runtime/devices/cuda/compilers/modules.js"
import { findLibrary } from "../../runtime/devices/cuda/libraries.js"
import { required } from "../devices/conformance.js"
import { weftHere } from "./run.js"

const folder = mkdtempSync(join(tmpdir(), "weft-compile-"))
afterAll(() => rmSync(folder, { recursive: true }))

const compileExample = (example: string, name: string, ...more: readonly string[]) =>
  weftHere(["compile", `examples/${example}.ts`, "--target", "cuda", "--out", join(folder, name), ...more])
const compileTo = (name: string, ...more: readonly string[]) => compileExample("mandelbrot", name, ...more)
const artifactIn = (name: string): Artifact =>
  checkArtifact(JSON.parse(readFileSync(join(folder, name, "artifact.json"), "utf8")))

describe("without a compiler", () => {
  beforeAll(() => {
    vi.stubEnv("WEFT_NVRTC", "")
    vi.stubEnv("WEFT_NVCC", "")
  })
  afterAll(() => vi.unstubAllEnvs())

  test("the texts are written, each of which compiles by itself", async () => {
    expect(await compileTo("text")).toMatchObject({ code: 0, stdout: "" })
    const artifact = artifactIn("text")
    expect(artifact.modules).toBeUndefined()
    expect(readdirSync(join(folder, "text", "kernels")).sort()).toEqual(
      artifact.kernels.map((k) => `${k.symbol}.cu`).sort(),
    )
    for (const kernel of artifact.kernels)
      expect(readFileSync(join(folder, "text", "kernels", `${kernel.symbol}.cu`), "utf8")).toBe(
        unitOf(artifact, [kernel]),
      )
  })

  test("binaries that are asked for are refused before anything is compiled, and where was looked is told", async () => {
    const { code, stderr } = await compileTo("none", "--arch", "sm_90a")
    expect(code).toBe(1)
    expect(stderr).toContain("no compiler of CUDA C++ was found on this machine")
    expect(stderr).toContain("nvcc: WEFT_NVCC=: none is looked for")
    expect(readdirSync(folder)).not.toContain("none")
  })
})

test("architectures are names, and go with the target; the folder is one", async () => {
  for (const [args, said] of [
    [["--arch", "hopper"], "--arch takes architectures"],
    [["--arch", "sm_90a,"], "--arch takes architectures"],
    [["--target", "wasm", "--arch", "sm_90a"], "--arch goes with --target cuda"],
  ] as const) {
    const { code, stderr } = await compileTo("wrong", ...args)
    expect([code, stderr]).toEqual([2, expect.stringContaining(said)])
  }
  const { code, stderr } = await weftHere([
    "compile",
    "examples/mandelbrot.ts",
    "--target",
    "cuda",
    "--out",
    "README.md",
  ])
  expect([code, stderr]).toEqual([1, expect.stringContaining('"README.md" cannot be written')])
})

const nvcc = findLibrary("nvcc").path
if (nvcc === undefined && required("nvcc")) throw new Error("nvcc is required and not there")
if (nvcc === undefined) console.log("nvcc: skipped, there is none on this machine")

/** Whether products are by units of one architecture, and by those that all have. */
const atomsOf = ({ kernels }: Artifact) => {
  const calls = (name: string) => kernels.some(({ source }) => source!.includes(name))
  return { own: calls("multiply_wgmma"), all: calls("multiply_mma") }
}

test.skipIf(nvcc === undefined)("nvcc: the artifact holds a binary of all kernels for each architecture", async () => {
  expect(await compileExample("block", "ahead", "--precision", "fast", "--arch", "sm_90a,compute_80")).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(
      /^weft: .*ahead: \d+ kernels? for cuda, compiled for sm_90a, sm_80 as PTX by (nvcc|NVRTC) \(.*\)\n$/,
    ),
  })
  const artifact = artifactIn("ahead")
  expect(artifact.modules!.map(({ arch, kind }) => [arch, kind])).toEqual([
    ["sm_90a", "cubin"],
    ["sm_80", "ptx"],
  ])
  expect(atomsOf(artifact)).toEqual({ own: false, all: true })
  for (const arch of ["sm_90a", "sm_120"]) {
    const [loaded] = await loadableModules(artifact, arch)
    const { image, kernels } = loaded!
    expect(kernels).toEqual([...artifact.kernels.keys()])
    for (const { symbol } of artifact.kernels) expect(Buffer.from(image).toString("latin1")).toContain(symbol!)
  }
})

// Other names for the same GPU, of which one alone lets its own instructions through.
test.skipIf(nvcc === undefined).each([
  ["sm_90a", true],
  ["sm_90", false],
] as const)("nvcc: products for %s have matrix units of their own: %s", async (arch, own) => {
  const name = `products ${arch}`
  const { code, stderr } = await compileExample("block", name, "--precision", "fast", "--arch", arch)
  expect([code, stderr]).toEqual([0, expect.stringContaining("compiled for")])
  expect(atomsOf(artifactIn(name))).toEqual({ own, all: !own })
})
