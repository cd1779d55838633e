/** weft compile --arch for CUDA: binaries for the architectures that are asked for, by a compiler that is there. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { loadableModules } from "../../runtime/devices/cuda/compilers/modules.js"
import { findLibrary } from "../../runtime/devices/cuda/libraries.js"
import { required } from "../devices/conformance.js"
import { weftHere } from "./run.js"

const folder = mkdtempSync(join(tmpdir(), "weft-compile-"))
afterAll(() => rmSync(folder, { recursive: true }))

const compileBlock = (name: string, arch: string) =>
  weftHere([
    "compile",
    "examples/block.ts",
    "--target",
    "cuda",
    "--out",
    join(folder, name),
    "--precision",
    "fast",
    "--arch",
    arch,
  ])
const artifactIn = (name: string): Artifact =>
  checkArtifact(JSON.parse(readFileSync(join(folder, name, "artifact.json"), "utf8")))

const nvcc = findLibrary("nvcc").path
if (nvcc === undefined && required("nvcc")) throw new Error("nvcc is required and not there")
if (nvcc === undefined) console.log("nvcc: skipped, there is none on this machine")

/** Whether products are by units of one architecture, and by those that all have. */
const atomsOf = ({ kernels }: Artifact) => {
  const calls = (name: string) => kernels.some(({ source }) => source!.includes(name))
  return { own: calls("multiply_wgmma"), all: calls("multiply_mma") }
}

test.skipIf(nvcc === undefined)("nvcc: the artifact holds a binary of all kernels for each architecture", async () => {
  expect(await compileBlock("ahead", "sm_90a,compute_80")).toMatchObject({
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
  const { code, stderr } = await compileBlock(name, arch)
  expect([code, stderr]).toEqual([0, expect.stringContaining("compiled for")])
  expect(atomsOf(artifactIn(name))).toEqual({ own, all: !own })
})
