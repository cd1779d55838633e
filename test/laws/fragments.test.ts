/** Random contractions by matrix units, under random schedules: their loops store what the kernels store. */
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { buildContraction, type ContractionRecipe, contractionMemories, contractionRecipes } from "./fragments.js"
import { checkLoops, effectOf, loopsOf } from "./loops.js"
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
    const refusal = checkLoops(effect, { schedule, options }, symbols, recipe.seed)
    if (refusal !== undefined) {
      count(`refused ${refusal}`)
      return
    }
    count("tiled")
    for (const trait of traits) count(trait)
    const loops = loopsOf(kernel, { schedule, options })
    if (typeof loops === "string") return
    const all = everyStatement(loops.tiled.body)
    if (all.some((s) => s.kind === "copy")) count("copies")
    if (all.some((s) => s.kind === "copy" && s.valid !== undefined)) count("copies up to an end")
  })
}

const describe = (recipe: ContractionRecipe): string =>
  withTable(() => {
    const { kernel, schedule } = buildContraction(recipe)
    return `${printKernel(kernel)}\n${JSON.stringify(schedule)}\nseq ${recipe.seq}`
  })

test(
  "contractions by matrix units store what the kernels store",
  () => {
    law("fragments", contractionRecipes, 150, check, describe)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    const least = Math.min(runs(150), 150) / 75
    const traits = ["nested", "batch", "computed", "two terms", "residual", "bias", "two folds", "row factor"]
    for (const name of [...traits, "copies", "copies up to an end"])
      expect(counts.get(name) ?? 0, name).toBeGreaterThanOrEqual(least)
  },
  patience,
)
