/** tile and clean: loops store what their kernel stores, under any schedule that is not refused. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printKernel } from "../../compiler/ir/kernel-print.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { execute, fuseProgram } from "./execute.js"
import { buildProgram, recipes, rootsOf } from "./generate.js"
import { cutLimits } from "./limits.js"
import { checkLoops, effectOf, LawBroken } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law } from "./settings.js"

const cases = fc.record({ recipe: recipes(), cuts: cutLimits, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const refusals = new Map<string, number>()
let tiled = 0

function check({ recipe, cuts, schedule }: Case): void {
  withTable(() => {
    const p = buildProgram(recipe)
    let turn = 0
    execute(fuseProgram(p, cuts), p, (kernel, buffers) => {
      const effect = effectOf(kernel, buffers, p.values, p.regime)
      const scheduled = drawSchedule(kernel, schedule, turn++)
      try {
        const refusal = checkLoops(effect, scheduled, p.values, recipe.seed)
        if (refusal === undefined) tiled++
        else refusals.set(refusal, (refusals.get(refusal) ?? 0) + 1)
      } catch (e) {
        if (!(e instanceof Error)) throw e
        throw new LawBroken(`${printKernel(kernel)}\n${e.message}`, { cause: e })
      }
    })
  })
}

const describe = ({ recipe }: Case): string =>
  withTable(() => {
    const p = buildProgram(recipe)
    return [printTensor(rootsOf(p)), JSON.stringify([...p.values])].join("\n")
  })

test("loops store what their kernel stores", () => {
  law("tile", cases, 500, check, describe)
  const refused = [...refusals.values()].reduce((a, b) => a + b, 0)
  console.log(`tiled ${tiled}, refused ${refused}: ${JSON.stringify([...refusals])}`)
  expect(refused).toBeLessThan(0.3 * (tiled + refused))
})
