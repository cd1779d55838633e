/**
 * Products on matrix units, compiled by nvcc: sums stay in registers, nothing is spilled, and products of groups of warps are not serialised.
 */
import { describe, expect, test } from "vitest"
import { dim } from "../../compiler/ir/dim.js"
import { add, apply, fetch, literal, variable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
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

describe.skipIf(nvcc === undefined)("reads under a condition", () => {
  test("stay under it, though they are the same in every cell", async () => {
    const lane = variable("lane")
    const value = add(fetch("x", lane, "f32"), apply("toF32", variable("group")))
    const guarded: Statement = {
      kind: "if",
      condition: apply("lt", lane, literal(32)),
      body: [{ kind: "store", array: "y", offset: lane, value }],
      otherwise: [],
    }
    const lanes: Statement = { kind: "for", variable: "lane", extent: literal(256), bind: "lane", body: [guarded] }
    const kernel: LoopKernel = {
      name: "guarded",
      buffers: [
        { name: "x", dtype: "f32", storage: "f32", size: dim(32), access: "read", steady: true },
        { name: "y", dtype: "f32", storage: "f32", size: dim(32), access: "write" },
      ],
      symbols: [],
      threads: 256,
      groups: 16,
      body: [{ kind: "for", variable: "group", extent: literal(4096), bind: "grid", body: [lanes] }],
    }
    const { kernels, prelude } = cudaKernels({ sharedBytes: limits.sm_90a!.block, multiprocessors: 132 })([kernel], [])
    const { image, log } = await nvcc!.compile(unitOf({ prelude: prelude! }, kernels), { arch: "sm_90a", kind: "ptx" })
    expect(image, log).toBeDefined()
    const lines = Buffer.from(image!).toString().split("\n")
    const first = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line))
    expect(first(/ld\.global\.nc/)).toBeGreaterThan(first(/setp\.\w+\.[su]32.*, 31|setp\.\w+\.[su]32.*, 32/))
    expect(first(/ld\.global\.nc/)).toBeGreaterThan(first(/^\$L__BB0_\d+:/))
  })
})
