/** Products whose weights go straight into fragments, as `tile` emits and CUDA prints them, run on a processor. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../../compiler/ir/expression.js"
import { printKernel } from "../../../compiler/ir/print/kernel.js"
import { clampAccesses } from "../../../compiler/loop/clamp-accesses.js"
import { cudaTarget } from "../../../compiler/targets/target.js"
import { isRefusal, tile } from "../../../compiler/tile/tile.js"
import { buildDirect, directRecipes } from "../../laws/direct.js"
import { copied, effectOf, wrongEffect } from "../../laws/loops.js"
import { runs, seed } from "../../laws/settings.js"
import { formatMemories } from "../../support/format-products.js"
import { compilerPresent, runCuda } from "./run.js"

const present = compilerPresent()

test.skipIf(!present)("weights in formats that go straight into fragments are what they are by definition", () => {
  console.log(`direct products: WEFT_SEED=${seed}`)
  withTable(() => {
    const cases = fc.sample(directRecipes, { seed, numRuns: runs(4) }).flatMap((recipe) => {
      const { kernel, schedule, shape } = buildDirect(recipe)
      const tiled = tile(kernel, schedule, cudaTarget.tile)
      if (isRefusal(tiled)) return []
      const { loops, unproven } = clampAccesses(
        cudaTarget.loopPasses.reduce((before, pass) => pass.run(before), tiled),
        [],
      )
      expect(unproven).toEqual([])
      const symbols = new Map<string, number>()
      const effect = effectOf(kernel, formatMemories(kernel, shape, recipe.seed), symbols, "exact")
      return [{ kernel, schedule, effect, launch: { kernel: loops, memories: copied(effect.before), symbols } }]
    })
    expect(cases.length).toBeGreaterThan(0)
    const after = runCuda(cases.map((c) => c.launch))
    for (const [i, { kernel, schedule, effect }] of cases.entries()) {
      const found = after[i]
      const wrong = found === undefined ? "memory around the buffers was written" : wrongEffect(effect, found)
      if (wrong !== undefined) throw new Error(`${wrong}\n${printKernel(kernel)}\n${JSON.stringify(schedule)}`)
    }
  })
})
