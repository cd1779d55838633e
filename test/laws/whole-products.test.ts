/**
 * Products by matrix units of which all bits count, as `exact` asks for them: three terms of an f32 and a half, added as NVIDIA's units add.
 *
 * Random contractions are held to what other sums of f32 are held to; deep ones to the same, though a loop of as many elements may lose more.
 */
import { expect, test } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { type Adder, adders, addProducts } from "../../compiler/interpret/units.js"
import { withTable } from "../../compiler/ir/expression.js"
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement, readsOf, withBodies } from "../../compiler/ir/loop-visit.js"
import type { Terms } from "../../compiler/ir/machine.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { generator } from "../targets/wasm-support.js"
import { poisoned } from "./execute.js"
import { buildContraction, type ContractionRecipe, contractionRecipes } from "./fragments.js"
import { copied, type Effect, effectOf, loopsOf, wrongEffect } from "./loops.js"
import { product } from "./product.js"
import { law, long, patience, runs } from "./settings.js"

const options = (atomTerms: Terms) => ({ maxGroups: 65536, sharedBytes: 1 << 20, atomTerms })
const units = Object.values(adders)
const small = "mma.m16n8k16.bf16"

/** Numbers with all bits; positive ones add up without cancelling anything. */
function memoriesOf(kernel: Kernel, seed: number, positive: boolean): Map<string, Memory> {
  const stored = written(kernel)
  return new Map(
    kernel.buffers.map((b, i) => {
      if (stored.has(b.name)) return [b.name, poisoned(b)] as const
      const memory = allocateBuffer(
        b.dtype,
        b.storage,
        b.shape.reduce((n, x) => n * x, 1),
      )
      const random = generator(seed + 31 * i)
      for (let j = 0; j < memory.size; j++) writeElement(memory, j, positive ? random() : random() - random())
      return [b.name, memory] as const
    }),
  )
}

function wrongBy(effect: Effect, loops: LoopKernel, symbols: ReadonlyMap<string, number>, adder: Adder) {
  const memories = copied(effect.before)
  interpretLoop(loops, memories, symbols, { adder })
  return wrongEffect(effect, memories)
}

const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)

const describe = (recipe: ContractionRecipe): string =>
  withTable(() => {
    const { kernel, schedule } = buildContraction(recipe)
    return `${printKernel(kernel)}\n${JSON.stringify(schedule)}\nseq ${recipe.seq}`
  })

test(
  "contractions of which all bits count are as near as other sums of f32",
  () => {
    const holds = (recipe: ContractionRecipe) =>
      withTable(() => {
        const { kernel, schedule } = buildContraction(recipe)
        const loops = loopsOf(kernel, { schedule, options: options(3) })
        if (typeof loops === "string") return count(loops)
        const symbols = new Map([["seq", recipe.seq]])
        const memories = memoriesOf(kernel, recipe.seed, recipe.seed % 2 === 0)
        const effect = effectOf(kernel, memories, symbols, "analytic")
        for (const adder of units) expect(wrongBy(effect, loops.tiled, symbols, adder)).toBeUndefined()
        return count("tiled")
      })
    law("whole products", contractionRecipes, 10, (recipe) => void holds(recipe), describe)
    console.log(JSON.stringify(Object.fromEntries(counts)))
    if (runs(10) >= 10) expect(counts.get("tiled") ?? 0).toBeGreaterThan(0)
  },
  patience,
)

/** The loops of a product of `k` elements, and what is wrong with what they store. */
function deep(name: string, k: number, terms: Terms, adder: Adder, change = (loops: LoopKernel) => loops) {
  return withTable(() => {
    const { kernel, schedule } = product(name, { m: 2, n: 4, k, storage: "f32", chunk: 64 })
    const loops = loopsOf(kernel, { schedule, options: options(terms) })
    if (typeof loops === "string") return loops
    expect(everyStatement(loops.tiled.body).filter((s) => s.kind === "multiply")).toHaveLength(terms)
    // As sums of as many elements are held to elsewhere.
    const folded = k > 1024 ? k : 1
    const effect = { ...effectOf(kernel, memoriesOf(kernel, k, true), new Map(), "analytic"), folded }
    return wrongBy(effect, change(loops.tiled), new Map(), adder)
  })
}

/** The larger one is interpreted slowly. */
const depths = long ? [64, 128, 640, 1024, 2048, 4096] : undefined

test.each([
  [small, depths ?? [640]],
  ["wgmma.m64n64k16.bf16", depths ?? [192]],
] as const)(
  "sums of positive numbers keep their bits in %s, however many there are",
  (name, depths) => {
    for (const k of depths) for (const adder of units) expect(deep(name, k, 3, adder), `${k}`).toBeUndefined()
  },
  patience,
)

test("sums of more elements than one loop may have are merged by pairs", () => {
  // Runs of 512: eight and a rest, then each bit of their number once.
  for (const k of long ? [4160, 5632, 7680, 12288] : [4160]) {
    expect(deep(small, k, 3, adders[80]), `${k}`).toBeUndefined()
    expect(deep(small, k, 3, adders[80], lastOnly), `${k}`).toMatch(/^y/)
  }
})

/** Nothing that is kept is added in the end. */
const lastOnly = (loops: LoopKernel): LoopKernel => {
  const visit = (body: readonly Statement[]): readonly Statement[] => {
    const at = body.findIndex((s) => s.kind === "for" && s.bind === "serial")
    const kept = at < 0 ? body : body.filter((s, i) => i <= at || !readsKept([s]))
    return kept.map((s) => withBodies(s, visit))
  }
  return { ...loops, body: visit(loops.body) }
}

const readsKept = (body: readonly Statement[]) =>
  everyStatement(body).some((s) => [...readsOf(s)].some((array) => array.startsWith("aside")))

/** The loops over steps of each term the other way round. */
function largestFirst(loops: LoopKernel): LoopKernel {
  const isProduct = (s: Statement) => s.kind === "for" && everyStatement([s]).some((x) => x.kind === "multiply")
  const visit = (body: readonly Statement[]): readonly Statement[] => {
    const products = body.filter(isProduct)
    if (products.length < 2) return body.map((s) => withBodies(s, visit))
    const reversed = [...products].reverse()
    return body.map((s) => (isProduct(s) ? reversed[products.indexOf(s)]! : s))
  }
  return { ...loops, body: visit(loops.body) }
}

test("two terms, and the largest terms first, would be seen", () => {
  expect(deep(small, 640, 2, adders[80])).toMatch(/^y/)
  expect(deep(small, 640, 3, adders[80], largestFirst)).toMatch(/^y/)
})

test("units cut what they add to the bits of the largest, and the sum to 24", () => {
  const sum = (adder: Adder, c: number, ...a: number[]) => {
    const ones = new Float64Array(16).fill(1)
    return addProducts(
      adder,
      c,
      Float64Array.from({ ...a, length: 16 }, (x) => x ?? 0),
      0,
      ones,
      0,
      1,
      16,
    )
  }
  const [older, newer] = [adders[80], adders[90]]
  const small = 2 ** -25
  // Fifteen that are each below half of the last bit: together they are several of it, where they are kept.
  expect(sum(newer, 0, 1, ...Array(15).fill(small))).toBe(1 + 3 * 2 ** -23)
  expect(sum(older, 0, 1, ...Array(15).fill(small))).toBe(1)
  expect(sum(newer, 0, 1, ...Array(15).fill(small / 2))).toBe(1)
  // Neither is rounded, up or away from zero.
  expect(sum(newer, -1, ...Array(3).fill(-small))).toBe(-1)
  // Eight at a time: what the first ones have added up is the largest of the next.
  const half = [...Array(8).fill(2 ** -24), 1]
  expect(sum(older, 0, ...half)).toBe(1 + 4 * 2 ** -23)
  expect(sum(newer, Number.POSITIVE_INFINITY, -1)).toBe(Number.POSITIVE_INFINITY)
  expect(sum(newer, 3e38, 3e38)).toBe(Number.POSITIVE_INFINITY)
})
