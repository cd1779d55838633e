/**
 * split: folds in parts mean what the folds mean, and their loops compute it, under random schedules and those of the compiler; wrong parts are
 * found.
 */

import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import type { Memory } from "../../compiler/interpret/memory.js"
import { withTable } from "../../compiler/ir/expression.js"
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import type { SplitLimits } from "../../compiler/ir/machine.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import type { Fused, KernelStep } from "../../compiler/kernel/fuse.js"
import { splitReductions } from "../../compiler/kernel/split-reductions.js"
import { type Compiled, execute, found, fuseProgram, poisoned } from "./execute.js"
import { splitFaults } from "./faults-split.js"
import { buildFolds, foldRecipes, foldSymbols } from "./folds.js"
import { buildProgram, recipes } from "./generate.js"
import { drawsOf, hunt } from "./hunt.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, copied, type Effect, effectOf, LawBroken, wrongEffect } from "./loops.js"
import { agree, meaning } from "./meaning.js"
import { dependentRecipes, withOnlineFolds } from "./online.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience, runs } from "./settings.js"

/** A fold of a few elements is long already. */
const limits: fc.Arbitrary<SplitLimits> = fc.record({
  busy: fc.constantFrom(4096, 64, 512),
  parts: fc.constantFrom(4, 2, 16),
  least: fc.constantFrom(1 / 64, 1 / 16),
})

const cases = fc.record({ recipe: foldRecipes, limits, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const outcomes = new Map<string, number>()
const count = (name: string) => outcomes.set(name, (outcomes.get(name) ?? 0) + 1)

/** Folds of sixteens and what is left of them. */
const lengths = [33, 16, 80, 17, 1, 15, 72, 32, 0, 40]

/** A kernel of one store as a program of one step. */
const alone = (kernel: Kernel): Fused => ({
  steps: [{ kind: "kernel", kernel, bindings: kernel.buffers.map((b) => b.name), computes: [] }],
  buffers: new Map(kernel.buffers.map((b) => [b.name, { ...b, role: "input" as const }])),
  results: [],
})

interface Split {
  readonly effect: Effect
  readonly symbols: ReadonlyMap<string, number>
  readonly steps: readonly KernelStep[]
  readonly buffers: Fused["buffers"]
}

/** A kernel in parts with the effect of the whole; undefined when it is not split. */
function splitOf({ recipe, limits }: Omit<Case, "schedule">): Split | undefined {
  const { kernel: drawn, regime, fold } = buildFolds(recipe, lengths)
  const kernel = { ...drawn, items: drawn.items.slice(0, 1) }
  const used = { ...kernel, buffers: kernel.buffers.filter((b) => mentioned(kernel).has(b.name)) }
  const symbols = foldSymbols(recipe)
  const { steps, buffers } = splitReductions(alone(used), limits)
  if (steps.length === 1) return undefined
  count(`split ${fold}`)
  const effect = effectOf(used, kernelMemories(used, recipe.seed), symbols, regime)
  return { effect, symbols, steps: steps as readonly KernelStep[], buffers }
}

const mentioned = (kernel: Kernel): ReadonlySet<string> => {
  const text = printKernel({ ...kernel, buffers: [] })
  return new Set(kernel.buffers.filter((b) => new RegExp(`\\b${b.name}\\b`).test(text)).map((b) => b.name))
}

/** Runs the steps; `each` sees every kernel with its effect. Answers with what is wrong in the end. */
function runSteps({ effect, symbols, steps, buffers }: Split, each: (effect: Effect) => void): string | undefined {
  const memories: Map<string, Memory> = copied(effect.before)
  for (const { kernel, bindings } of steps) {
    expect(verifyKernel(kernel)).toEqual([])
    const bound = kernel.buffers.map((b, i) => {
      const name = bindings[i]!
      const memory = memories.get(name) ?? poisoned(buffers.get(name)!)
      memories.set(name, memory)
      return [b.name, memory] as const
    })
    each(effectOf(kernel, new Map(bound), symbols, effect.bounds === undefined ? "exact" : "analytic"))
  }
  return wrongEffect(effect, memories)
}

const show = (c: Case): string =>
  withTable(() => {
    const split = splitOf(c)
    const kernels = split === undefined ? [] : [split.effect.kernel, ...split.steps.map((s) => s.kernel)]
    return `${kernels.map(printKernel).join("\n")}\n${JSON.stringify([...foldSymbols(c.recipe)])}`
  })

describe("meaning", () => {
  test(
    "kernels of long folds keep theirs, and their loops compute it",
    () => {
      law(
        "split",
        cases,
        140,
        (c) =>
          withTable(() => {
            const split = splitOf(c)
            if (split === undefined) return
            let turn = 0
            const wrong = runSteps(split, (effect) => {
              const drawn = drawSchedule(effect.kernel, c.schedule, turn++, 75)
              const refusal = checkLoops(effect, drawn, split.symbols, c.recipe.seed)
              count(refusal ?? "tiled")
              if (refusal === undefined && drawn.schedule.stores.some((s) => s.computeWith !== undefined)) count("with")
              if (written(effect.kernel).size > 1) count("parts of several components")
            })
            if (wrong !== undefined) throw new LawBroken(wrong)
          }),
        show,
      )
      console.log(JSON.stringify(Object.fromEntries([...outcomes].sort())))
      const least = 2 * Math.min(1, runs(140) / 140)
      for (const name of ["split exp", "split argmax", "with"])
        expect(outcomes.get(name) ?? 0, name).toBeGreaterThan(least)
    },
    patience,
  )

  const programs = fc.record({
    recipe: fc.oneof({ weight: 1, arbitrary: recipes() }, { weight: 3, arbitrary: dependentRecipes() }),
    limits,
    online: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  })
  let parts = 0

  test(
    "random programs keep theirs",
    () => {
      law("split programs", programs, 130, ({ recipe, limits, online }) =>
        withTable(() => {
          const drawn = buildProgram(recipe)
          const p = online ? withOnlineFolds(drawn) : drawn
          const whole = fuseProgram(p)
          const units = new Map<unknown, Fused>()
          const compiled: Compiled = {
            fused: splitReductions(whole.fused, limits),
            units: (u) => {
              const known = units.get(u) ?? splitReductions(whole.units(u), limits)
              units.set(u, known)
              return known
            },
          }
          if (compiled.fused.steps.length > whole.fused.steps.length) parts++
          const memories = execute(compiled, p, (kernel, buffers) => {
            expect(verifyKernel(kernel)).toEqual([])
            interpretKernel(kernel, buffers, p.values)
          })
          agree(meaning(drawn), found(p, compiled, memories))
        }),
      )
      console.log(`${parts} programs with folds in parts`)
      expect(parts).toBeGreaterThanOrEqual(Math.floor(2 * Math.min(1, runs(130) / 130)))
    },
    patience,
  )
})

describe("planted faults", () => {
  const draw = drawsOf(cases)

  test.each(Object.keys(splitFaults))("%s", (name) =>
    hunt("split", name, draw, (c) =>
      withTable(() => {
        const split = splitOf(c)
        const steps = split && splitFaults[name]!(split.steps)
        if (split === undefined || steps === undefined) return undefined
        try {
          return runSteps({ ...split, steps }, () => {}) !== undefined
        } catch {
          return true
        }
      }),
    ),
  )
})
