/** Every planted fault of folds in chunks is found by the laws, within the kernels of a normal run. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { type ChunkFault, chunkFaults, mergedFaults } from "./faults-chunks.js"
import { buildFolds, foldRecipes, foldSymbols } from "./folds.js"
import { kernelMemories } from "./kernel-memories.js"
import { type Effect, effectOf, isWrong, loopsOf, type Stages } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { foundBy, runs, seed } from "./settings.js"

const drawn = fc.sample(fc.record({ recipe: foldRecipes, schedule: scheduleNumbers }), { seed, numRuns: runs(3000) })

interface Sample {
  readonly effect: Effect
  readonly stages: Stages
  readonly symbols: ReadonlyMap<string, number>
}

/** Made once for all faults. */
const samples = new Map<number, Sample | undefined>()
function sampleOf(n: number): Sample | undefined {
  if (samples.has(n)) return samples.get(n)
  const { recipe, schedule } = drawn[n]!
  const { kernel, regime } = buildFolds(recipe)
  const symbols = foldSymbols(recipe)
  const stages = loopsOf(kernel, drawSchedule(kernel, schedule, 0, 90))
  const effect = () => effectOf(kernel, kernelMemories(kernel, recipe.seed), symbols, regime)
  const made = typeof stages === "string" ? undefined : { effect: effect(), stages, symbols }
  samples.set(n, made)
  return made
}

const report: string[] = []

function hunt(name: string, stage: "tiled" | "merged", fault: ChunkFault): void {
  withTable(() => {
    let places = 0
    for (let n = 0; n < drawn.length; n++) {
      const sample = sampleOf(n)
      if (sample === undefined) continue
      // One of the first places, another in each kernel.
      const changed = fault(sample.stages[stage], n % 4) ?? fault(sample.stages[stage], 0)
      if (changed === undefined) continue
      places++
      if (isWrong(sample.effect, changed, sample.symbols, n)) {
        // Not without the fault.
        expect(isWrong(sample.effect, sample.stages[stage], sample.symbols, n)).toBe(false)
        report.push(`${name}: ${n + 1}, place ${places}`)
        foundBy(stage === "tiled" ? "chunks" : "merged fetches", name, n + 1)
        return
      }
    }
    expect.fail(`not found by ${drawn.length} kernels, ${places} of which have a place for it; WEFT_SEED=${seed}`)
  })
}

describe("chunks", () => {
  test.each(Object.keys(chunkFaults))("%s", (name) => hunt(name, "tiled", chunkFaults[name]!))
})

describe("merged fetches", () => {
  test.each(Object.keys(mergedFaults))("%s", (name) => hunt(name, "merged", mergedFaults[name]!))
})

test("all were found", () => {
  console.log(`faults, with the number of kernels that found them:\n${report.join("\n")}`)
  expect(report.length).toBe(Object.keys(chunkFaults).length + Object.keys(mergedFaults).length)
})
