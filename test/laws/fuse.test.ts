/** fuse: the kernels of a program compute what the program means, whatever the cuts. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { withTable } from "../../compiler/ir/expression.js"
import { printKernel } from "../../compiler/ir/kernel-print.js"
import { verifyKernel } from "../../compiler/ir/kernel-verify.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { verifyTensor } from "../../compiler/ir/tensor-verify.js"
import { type Compiled, execute, found, fuseProgram, simplified } from "./execute.js"
import { buildProgram, dataOf, type LawProgram, recipes, rootsOf } from "./generate.js"
import { cutLimits } from "./limits.js"
import { law } from "./settings.js"
import { difference } from "./tolerance.js"

export function meaning(p: LawProgram): Dense[] {
  const inputs = new Map(p.inputs.map((x) => [x.name, dataOf(p, x)]))
  return interpretTensor(rootsOf(p), inputs, p.values, p.regime === "exact" ? "rounded" : "absolute")
}

const kernelsOf = ({ fused, units }: Compiled, p: LawProgram) => {
  const inner = new Set(
    rootsOf(p).length > 0 ? fused.steps.flatMap((s) => (s.kind === "call" ? [units(s.unit)] : [])) : [],
  )
  return [fused, ...inner].flatMap((f) => f.steps.flatMap((s) => (s.kind === "kernel" ? [s.kernel] : [])))
}

const cases = fc.record({
  recipe: recipes(),
  cuts: cutLimits,
  simplify: fc.boolean(),
  bindings: fc.constantFrom(8, 4, 32),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

function check({ recipe, cuts, bindings, simplify }: Case): void {
  withTable(() => {
    const drawn = buildProgram(recipe)
    const expected = meaning(drawn)
    const p = simplify ? simplified(drawn) : drawn
    expect(verifyTensor(rootsOf(p))).toEqual([])
    const compiled = fuseProgram(p, cuts, bindings)
    expect(kernelsOf(compiled, p).flatMap(verifyKernel)).toEqual([])
    const memories = execute(compiled, p, (kernel, buffers) => interpretKernel(kernel, buffers, p.values))
    found(p, compiled, memories).forEach((numbers, i) => {
      const problem = difference({
        name: `result ${i}`,
        expected: expected[i]!.data,
        found: numbers,
        bound: expected[i]!.bound,
      })
      if (problem !== undefined) throw new Error(problem)
    })
  })
}

const describe = ({ recipe, cuts, bindings, simplify }: Case): string =>
  withTable(() => {
    const p = simplify ? simplified(buildProgram(recipe)) : buildProgram(recipe)
    const kernels = () => kernelsOf(fuseProgram(p, cuts, bindings), p).map(printKernel)
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

test("kernels compute what the program means", () => law("fuse", cases, 600, check, describe))

test("simplification changes nothing, not even a rounding", () =>
  law("simplify", recipes(), 500, (recipe) => {
    withTable(() => {
      const p = buildProgram(recipe)
      const after = simplified(p)
      expect(verifyTensor(rootsOf(after))).toEqual([])
      const expected = meaning(p)
      for (const [i, d] of meaning(after).entries())
        expect(difference({ name: `result ${i}`, expected: expected[i]!.data, found: d.data })).toBe(undefined)
    })
  }))
