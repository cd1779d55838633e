/**
 * Sums of products in f16: exact on small integers times any power of two, whatever the kernel, and what an adapter with such arithmetic
 * computes.
 */
import fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { type Memory, memoryOf, writeElement } from "../../compiler/interpret/memory.js"
import { add, apply, fetch, literal, mul, print, variable, vector, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import { everyStatement, expressionsOf } from "../../compiler/ir/loop-visit.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Operation } from "../../compiler/ir/operations.js"
import { printLoop, printStatement } from "../../compiler/ir/print/loop.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { halveProducts } from "../../compiler/loop/half-products.js"
import { targetFor } from "../../compiler/targets/target.js"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { webgpuEmitter } from "./emitters.js"
import { foldSymbols } from "./folds.js"
import { type Job, runJobs } from "./jobs.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildLarge, largeRecipes } from "./large.js"
import { effectOf, isWrong, LawBroken, runLoops, wrongEffect } from "./loops.js"
import { changeLoops, type Rules } from "./mutate.js"
import { poolOf } from "./pool.js"
import { law, patience, runs, seed } from "./settings.js"

const adapter = { subgroupSize: 32, workgroupBytes: 49152, f16: true }
const target = targetFor("webgpu", adapter, "fast")

const inHalves = (loops: LoopKernel): boolean =>
  everyStatement(loops.body).some((s) => expressionsOf(s).some((x) => print(x).includes("half(")))

/** A large kernel as it is made for an adapter with f16, where results need not be exact. */
function jobOf(recipe: Parameters<typeof buildLarge>[0]): Job {
  const { kernel, regime } = buildLarge(recipe)
  const symbols = foldSymbols(recipe)
  const { loops, schedule: chosen } = compileKernel(kernel, target, { verify: true })
  const memories = kernelMemories(kernel, recipe.seed)
  if (regime === "exact") for (const m of memories.values()) scaled(m, [1, 64, 1 / 64][recipe.seed % 3]!)
  const effect = effectOf(kernel, memories, symbols, regime)
  if (inHalves(loops))
    for (const bounds of effect.bounds?.values() ?? []) for (const [i, b] of bounds.entries()) bounds[i] = b * coarser
  return { effect, loops, symbols, schedule: chosen }
}

/** The distance of neighbours in f16 to that in f32. */
const coarser = 2 ** 13

/** Beyond 255 a sum is taken in f32: either way it is exact. */
function scaled(memory: Memory, by: number): void {
  if (memory.dtype !== "f32") return
  for (const [i, x] of memory.values.entries()) writeElement(memory, i, x * by)
}

/** Kernels with their loops: the slowest fault takes twelve in the median. */
const pool = poolOf(largeRecipes, 30, (recipe) => ({ ...jobOf(recipe), recipe }))

test(
  "small integers are summed exactly",
  () => {
    let halved = 0
    pool.law("products in f16", ({ effect, loops, symbols, recipe }) => {
      if (inHalves(loops)) halved++
      const wrong = wrongEffect(effect, runLoops(loops, effect.before, symbols, recipe.seed))
      if (wrong !== undefined) throw new LawBroken(`${wrong}\n${printLoop(loops)}`)
    })
    console.log(`${halved} of ${runs(30)} have products in f16`)
    expect(halved).toBeGreaterThanOrEqual(Math.floor(runs(30) / 30))
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
  const kernel = (...body: Statement[]): LoopKernel => storing("bf16", body)
  const storing = (storage: Storage, body: readonly Statement[]): LoopKernel => {
    const declared: Statement = { kind: "let", name: "acc", value: literal(0, "f32"), mutable: true }
    const stored: Statement = { kind: "store", array: "y", offset: n(0), value: vector([acc, acc]) }
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
        { name: "y", dtype: "f32", storage, size: n(2), access: "write" },
      ],
      symbols: [],
      threads: 1,
      groups: 1,
      body: [{ kind: "for", variable: "group", extent: n(1), bind: "grid", body: [lane] }],
    }
  }
  const inner = (k: LoopKernel): readonly string[] => {
    expect(verifyLoop(halveProducts(k))).toEqual([])
    const block = everyStatement(halveProducts(k).body).find((s) => s.kind === "block")
    return block?.kind === "block" ? block.body.flatMap(lines) : []
  }

  const lines = (s: Statement): readonly string[] =>
    s.kind === "if"
      ? [printStatement(s), ...s.body.flatMap(lines), "else", ...s.otherwise.flatMap(lines)]
      : [printStatement(s)]

  test("is summed in f16, and added in f32; again in f32 when f16 cannot hold it", () => {
    const sum = [0, 1, 2, 3]
      .map((i) => `half((half(half_${2 * i}) * half(half_${2 * i + 1})))`)
      .reduce((a, b) => `half((${a} + ${b}))`)
    expect(inner(kernel(...products(4)))).toEqual([
      ...[0, 1, 2, 3].flatMap((i) => [
        `let half_${2 * i}: f32 = half((x[${i}] * 256.0))`,
        `let half_${2 * i + 1}: f32 = half(w[${i}])`,
      ]),
      `let half_8: f32 = ${sum}`,
      "let half_9: u32 = (bits(half_8) & 2147483647)",
      "if (half_9 < 2139095040) {",
      "acc = (acc + (half_8 * 0.00390625))",
      "else",
      ...products(4).map(printStatement),
    ])
  })
  test.each([
    ["ordinary numbers", 0.5, 0.25],
    ["a product beyond f16", 300, 300],
    ["a sum beyond f16", 100, 100],
    ["a factor beyond f16", 70000, 0.001],
    ["0 times a factor beyond f16", 0, 70000],
    ["small factors", 1e-4, 1e-2],
    ["an infinity", Number.POSITIVE_INFINITY, 1],
    ["0 times an infinity", 0, Number.POSITIVE_INFINITY],
  ])("holds %s", (_, x, w) => {
    const memories = new Map([
      ["x", memoryOf("f32", Array(16).fill(x))],
      ["w", memoryOf("bf16", Array(16).fill(w))],
      ["y", memoryOf("bf16", [0, 0])],
    ])
    const results = [kernel(...products(8)), halveProducts(kernel(...products(8)))].map((loops) => {
      interpretLoop(loops, memories, new Map())
      return memories.get("y")!.values[0]!
    })
    const [expected, found] = results as [number, number]
    if (Number.isFinite(expected)) expect(Math.abs(found - expected)).toBeLessThanOrEqual(2 ** -7 * Math.abs(expected))
    else expect(found).toBe(expected)
  })
  test("law: special values become what they become in f32, and small ones lose no more than the header says", () => {
    const special = [0, -0, 1, -1, 255, 300, -300, 65504, 65520, 70000, -70000, 3e38, -3e38, NaN, Infinity, -Infinity]
    const small = [1e-45, 1e-38, 2 ** -34, 2 ** -33, -(2 ** -25), 2 ** -24, 2 ** -22, 2 ** -14, 6e-5]
    const value = fc.constantFrom(...special, ...small)
    const row = fc.array(value, { minLength: 8, maxLength: 8 })
    law("special values in f16", fc.record({ x: row, w: row }), 1000, ({ x, w }) => {
      const memories = new Map([
        ["x", memoryOf("f32", [...x, ...Array(8).fill(0)])],
        ["w", memoryOf("bf16", [...w, ...Array(8).fill(0)])],
        ["y", memoryOf("bf16", [0, 0])],
      ])
      const weights = [...memories.get("w")!.values]
      const results = [kernel(...products(8)), halveProducts(kernel(...products(8)))].map((loops) => {
        interpretLoop(loops, memories, new Map())
        return memories.get("y")!.values[0]!
      })
      const [expected, found] = results as [number, number]
      if (!Number.isFinite(expected)) {
        if (!Object.is(found, expected)) throw new Error(`${found} in the place of ${expected}`)
        return
      }
      // Eleven bits of each factor, product and sum, and half of the least f16 where they have fewer.
      const lost = ([a, b]: readonly [number, number]) =>
        3 * 2 ** -11 * Math.abs(a * b) + (Math.abs(a) + 2 ** -8) * 2 ** -25 + Math.abs(b) * 2 ** -33 + 2 ** -33
      const size = x.reduce((n, a, i) => n + Math.abs(a * weights[i]!), 0)
      const bound =
        x.reduce((n, a, i) => n + lost([a, weights[i]!]), 0) + 8 * 2 ** -11 * size + 2 ** -7 * Math.abs(expected)
      if (!(Math.abs(found - expected) <= bound))
        throw new Error(`${found} in the place of ${expected}, bound ${bound}`)
    })
  })
  test("of more than eight is several sums", () => {
    expect(
      inner(kernel(...products(12)))
        .join("\n")
        .match(/acc = .acc \+ .half/g),
    ).toHaveLength(2)
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
  test("stays as it is where a result is kept in f32", () => {
    expect(inner(storing("f32", products(8)))).toEqual(products(8).map(printStatement))
  })

  test("is printed as arithmetic of f16 where there is such", () => {
    const halved = halveProducts(kernel(...products(4)))
    const { source } = wgslKernel(halved, { symbolOrder: [], limits: { ...limits, f16: true } })
    expect(source).toContain("enable f16;")
    expect(source).toMatch(/half_8 = f32\(.*\(f16\(half_0\) \* f16\(half_1\)\) \+ \(f16\(half_2\)/)
    expect(wgslKernel(halved, { symbolOrder: [], limits }).source).not.toMatch(/\bf16\b/)
  })
})

/** What a mistake in `halve` would make. */
const faults: Readonly<Record<string, Rules>> = {
  "a product left out": { expression: (x) => (ofHalf(x, "add") ? apply("half", ofHalf(x, "add")![0]!) : undefined) },
  "a factor not scaled": {
    expression: (x) => (isScale(ofHalf(x, "mul")?.[1]) ? apply("half", ofHalf(x, "mul")![0]!) : undefined),
  },
  "a sum not scaled back": {
    statement: (s) => {
      if (s.kind !== "assign" || s.value.kind !== "operation" || s.value.operation !== "add") return undefined
      const [acc, sum] = s.value.args as [Expression, Expression]
      const scaled = sum.kind === "operation" && sum.operation === "mul" && isSum(sum.args[0]!)
      return scaled ? [{ ...s, value: add(acc, sum.args[0]!) }] : undefined
    },
  },
  "what f16 cannot hold not taken again": {
    statement: (s) => (s.kind === "if" && isSum(operandOf(s.condition)) ? s.body : undefined),
  },
}

const operandOf = (x: Expression): Expression => (x.kind === "operation" ? x.args[0]! : x)
const isSum = (x: Expression): boolean => x.kind === "variable" && x.name.startsWith("half_")
const isScale = (x: Expression | undefined): boolean =>
  x?.kind === "splat" ? isScale(x.of) : x?.kind === "literal" && x.value === 256
/** The operands of half(… name …). */
function ofHalf(x: Expression, name: Operation): readonly Expression[] | undefined {
  const inner = x.kind === "operation" && x.operation === "half" ? x.args[0]! : undefined
  return inner?.kind === "operation" && inner.operation === name ? inner.args : undefined
}

test.each(Object.entries(faults))("planted: %s", (name, rules) =>
  pool.hunt("products in f16", name, ({ effect, loops, symbols }, n) => {
    const changed = inHalves(loops) ? changeLoops(loops, rules, 0) : undefined
    if (changed === undefined) return undefined
    if (!isWrong(effect, changed, symbols, n)) return false
    expect(isWrong(effect, loops, symbols, n)).toBe(false)
    return true
  }),
)

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
        // A software adapter takes seconds for a long one.
        const length = (job: Job) => printLoop(job.loops).length
        const some = [...jobs].sort((a, b) => length(a) - length(b)).slice(0, runs(1))
        expect(some.length).toBeGreaterThan(0)
        const wrong = (await runJobs(device!, some, emit)).filter((p) => p !== undefined)
        expect(wrong).toEqual([])
      })
    },
    2 * patience,
  )
})
