/** weft compile for CUDA: a folder with the artifact and the texts of its kernels; binaries are `compile-cuda.nvcc.ts`. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { unitOf } from "../../runtime/devices/cuda/compilers/modules.js"
import { weftHere } from "./run.js"

const folder = mkdtempSync(join(tmpdir(), "weft-compile-"))
afterAll(() => rmSync(folder, { recursive: true }))

const compileTo = (name: string, ...more: readonly string[]) =>
  weftHere(["compile", "examples/mandelbrot.ts", "--target", "cuda", "--out", join(folder, name), ...more])
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
