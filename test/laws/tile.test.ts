/** tile, clean and invariants: loops store what their kernel stores, under any schedule that is not refused. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { buildProgram, recipes, rootsOf } from "./generate.js"
import { cutLimits } from "./limits.js"
import { checkTiling } from "./meaning.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience } from "./settings.js"

const cases = fc.record({ recipe: recipes(), cuts: cutLimits, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const outcomes = new Map<string, number>()

const check = ({ recipe, cuts, schedule }: Case) =>
  withTable(() => {
    for (const code of checkTiling(buildProgram(recipe), cuts, (k, turn) => drawSchedule(k, schedule, turn)))
      outcomes.set(code ?? "tiled", (outcomes.get(code ?? "tiled") ?? 0) + 1)
  })

const describe = ({ recipe }: Case): string =>
  withTable(() => {
    const p = buildProgram(recipe)
    return `${printTensor(rootsOf(p))}\n${JSON.stringify([...p.values])}`
  })

test(
  "loops store what their kernel stores",
  () => {
    law("tile", cases, 500, check, describe)
    const all = [...outcomes.values()].reduce((a, b) => a + b, 0)
    console.log(`${all} schedules: ${JSON.stringify([...outcomes])}`)
    expect((outcomes.get("tiled") ?? 0) / all).toBeGreaterThan(0.7)
  },
  patience,
)
