/** Random contractions by matrix units, as `tile` emits and CUDA prints them, run on a processor. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../../compiler/ir/expression.js"
import { atoms } from "../../../compiler/ir/fragments/atoms.js"
import { printKernel } from "../../../compiler/ir/print/kernel.js"
import { clampAccesses } from "../../../compiler/loop/clamp-accesses.js"
import { cudaTarget } from "../../../compiler/targets/target.js"
import { isRefusal, tile } from "../../../compiler/tile/tile.js"
import { buildContraction, contractionMemories, contractionRecipes } from "../../laws/fragments.js"
import { copied, effectOf, wrongEffect } from "../../laws/loops.js"
import { runs, seed } from "../../laws/settings.js"
import { chosenCase, chosenShapes } from "../../support/chosen-products.js"
import { wrongProduct } from "../../support/product-cases.js"
import { compilerPresent, runCuda } from "./run.js"

const present = compilerPresent()

test.skipIf(!present)("products of any size, as rules schedule them for matrix units, are plain sums", () => {
  console.log(`chosen products: WEFT_SEED=${seed}`)
  const drawn = fc.sample(chosenShapes, { seed, numRuns: 8 * runs(6) })
  const cases = drawn.slice(0, runs(6)).map(chosenCase)
  // More of them until units take one.
  for (const [i, shape] of drawn.slice(runs(6)).entries())
    if (cases.every((c) => c.shape.atom === "")) cases.push(chosenCase(shape, runs(6) + i))
  if (runs(6) >= 6) expect(cases.filter(({ shape }) => shape.atom !== "").length).toBeGreaterThan(0)
  const after = runCuda(cases.map(({ kernel, memories }) => ({ kernel, memories, symbols: new Map() })))
  expect(cases.flatMap((c, i) => wrongProduct(c, after[i]?.get("y")?.values))).toEqual([])
})

test.skipIf(!present)("contractions by matrix units are what they are by definition", () => {
  console.log(`contractions: WEFT_SEED=${seed}`)
  withTable(() => {
    const cases = fc.sample(contractionRecipes, { seed, numRuns: runs(8) }).flatMap((recipe) => {
      const made = buildContraction(recipe)
      // CUDA has no atom whose layout is not known.
      const names = made.schedule.stores.flatMap((s) => s.atom?.name ?? [])
      if (names.some((name) => atoms.get(name)!.c.layout === undefined)) return []
      const tiled = tile(made.kernel, made.schedule, cudaTarget.tile)
      if (isRefusal(tiled)) return []
      const { loops, unproven } = clampAccesses(
        cudaTarget.loopPasses.reduce((before, pass) => pass.run(before), tiled),
        [],
      )
      expect(unproven).toEqual([])
      const symbols = new Map([["seq", recipe.seq]])
      const effect = effectOf(made.kernel, contractionMemories(made, recipe.seed), symbols, "exact")
      return [{ made, effect, launch: { kernel: loops, memories: copied(effect.before), symbols } }]
    })
    expect(cases.length).toBeGreaterThan(0)
    const after = runCuda(cases.map((c) => c.launch))
    for (const [i, { made, effect }] of cases.entries()) {
      const found = after[i]
      const wrong = found === undefined ? "memory around the buffers was written" : wrongEffect(effect, found)
      if (wrong !== undefined)
        throw new Error(`${wrong}\n${printKernel(made.kernel)}\n${JSON.stringify(made.schedule)}`)
    }
  })
})
