/**
 * Sums of products in f16: exact on small integers, whatever the kernel, and what an adapter with such arithmetic computes.
 */
import fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { schedule } from "../../compiler/compile.js"
import { add, fetch, literal, mul, print, variable, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { printLoop, printStatement } from "../../compiler/ir/loop-print.js"
import { verifyLoop } from "../../compiler/ir/loop-verify.js"
import { everyStatement, expressionsOf } from "../../compiler/ir/loop-visit.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { halveProducts } from "../../compiler/passes/halve.js"
import { targetFor } from "../../compiler/targets/target.js"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { webgpuEmitter } from "./emitters.js"
import { foldSymbols } from "./folds.js"
import { type Job, runJobs } from "./jobs.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildLarge, largeRecipes } from "./large.js"
import { effectOf, LawBroken, runLoops, wrongEffect } from "./loops.js"
import { law, patience, runs, seed } from "./settings.js"

const adapter = { subgroupSize: 32, workgroupBytes: 49152, f16: true }
const target = targetFor("webgpu", adapter, "fast")

const inHalves = (loops: LoopKernel): boolean =>
  everyStatement(loops.body).some((s) => expressionsOf(s).some((x) => print(x).includes("half(")))

/** A large kernel as it is made for an adapter with f16, where results need not be exact. */
function jobOf(recipe: Parameters<typeof buildLarge>[0]): Job {
  const { kernel, regime } = buildLarge(recipe)
  const symbols = foldSymbols(recipe)
  const { loops, schedule: chosen } = schedule(kernel, target, true)
  const effect = effectOf(kernel, kernelMemories(kernel, recipe.seed), symbols, regime)
  return { effect, loops, symbols, schedule: chosen }
}

test(
  "small integers are summed exactly",
  () => {
    let halved = 0
    law("products in f16", largeRecipes, 60, (recipe) =>
      withTable(() => {
        const { effect, loops, symbols } = jobOf(recipe)
        if (inHalves(loops)) halved++
        const wrong = wrongEffect(effect, runLoops(loops, effect.before, symbols, recipe.seed))
        if (wrong !== undefined) throw new LawBroken(`${wrong}\n${printLoop(loops)}`)
      }),
    )
    console.log(`${halved} of ${runs(60)} have products in f16`)
    expect(halved).toBeGreaterThanOrEqual(Math.floor(runs(60) / 60))
  },
  patience,
)

describe("a run of products", () => {
  const n = (x: number) => literal(x)
  const x = (i: number) => fetch("x", n(i), "f32")
  const w = (i: number) => fetch("w", n(i), "f32")
  const acc = variable("acc", "f32")
  const plus = (value: Expression): Statement => ({ kind: "assign", name: "acc", value: add(acc, value) })
  const products = (count: number, of = (i: number) => mul(x(i), w(i))) =>
    Array.from({ length: count }, (_, i) => plus(of(i)))
  const kernel = (...body: Statement[]): LoopKernel => {
    const declared: Statement = { kind: "let", name: "acc", value: literal(0, "f32"), mutable: true }
    const stored: Statement = { kind: "store", array: "y", offset: n(0), value: acc }
    const lane: Statement = {
      kind: "for",
      variable: "lane",
      extent: n(1),
      bind: "lane",
      body: [declared, { kind: "block", body }, stored],
    }
    return {
      name: "dot",
      buffers: [
        { name: "x", dtype: "f32", storage: "f32", size: n(16), access: "read" },
        { name: "w", dtype: "f32", storage: "bf16", size: n(16), access: "read" },
        { name: "y", dtype: "f32", storage: "f32", size: n(1), access: "write" },
      ],
      symbols: [],
      lanes: 1,
      groups: 1,
      body: [{ kind: "for", variable: "group", extent: n(1), bind: "grid", body: [lane] }],
    }
  }
  const inner = (k: LoopKernel): readonly string[] => {
    expect(verifyLoop(halveProducts(k))).toEqual([])
    const block = everyStatement(halveProducts(k).body).find((s) => s.kind === "block")
    return block?.kind === "block" ? block.body.map(printStatement) : []
  }

  test("is summed in f16, and added in f32", () => {
    expect(inner(kernel(...products(4)))).toEqual([
      ...[0, 1, 2, 3].flatMap((i) => [
        `let half_${2 * i}: f32 = half(x[${i}])`,
        `let half_${2 * i + 1}: f32 = half(w[${i}])`,
      ]),
      `acc = (acc + ${[0, 1, 2, 3]
        .map((i) => `half((half(half_${2 * i}) * half(half_${2 * i + 1})))`)
        .reduce((a, b) => `half((${a} + ${b}))`)})`,
    ])
  })
  test("of more than eight is several sums", () => {
    expect(inner(kernel(...products(12))).filter((s) => s.startsWith("acc"))).toHaveLength(2)
  })
  test.each([
    ["of three", products(3)],
    ["of squares", products(4, (i) => mul(w(i), w(i)))],
    ["of values that are kept as f32", products(4, (i) => mul(x(i), x(i + 1)))],
    ["that is read in between", [...products(2), bindOf("seen", acc), ...products(2)]],
    ["whose factors change", products(4, (i) => mul(mul(acc, x(i)), w(i)))],
  ])("stays as it is: %s", (_, body) => {
    expect(inner(kernel(...body))).toEqual(body.map(printStatement))
  })

  test("is printed as arithmetic of f16 where there is such", () => {
    const halved = halveProducts(kernel(...products(4)))
    const { source } = wgslKernel(halved, { symbolOrder: [], limits: { ...limits, f16: true } })
    expect(source).toContain("enable f16;")
    expect(source).toMatch(/acc = acc \+ f32\(.*\(f16\(half_0\) \* f16\(half_1\)\) \+ \(f16\(half_2\)/)
    expect(wgslKernel(halved, { symbolOrder: [], limits }).source).not.toMatch(/\bf16\b/)
  })
})

const limits = { invocations: 256, workgroupBytes: 49152, storageBuffers: 8, subgroups: false, subgroupSize: 4 }
function bindOf(name: string, value: Expression): Statement {
  return { kind: "let", name, value, mutable: false }
}

const open = () => createWebgpuDevice()
const present = await available("webgpu", open)

describe.skipIf(!present)("WebGPU", () => {
  let device: WebgpuDevice | undefined
  afterAll(() => device?.dispose())

  test(
    "sums small integers in f16 as the interpreter does",
    async () => {
      device = await open()
      expect(device.adapterInfo.limits.f16).toBe(true)
      const { emit, refusal } = webgpuEmitter(device)
      const drawn = fc.sample(largeRecipes, { seed, numRuns: 60 })
      await withTable(async () => {
        const jobs = drawn.map(jobOf).filter((job) => inHalves(job.loops) && refusal(job) === undefined)
        const some = jobs.slice(0, 4)
        expect(some.length).toBeGreaterThan(0)
        const wrong = (await runJobs(device!, some, emit)).filter((p) => p !== undefined)
        expect(wrong).toEqual([])
      })
    },
    2 * patience,
  )
})
