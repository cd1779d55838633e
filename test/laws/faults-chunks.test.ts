/** Every planted fault of folds in chunks is found by the laws. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { type ChunkFault, chunkFaults, mergedFaults } from "./faults-chunks.js"
import { buildFolds, foldRecipes, foldSymbols } from "./folds.js"
import { drawsOf, hunt } from "./hunt.js"
import { kernelMemories } from "./kernel-memories.js"
import { type Effect, effectOf, isWrong, loopsOf, type Stages } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"

const cases = fc.record({ recipe: foldRecipes, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never
const draw = drawsOf(cases)

interface Sample {
  readonly effect: Effect
  readonly stages: Stages
  readonly symbols: ReadonlyMap<string, number>
}

/** Made once for all faults. */
const samples = new Map<number, Sample | undefined>()
function sampleOf({ recipe, schedule }: Case, n: number): Sample | undefined {
  if (samples.has(n)) return samples.get(n)
  const { kernel, regime } = buildFolds(recipe)
  const symbols = foldSymbols(recipe)
  const stages = loopsOf(kernel, drawSchedule(kernel, schedule, 0, 90))
  const effect = () => effectOf(kernel, kernelMemories(kernel, recipe.seed), symbols, regime)
  const made = typeof stages === "string" ? undefined : { effect: effect(), stages, symbols }
  samples.set(n, made)
  return made
}

/** One of the first places, another in each kernel. */
const plant = (name: string, stage: "tiled" | "merged", fault: ChunkFault): void =>
  withTable(() =>
    hunt(stage === "tiled" ? "chunks" : "merged fetches", name, draw, (c, n) => {
      const sample = sampleOf(c, n)
      const changed = sample && (fault(sample.stages[stage], n % 4) ?? fault(sample.stages[stage], 0))
      if (sample === undefined || changed === undefined) return undefined
      if (!isWrong(sample.effect, changed, sample.symbols, n)) return false
      // Not without the fault.
      expect(isWrong(sample.effect, sample.stages[stage], sample.symbols, n)).toBe(false)
      return true
    }),
  )

describe("chunks", () => {
  test.each(Object.keys(chunkFaults))("%s", (name) => plant(name, "tiled", chunkFaults[name]!))
})

describe("merged fetches", () => {
  test.each(Object.keys(mergedFaults))("%s", (name) => plant(name, "merged", mergedFaults[name]!))
})
