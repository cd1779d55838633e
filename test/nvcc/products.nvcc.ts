/**
 * Products on matrix units, compiled by nvcc: sums stay in registers, nothing is spilled, and products of groups of warps are not serialised.
 */
import { describe, expect, test } from "vitest"
import { cudaKernels } from "../../compiler/targets/emit.js"
import { unitOf } from "../../runtime/devices/cuda/compilers/modules.js"
import { nvccAt } from "../../runtime/devices/cuda/compilers/nvcc.js"
import { findLibrary } from "../../runtime/devices/cuda/libraries.js"
import { type FillShape, fillKernel, fillShapes } from "../support/fills.js"
import { type ProductShape, productKernel } from "../support/products.js"
import { limits, reportsOf, warningsOf } from "./report.js"

const { path } = findLibrary("nvcc")
const nvcc = path === undefined ? undefined : nvccAt(path, { more: ["-Xptxas", "-v"] })

type Layout = Pick<ProductShape, "atom" | "block" | "groups" | "stages" | "across" | "held">
/**
 * Layouts of large products, and what of their registers is not sums: most of it, at sizes that no block divides, the places of copies and whether
 * they count. For 128 × 128 by groups of warps those are 16 copies of 8 bytes: 147 registers, 96 at whole sizes.
 */
const layouts: readonly (Layout & { readonly beside: number })[] = [
  { atom: "mma.m16n8k16.bf16", block: [128, 128], groups: [2, 2], stages: 3, beside: 100 },
  { atom: "mma.m16n8k16.f16", block: [64, 128], groups: [2, 2], stages: 3, across: true, beside: 100 },
  { atom: "wgmma.m64n256k16.bf16", block: [128, 256], groups: [2, 1], stages: 4, beside: 70 },
  { atom: "wgmma.m64n128k16.bf16", block: [128, 128], groups: [2, 1], stages: 6, beside: 85 },
  { atom: "wgmma.m64n64k16.f16", block: [128, 64], groups: [1, 1], stages: 3, held: true, beside: 90 },
  { atom: "wgmma.m64n64k16.bf16", block: [64, 128], groups: [1, 2], stages: 4, across: true, beside: 60 },
]
const sizes = [
  { rows: 4096, columns: 4096, depth: 4096 },
  { rows: 1000, columns: 999, depth: 1004 },
]
const shapes = layouts.flatMap((layout) =>
  sizes.map((size) => ({ ...layout, ...size, result: "bf16" as const, band: 16 })),
)

const archOf = (atom: string): string => (atom.startsWith("wgmma") ? "sm_90a" : "sm_80")

/** What nvcc says of kernels, each by its number. */
async function compiled(kernels: readonly ReturnType<typeof productKernel>[], arch: string) {
  const facts = { sharedBytes: limits[arch]!.block, multiprocessors: 132 }
  const named = kernels.map((k, i) => ({ ...k, name: `k${i}` }))
  const { kernels: made, prelude } = cudaKernels(facts)(named, [])
  const { image, log } = await nvcc!.compile(unitOf({ prelude: prelude! }, made), { arch, kind: "cubin" })
  expect(image, log).toBeDefined()
  expect(warningsOf(log)).toEqual([])
  const reports = reportsOf(log)
  return made.map(({ symbol }) => reports.get(symbol!)!)
}

describe.skipIf(nvcc === undefined)("products on matrix units", () => {
  test.each(["sm_80", "sm_90a"])("hold their sums in registers on %s", async (arch) => {
    const own = shapes.filter(({ atom }) => archOf(atom) <= arch)
    const reports = await compiled(own.map(productKernel), arch)
    for (const [i, { registers, spilled, stack }] of reports.entries()) {
      const { block, groups, atom, beside } = own[i]!
      const sums = (block[0] * block[1]) / groups[0] / groups[1] / (atom.startsWith("wgmma") ? 128 : 32)
      expect({ spilled, stack, atom }).toEqual({ spilled: 0, stack: 0, atom })
      expect(registers, atom).toBeLessThanOrEqual(sums + beside)
    }
  })

  test("fragments that are filled stay in registers", async () => {
    const wide = ({ operand, atom }: FillShape) => operand === "c" && atom.startsWith("wgmma")
    const reports = await compiled(fillShapes.filter((shape) => !wide(shape)).map(fillKernel), "sm_90a")
    expect(reports.filter(({ spilled, stack }) => spilled + stack > 0)).toEqual([])
  })
})
