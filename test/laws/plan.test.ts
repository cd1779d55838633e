/**
 * plan: a whole program, compiled as the compiler does it, over shared slots.
 *
 * Two entries share their slots, as in a model, and run one after the other. Between launches the scratch slots that no live buffer holds are garbage.
 */
import fc from "fast-check"
import { test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { buildProgram, recipes, rootsOf } from "./generate.js"
import { checkPlan } from "./meaning.js"
import { law, patience } from "./settings.js"

const cases = fc.record({
  recipe: recipes(undefined, false),
  target: fc.constantFrom("wasm" as const, "webgpu" as const),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const check = ({ recipe, target }: Case) => withTable(() => checkPlan(buildProgram(recipe), target))

const describe = ({ recipe }: Case): string =>
  withTable(() => {
    const p = buildProgram(recipe)
    return `${printTensor(rootsOf(p))}\n${JSON.stringify([...p.values])}`
  })

test(
  "planned launches over shared slots compute what the program means",
  () => law("plan", cases, 500, check, describe),
  patience,
)
