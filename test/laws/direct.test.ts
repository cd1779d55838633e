import { expect, test } from "vitest"
import { apply, literal, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { cudaTarget, targetFor } from "../../compiler/targets/target.js"
import { type FormatShape, formatMemories, formatProduct } from "../support/format-products.js"
import { buildDirect, type DirectProduct, type DirectRecipe, directRecipes } from "./direct.js"
import { drawsOf, huntChanges } from "./hunt.js"
import { early, effectOf, isWrong, loopsOf, runLoops, wrongEffect } from "./loops.js"
import type { Change } from "./mutate.js"
import { law, patience, runs } from "./settings.js"

const options = { maxGroups: 65536, sharedBytes: 1 << 20 }
const symbols = new Map<string, number>()
const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)

const describe = (recipe: DirectRecipe): string =>
  withTable(() => {
    const { kernel, schedule } = buildDirect(recipe)
    return `${printKernel(kernel)}\n${JSON.stringify(schedule)}`
  })

const effectsOf = ({ kernel, shape }: DirectProduct, seed: number) =>
  effectOf(kernel, formatMemories(kernel, shape, seed), symbols, "exact")

const isWeight = (name: string) => name !== "x"

/** Whether what lanes read is brought to them. */
const brings = ({ body }: LoopKernel) => everyStatement(body).some((s) => s.kind === "copy")

function check(recipe: DirectRecipe): void {
  withTable(() => {
    const made = buildDirect(recipe)
    expect(verifyKernel(made.kernel)).toEqual([])
    const loops = loopsOf(made.kernel, { schedule: made.schedule, options })
    if (typeof loops === "string") {
      count(`refused ${loops}`)
      return
    }
    count(made.shape.format)
    const effect = effectsOf(made, recipe.seed)
    const brought = early(loops.merged, isWeight)
    if (brings(brought)) count((made.shape.beside ?? 0) > 0 ? "brought to two stores" : "brought")
    for (const each of [loops.tiled, brought]) {
      expect(verifyLoop(each)).toEqual([])
      expect(wrongEffect(effect, runLoops(each, effect.before, symbols, recipe.seed))).toBeUndefined()
    }
  })
}

test(
  "few rows with weights straight into fragments store what the kernels store",
  () => {
    law("direct", directRecipes, 15, check, describe)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    if (runs(15) >= 60)
      for (const name of ["q4_k", "q4_k-across", "brought", "brought to two stores"])
        expect(counts.get(name) ?? 0, name).toBeGreaterThan(0)
  },
  patience,
)

/** What may go wrong: a statement as it should not be, or none in its place. */
const faults: Readonly<Record<string, Change>> = {
  "a barrier too few": (s) => (s.kind === "barrier" ? undefined : s),
  "one product for another": (s) => (s.kind === "multiply" ? { ...s, c: { ...s.c, offset: literal(0) } } : s),
  "products that go on where they begin": (s) => {
    if (s.kind !== "multiply" || s.fresh !== true) return s
    const { fresh, ...rest } = s
    return rest
  },
  "the row of another lane": (s) =>
    s.kind === "let" && s.name.startsWith("line")
      ? { ...s, value: apply("floormod", apply("add", s.value, literal(1)), literal(8)) }
      : s,
  "the stretch of another lane": (s) =>
    s.kind === "let" && s.name.startsWith("own")
      ? { ...s, value: s.value.dtype === "i32" ? apply("bitxor", s.value, literal(1)) : s.value }
      : s,
  "what lanes have not added up": (s) => (s.kind === "shuffle" && s.mask === 2 ? { ...s, mask: 4 } : s),
}

test(
  "planted faults are found",
  () => {
    const tried = (recipe: DirectRecipe) => {
      const made = buildDirect(recipe)
      const loops = loopsOf(made.kernel, { schedule: made.schedule, options })
      if (typeof loops === "string") return undefined
      const effect = effectsOf(made, recipe.seed)
      return { loops: loops.tiled, isWrong: (faulty: LoopKernel) => isWrong(effect, faulty, symbols, recipe.seed) }
    }
    huntChanges("direct", faults, drawsOf(directRecipes), tried)
  },
  patience,
)

/** What may go wrong with what is brought a turn ahead. */
const faultsAhead: Readonly<Record<string, Change>> = {
  "a wait too short": (s) => (s.kind === "wait" ? { ...s, groups: s.groups + 1 } : s),
  "no wait": (s) => (s.kind === "wait" ? undefined : s),
  "the place of the turn that follows": (s) => (s.kind === "assign" && s.name.startsWith("place") ? undefined : s),
  "the same cell for ever": (s) =>
    s.kind === "let" && s.name.startsWith("next") && s.value.kind === "operation"
      ? { ...s, value: s.value.args[2]! }
      : s,
  "a word of a neighbour": (s) =>
    s.kind === "copy" ? { ...s, to: { ...s.to, offset: apply("bitxor", s.to.offset, literal(4)) } } : s,
  "one stream for another": (s) => (s.kind === "copy" ? { ...s, from: { ...s.from, offset: literal(0) } } : s),
}

test(
  "planted faults of what is brought ahead are found",
  () => {
    const tried = (recipe: DirectRecipe) => {
      const made = buildDirect(recipe)
      const loops = loopsOf(made.kernel, { schedule: made.schedule, options })
      const brought = typeof loops === "string" ? undefined : early(loops.merged, isWeight)
      if (brought === undefined || !brings(brought)) return undefined
      const effect = effectsOf(made, recipe.seed)
      return { loops: brought, isWrong: (faulty: LoopKernel) => isWrong(effect, faulty, symbols, recipe.seed) }
    }
    huntChanges("direct, brought ahead", faultsAhead, drawsOf(directRecipes), tried)
  },
  patience,
)

/** What the rules choose for a product on CUDA. */
const chosen = (shape: FormatShape) => {
  const { schedule, tile } = targetFor("cuda", { subgroupSize: 32, capability: 90 }, "fast")
  const kernel = formatProduct(shape)
  const found = firstPossible(kernel, schedule, tile)
  if ("code" in found) throw new Error(found.why)
  return { kernel, ...found }
}

test.each([
  [{ format: "q4_k-across", rows: 1, out: 4096, depth: [4096] }, { chunk: 128, innerUnroll: 4 }, undefined],
  [{ format: "q4_k-across", rows: 1, out: 4096, depth: [12288] }, { chunk: 128, innerUnroll: 2 }, undefined],
  [{ format: "q4_k-across", rows: 1, out: 12288, depth: [4096], folds: 2 }, { chunk: 128 }, 264],
  [{ format: "q4_k-across", rows: 1, out: 151936, depth: [4096] }, { chunk: 128, innerUnroll: 2 }, 264],
  [{ format: "q8_0-across", rows: 1, out: 4096, depth: [4096] }, { chunk: 64, innerUnroll: 4 }, undefined],
  // Several rows: blocks of more weights, and the rows turn by turn where memory does not hold them.
  [{ format: "q4_k-across", rows: 4, out: 4096, depth: [4096] }, { chunk: 128, innerUnroll: 4 }, undefined],
  [
    { format: "q4_k-across", rows: 16, out: 4096, depth: [12288] },
    { chunk: 128, innerUnroll: 2, stages: 2 },
    undefined,
  ],
  [
    { format: "q8_0-across", rows: 16, out: 12288, depth: [4096], folds: 2 },
    { chunk: 64, innerUnroll: 2, stages: 4 },
    undefined,
  ],
  [{ format: "q4_k-across", rows: 16, out: 2048, depth: [4096], x: "f32" }, { chunk: 128, stages: 1 }, undefined],
] as const)("weights of %j go straight into fragments", (shape, reduce, workgroups) =>
  withTable(() => {
    const { schedule } = chosen(shape)
    const [store] = schedule.stores
    expect(store!.atom).toEqual({ name: "mma.m16n8k16.bf16", rows: "o", direct: true })
    expect(store!.reduce).toEqual({ k0: reduce })
    expect(schedule.workgroups).toBe(workgroups)
  }),
)

/** Loops as they are launched, where all that a kernel only reads is steady but the few rows. */
const launched = (shape: FormatShape): LoopKernel => {
  const target = targetFor("cuda", { subgroupSize: 32, capability: 90 }, "fast")
  const loops = target.loopPasses.reduce<LoopKernel>((before, pass) => pass.run(before), chosen(shape).tiled)
  const isSteady = (b: LoopKernel["buffers"][number]) => b.access === "read" && b.name !== "x"
  const buffers = loops.buffers.map((b) => (isSteady(b) ? { ...b, steady: true as const } : b))
  return target.launchPasses!.reduce<LoopKernel>((before, pass) => pass.run(before), { ...loops, buffers })
}

test.each<readonly [why: string, shape: FormatShape, copies: number]>([
  [
    "four reads, of what comes first and in each turn",
    { format: "q4_k-across", rows: 1, out: 12288, depth: [4096], folds: 2 },
    8,
  ],
  ["the same, by half as many rows", { format: "int4-g128-across", rows: 1, out: 151936, depth: [4096] }, 8],
  ["two thirds of what is read", { format: "q6_k-across", rows: 1, out: 151936, depth: [4096] }, 0],
  ["four fifths of it", { format: "q5_k-across", rows: 1, out: 151936, depth: [4096] }, 0],
  ["eight reads", { format: "q8_0-across", rows: 1, out: 12288, depth: [4096], folds: 2 }, 0],
  ["one turn", { format: "q4_k-across", rows: 1, out: 4096, depth: [4096] }, 0],
])("what lanes read is brought to them a turn ahead where that pays: %s", (_, shape, copies) =>
  withTable(() => {
    const all = everyStatement(launched(shape).body)
    const at = all.flatMap((s, i) => (s.kind === "copy" ? [i] : []))
    expect(at).toHaveLength(copies)
    if (copies === 0) return
    // Half of them while the kernel still waits for earlier launches.
    const await_ = all.findIndex((s) => s.kind === "await")
    expect(at.filter((i) => i < await_)).toHaveLength(copies / 2)
    expect(all.filter((s) => s.kind === "prefetch")).toEqual([])
  }),
)

test.each([
  { format: "q4_k-across", rows: 1, out: 80, depth: [512], scaled: true, x: "f32" },
  { format: "q8_0-across", rows: 11, out: 80, depth: [2, 256], scaled: true, x: "f32" },
] as const)(
  "as the rules have it, %j stores what the kernel stores",
  (shape) =>
    withTable(() => {
      const { kernel, schedule, tiled } = chosen(shape)
      expect(schedule.stores[0]!.atom?.direct).toBe(true)
      const effect = effectOf(kernel, formatMemories(kernel, shape, 3), symbols, "exact")
      const loops = cudaTarget.loopPasses.reduce((before, pass) => pass.run(before), tiled)
      expect(wrongEffect(effect, runLoops(loops, effect.before, symbols, 3))).toBeUndefined()
    }),
  patience,
)
