/** simplify and fuse: the kernels of a program compute what the program means, whatever the cuts. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printKernel } from "../../compiler/ir/kernel-print.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { verifyTensor } from "../../compiler/ir/tensor-verify.js"
import { fuseProgram, simplified } from "./execute.js"
import { buildProgram, type Recipe, recipes, rootsOf } from "./generate.js"
import { cutLimits } from "./limits.js"
import { checkKernels, kernelsOf, meaning } from "./meaning.js"
import { law, patience } from "./settings.js"
import { difference } from "./tolerance.js"

const cases = fc.record({
  recipe: recipes(),
  cuts: cutLimits,
  simplify: fc.boolean(),
  bindings: fc.constantFrom(8, 4, 32),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const check = ({ recipe, cuts, bindings, simplify }: Case) =>
  withTable(() => {
    const p = buildProgram(recipe)
    checkKernels(p, simplify ? simplified(p) : p, cuts, bindings)
  })

const describe = ({ recipe, cuts, bindings, simplify }: Case): string =>
  withTable(() => {
    const p = simplify ? simplified(buildProgram(recipe)) : buildProgram(recipe)
    const kernels = () => kernelsOf(fuseProgram(p, cuts, bindings)).map(printKernel)
    return [printTensor(rootsOf(p)), JSON.stringify([...p.values]), ...attempted(kernels)].join("\n")
  })

/** What cannot be made cannot be shown. */
function attempted(make: () => string[]): string[] {
  try {
    return make()
  } catch {
    return []
  }
}

test("kernels compute what the program means", () => law("fuse", cases, 600, check, describe), patience)

const simplification = (recipe: Recipe) =>
  withTable(() => {
    const p = buildProgram(recipe)
    const after = simplified(p)
    expect(verifyTensor(rootsOf(after))).toEqual([])
    const expected = meaning(p)
    for (const [i, { data }] of meaning(after).entries()) {
      const problem = difference({ name: `result ${i}`, expected: expected[i]!.data, found: data })
      if (problem !== undefined) throw new Error(problem)
    }
  })

test(
  "simplification changes nothing, not even a rounding",
  () =>
    law("simplify", recipes(), 500, simplification, (recipe) =>
      withTable(() => printTensor(rootsOf(buildProgram(recipe)))),
    ),
  patience,
)
