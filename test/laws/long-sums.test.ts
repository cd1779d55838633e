/**
 * Sums over thousands of elements: under the compiler's own schedules, and under random ones, their error is at most
 * (8 + log2 n) · 2^-24 · Σ|x|, whatever is added.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { type Target, targetFor, wasmTarget } from "../../compiler/targets/target.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"
import { buildLong, type LongRecipe, longMemories, longRecipes } from "./long-sums.js"
import { checkLoops, type Effect, effectOf, isWrong, LawBroken, runLoops, wrongEffect } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience } from "./settings.js"

const hardware: Target = targetFor("webgpu", { subgroupSize: 32, workgroupBytes: 49152 })
const targets: Readonly<Record<string, Target>> = { wasm: wasmTarget, software: targetFor("webgpu"), hardware }

const counts = new Map<string, number>()

function effect(recipe: LongRecipe): { readonly effect: Effect; readonly symbols: ReadonlyMap<string, number> } {
  const { kernel, symbols, folded } = buildLong(recipe)
  return { effect: { ...effectOf(kernel, longMemories(kernel, recipe), symbols, "analytic"), folded }, symbols }
}

function checkTargets(recipe: LongRecipe): void {
  withTable(() => {
    const { effect: of, symbols } = effect(recipe)
    for (const [name, target] of Object.entries(targets)) {
      const schedule = chooseSchedule(of.kernel, target.schedule)
      const tiled = tile(of.kernel, schedule, target.tile)
      if (isRefusal(tiled)) throw new LawBroken(`${name} refuses: ${tiled.why}`)
      const wrong = wrongEffect(of, runLoops(tiled, of.before, symbols, recipe.seed))
      if (wrong !== undefined) throw new LawBroken(`${name}: ${wrong}`)
    }
  })
}

const describe = (recipe: LongRecipe): string => withTable(() => printKernel(buildLong(recipe).kernel))

test(
  "long sums keep their digits under the compiler's schedules",
  () => law("long sums", longRecipes(13.5), 5, checkTargets, describe),
  patience,
)

const drawn = fc.record({ recipe: longRecipes(13), schedule: scheduleNumbers })

test(
  "and under random ones",
  () => {
    law(
      "long sums, random schedules",
      drawn,
      12,
      ({ recipe, schedule }) =>
        withTable(() => {
          const { effect: of, symbols } = effect(recipe)
          const refusal = checkLoops(of, drawSchedule(of.kernel, schedule, 0, 30), symbols, recipe.seed) ?? "tiled"
          counts.set(refusal, (counts.get(refusal) ?? 0) + 1)
        }),
      ({ recipe }) => describe(recipe),
    )
    console.log(JSON.stringify([...counts]))
    expect(counts.get("tiled") ?? 0).toBeGreaterThan(0)
  },
  patience,
)

test.each(["sum", "dot", "exp", "moments"] as const)("the error of one loop over a long %s would be seen", (shape) => {
  withTable(() => {
    // As many elements as one loop may have; of one more there are runs.
    for (const [count, wrong] of [
      [4096, true],
      [4097, false],
    ] as const) {
      const recipe: LongRecipe = { shape, content: "constant", count, rows: 1, open: false, seed: 1 }
      const { effect: of, symbols } = effect(recipe)
      const made = tile(of.kernel, { threads: 1, stores: [{ tile: {}, reduce: {} }], locals: {} }, wasmTarget.tile)
      if (isRefusal(made)) throw new Error(made.why)
      // Deviations of equal numbers are nothing but rounding.
      expect(isWrong(of, made, symbols, 1)).toBe(wrong && shape !== "moments")
    }
  })
})
