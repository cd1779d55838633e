/** choices: whatever is picked of them for the kernels of a random program, loops store what their kernel stores. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { choices } from "../../compiler/schedule/choices.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { cudaTarget, targetFor, wasmTarget } from "../../compiler/targets/target.js"
import { buildProgram, recipes, rootsOf } from "./generate.js"
import { checkTiling } from "./meaning.js"
import { dependentRecipes, withOnlineFolds } from "./online.js"
import { law, patience } from "./settings.js"

const targets = [
  wasmTarget,
  targetFor("webgpu", { subgroupSize: 8 }),
  targetFor("webgpu", { subgroupSize: 32, workgroupBytes: 32768 }),
  cudaTarget,
]

const cases = fc.record({
  recipe: fc.oneof({ weight: 2, arbitrary: recipes() }, { weight: 1, arbitrary: dependentRecipes(false) }),
  target: fc.constantFrom(...targets),
  pick: fc.nat(9999),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

/** As many as a pick is made of: the whole of them takes long to enumerate. */
const limits = { most: 40, tries: 60 }
const seen = { kernels: 0, choices: 0, refused: 0, none: 0 }

const check = ({ recipe, target, pick }: Case) =>
  withTable(() => {
    let none = 0
    const codes = checkTiling(withOnlineFolds(buildProgram(recipe)), undefined, (kernel, turn) => {
      const { schedules, refused } = choices(kernel, target, limits)
      seen.kernels++
      seen.choices += schedules.length
      seen.refused += [...refused.values()].reduce((a, b) => a + b, 0)
      // Rows of an odd number of packed elements, which no schedule stores but by single halves; the law of tile counts them.
      if (schedules.length === 0) {
        none++
        return { schedule: chooseSchedule(kernel, target.schedule), options: target.tile }
      }
      return { schedule: schedules[(pick + 31 * turn) % schedules.length]!, options: target.tile }
    })
    const single = target.tile.singleHalves === true
    expect(codes.filter((c) => c !== undefined && (single || c !== "store/packed"))).toEqual([])
    expect(codes.filter((c) => c !== undefined)).toHaveLength(none)
    seen.none += none
  })

const describe = ({ recipe }: Case): string => withTable(() => printTensor(rootsOf(buildProgram(recipe))))

test(
  "any of the choices keeps the meaning",
  () => {
    law("choices", cases, 40, check, describe)
    console.log(
      `${seen.kernels} kernels, ${seen.choices} choices, ${seen.refused} refused; ${seen.none} kernels have none`,
    )
    expect(seen.choices).toBeGreaterThan(3 * seen.kernels)
    expect(seen.none).toBeLessThan(0.1 * seen.kernels)
    expect(seen.refused).toBeLessThan(0.3 * seen.choices)
  },
  patience,
)
