import { expect, test } from "vitest"
import { writeElement } from "../../compiler/interpret/memory.js"
import { apply, literal, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { cudaTarget, targetFor } from "../../compiler/targets/target.js"
import { buildContraction, type ContractionRecipe, contractionMemories, contractionRecipes } from "./fragments.js"
import { drawsOf, huntChanges } from "./hunt.js"
import { early, effectOf, isWrong, loopsOf, runLoops, wrongEffect } from "./loops.js"
import type { Change } from "./mutate.js"
import { product } from "./product.js"
import { law, patience, runs } from "./settings.js"

const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
const options = { maxGroups: 65536, sharedBytes: 1 << 20 }

function check(recipe: ContractionRecipe): void {
  withTable(() => {
    const made = buildContraction(recipe)
    const { kernel, schedule, traits } = made
    expect(verifyKernel(kernel)).toEqual([])
    const symbols = new Map([["seq", recipe.seq]])
    const effect = effectOf(kernel, contractionMemories(made, recipe.seed), symbols, "exact")
    const loops = loopsOf(kernel, { schedule, options })
    if (typeof loops === "string") {
      count(`refused ${loops}`)
      return
    }
    count("tiled")
    for (const trait of traits) count(trait)
    for (const made of [loops.tiled, early(loops.merged)]) {
      expect(verifyLoop(made)).toEqual([])
      expect(wrongEffect(effect, runLoops(made, effect.before, symbols, recipe.seed))).toBeUndefined()
    }
    const all = everyStatement(loops.tiled.body)
    if (all.some((s) => s.kind === "copy")) count("copies")
    if (all.some((s) => s.kind === "copyBoxes")) count("boxes")
    if (all.some((s) => s.kind === "copy" && s.valid !== undefined)) count("copies up to an end")
  })
}

const describe = (recipe: ContractionRecipe): string =>
  withTable(() => {
    const { kernel, schedule } = buildContraction(recipe)
    return `${printKernel(kernel)}\n${JSON.stringify(schedule)}\nseq ${recipe.seq}`
  })

test(
  "contractions under the schedules that rules choose for matrix units store what the kernels store",
  () => {
    let byUnits = 0
    const holds = (recipe: ContractionRecipe) =>
      withTable(() => {
        const made = buildContraction(recipe)
        const { schedule, tile } = targetFor("cuda", { subgroupSize: 32, capability: 90 }, "fast")
        const found = firstPossible(made.kernel, schedule, tile)
        if ("code" in found) throw new Error(found.why)
        if (found.schedule.stores.some((s) => s.atom !== undefined)) byUnits++
        const symbols = new Map([["seq", recipe.seq]])
        const effect = effectOf(made.kernel, contractionMemories(made, recipe.seed), symbols, "exact")
        const { loopPasses } = cudaTarget
        const loops = loopPasses.reduce((before, pass) => pass.run(before), found.tiled)
        expect(wrongEffect(effect, runLoops(loops, effect.before, symbols, recipe.seed))).toBeUndefined()
      })
    law("chosen for matrix units", contractionRecipes, 10, holds, describe)
    // About a third are large enough.
    if (runs(10) >= 30) expect(byUnits).toBeGreaterThan(0)
  },
  patience,
)

test.each([
  ["mma.m16n8k16.bf16", 8250],
  ["wgmma.m64n64k16.bf16", 4170],
])(
  "chains of more than 4,096 products are added up outside of the fragments of %s",
  (name, k) =>
    withTable(() => {
      const { kernel, schedule } = product(name, { m: 3, n: 5, k, storage: "bf16", chunk: 64 })
      const loops = loopsOf(kernel, { schedule, options })
      if (typeof loops === "string") throw new Error(loops)
      expect(everyStatement(loops.tiled.body).some((s) => s.kind === "alloc" && s.aside === true)).toBe(true)
      const made = { kernel, schedule, wide: new Set<string>(), traits: [] }
      const effect = effectOf(kernel, contractionMemories(made, 1), new Map(), "exact")
      expect(wrongEffect(effect, runLoops(loops.tiled, effect.before, new Map(), 1))).toBeUndefined()
    }),
  patience,
)

test.each(["mma.m16n8k16.bf16", "wgmma.m64n64k16.bf16"])("what is infinite has no second term of %s", (name) =>
  withTable(() => {
    const { kernel, schedule } = product(name, { m: 3, n: 4, k: 20, storage: "f32", chunk: 32 })
    const loops = loopsOf(kernel, { schedule, options })
    if (typeof loops === "string") throw new Error(loops)
    const made = { kernel, schedule, wide: new Set(["x"]), traits: [] }
    const memories = contractionMemories(made, 1)
    const special = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]
    for (const [row, value] of special.entries()) writeElement(memories.get("x")!, row * 24 + 7, value)
    for (let i = 0; i < 4; i++) writeElement(memories.get("w")!, i * 24 + 7, [3, -2, 0, 1][i]!)
    const effect = effectOf(kernel, memories, new Map(), "exact")
    const [up, down, none] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]
    expect([...effect.after.get("y")!.values]).toEqual([
      up,
      down,
      none,
      up,
      down,
      up,
      none,
      down,
      none,
      none,
      none,
      none,
    ])
    expect(wrongEffect(effect, runLoops(loops.tiled, effect.before, new Map(), 1))).toBeUndefined()
  }),
)

/** What may go wrong: a statement as it should not be, or none in its place. */
const faults: Readonly<Record<string, Change>> = {
  "a wait too few": (s) => (s.kind === "wait" ? undefined : s),
  "a barrier too few": (s) => (s.kind === "barrier" ? undefined : s),
  "no zeros beyond the end": (s) => (s.kind === "copy" ? { ...s, valid: literal(1, "bool") } : s),
  "a fragment the other way round": (s) => (s.kind === "fill" ? { ...s, transposed: !s.transposed } : s),
  "the next fragment in the wrong place": (s) => (s.kind === "fill" && s.count > 1 ? { ...s, step: s.step * 2 } : s),
  "a piece in the wrong place": (s) =>
    s.kind === "copy" ? { ...s, to: { ...s.to, offset: apply("bitxor", s.to.offset, literal(8)) } } : s,
  "one product for another": (s) => (s.kind === "multiply" ? { ...s, c: { ...s.c, offset: literal(0) } } : s),
}

test(
  "planted faults are found",
  () => {
    const tried = (recipe: ContractionRecipe) => {
      const made = buildContraction(recipe)
      const loops = loopsOf(made.kernel, { schedule: made.schedule, options })
      // Large groups are interpreted slowly.
      if (typeof loops === "string" || made.traits.includes("asynchronous")) return undefined
      const symbols = new Map([["seq", recipe.seq]])
      const effect = effectOf(made.kernel, contractionMemories(made, recipe.seed), symbols, "exact")
      return { loops: loops.tiled, isWrong: (faulty: LoopKernel) => isWrong(effect, faulty, symbols, recipe.seed) }
    }
    huntChanges("matrix units", faults, drawsOf(contractionRecipes), tried)
  },
  patience,
)

test(
  "contractions by matrix units store what the kernels store",
  () => {
    law("fragments", contractionRecipes, 25, check, describe)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    // Each is in a quarter of the programs at least.
    for (const name of ["nested", "batch", "computed", "copies", "copies up to an end"])
      if (runs(25) >= 50) expect(counts.get(name) ?? 0, name).toBeGreaterThan(0)
  },
  patience,
)
