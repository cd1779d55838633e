/** Random limits for the choice of cuts: from everything inlined to everything in memory of its own, so that locals of all shapes occur. */
import fc from "fast-check"
import { type CutLimits, defaultCutLimits } from "../../compiler/kernel/cuts.js"

const names = Object.keys(defaultCutLimits) as (keyof CutLimits)[]

const factors: fc.Arbitrary<CutLimits> = fc
  .tuple(...names.map(() => fc.constantFrom(1, 0, 0.002, 0.1, 100)))
  .map(
    (drawn) => Object.fromEntries(names.map((n, i) => [n, defaultCutLimits[n]! * drawn[i]!])) as unknown as CutLimits,
  )

export const cutLimits: fc.Arbitrary<CutLimits> = fc.oneof(fc.constant(defaultCutLimits), factors)
