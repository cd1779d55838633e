/**
 * plan: a whole program, compiled as the compiler does it, over shared slots.
 *
 * Two entries share their slots and states, as in a model: `step` appends to an empty past, `next` (the same program) goes on from there. Between launches
 * the scratch slots that no live buffer holds are garbage.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { interpretTensor } from "../../compiler/interpret/tensor.js"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { buildProgram, dataOf, type LawProgram, recipes, rootsOf } from "./generate.js"
import { compile, type PlanFault, runPlan } from "./planned.js"
import { law } from "./settings.js"
import { difference } from "./tolerance.js"

const cases = fc.record({
  recipe: recipes(undefined, false),
  target: fc.constantFrom("wasm" as const, "webgpu" as const),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

export function checkPlan({ recipe, target }: Case, fault?: PlanFault): void {
  withTable(() => {
    const p = buildProgram(recipe)
    const compiled = compile(p, target)
    fault?.(compiled.plan)
    const found = runPlan(p, compiled)
    const inputs = new Map(p.inputs.map((x) => [x.name, dataOf(p, x)]))
    const expected = interpretTensor(rootsOf(p), inputs, p.values, p.regime === "exact" ? "rounded" : "absolute")
    expected.forEach((dense, i) => {
      const problem = difference({ name: `result ${i}`, expected: dense.data, found: found[i]!, bound: dense.bound })
      if (problem !== undefined) throw new Error(problem)
    })
  })
}

const describe = ({ recipe }: Case): string =>
  withTable(() => {
    const p: LawProgram = buildProgram(recipe)
    return [printTensor(rootsOf(p)), JSON.stringify([...p.values])].join("\n")
  })

test("planned launches over shared slots compute what the program means", () => {
  law("plan", cases, 500, checkPlan, describe)
  expect(true).toBe(true)
})
