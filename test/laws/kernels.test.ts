/** Random kernels: well formed, and their loops store what they store under any schedule that is not refused. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { printKernel } from "../../compiler/ir/kernel-print.js"
import { verifyKernel } from "../../compiler/ir/kernel-verify.js"
import { canonical } from "../../compiler/passes/canonical.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildKernel, type KernelRecipe, kernelRecipes } from "./kernels.js"
import { checkLoops, effectOf } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience } from "./settings.js"

const cases = fc.record({ recipe: kernelRecipes, schedule: scheduleNumbers, canonical: fc.boolean() })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const refusals = new Map<string, number>()
let tiled = 0

const made = ({ recipe, canonical: renamed }: Case): Kernel =>
  renamed ? canonical(buildKernel(recipe)).kernel : buildKernel(recipe)

function check(c: Case): void {
  withTable(() => {
    const kernel = made(c)
    expect(verifyKernel(kernel)).toEqual([])
    const symbols = new Map([["seq", c.recipe.seq]])
    const effect = effectOf(kernel, kernelMemories(kernel, c.recipe.seed), symbols, "exact")
    const refusal = checkLoops(effect, drawSchedule(kernel, c.schedule), symbols, c.recipe.seed)
    if (refusal === undefined) tiled++
    else refusals.set(refusal, (refusals.get(refusal) ?? 0) + 1)
  })
}

const describe = (c: Case): string =>
  withTable(() => `${printKernel(made(c))}\nseq = ${(c.recipe satisfies KernelRecipe).seq}`)

test(
  "loops of random kernels store what the kernels store",
  () => {
    law("kernels", cases, 600, check, describe)
    console.log(`tiled ${tiled}, refused ${JSON.stringify([...refusals])}`)
  },
  patience,
)
