/** Every planted fault is found by the laws, within the programs of a normal run. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { execute, fuseProgram } from "./execute.js"
import { kernelFaults, loopFaults, planFaults, stepFaults } from "./faults.js"
import { buildProgram, recipes } from "./generate.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildKernel, kernelRecipes } from "./kernels.js"
import { cutLimits } from "./limits.js"
import { type Effect, effectOf, isWrong, loopsOf } from "./loops.js"
import { checkKernels, checkPlan } from "./meaning.js"
import { changeKernel, changeLoops } from "./mutate.js"
import { drawSchedule, type Scheduled, scheduleNumbers } from "./schedules.js"
import { runs, seed } from "./settings.js"

const cases = fc.record({ recipe: recipes(), kernel: kernelRecipes, cuts: cutLimits, schedule: scheduleNumbers })
const drawn = fc.sample(cases, { seed, numRuns: runs(500) })

interface Sample {
  readonly effect: Effect
  readonly scheduled: Scheduled
  readonly tiled: LoopKernel
  readonly symbols: ReadonlyMap<string, number>
}

/** The kernels of the n-th program and of the random kernel beside it, under their schedules: made once for all faults. */
const samples = new Map<number, readonly Sample[]>()
function samplesOf(n: number): readonly Sample[] {
  const known = samples.get(n)
  if (known !== undefined) return known
  const { recipe, kernel, cuts, schedule } = drawn[n]!
  const made: Sample[] = []
  const add = (effect: Effect, symbols: ReadonlyMap<string, number>) => {
    const scheduled = drawSchedule(effect.kernel, schedule, made.length)
    const loops = loopsOf(effect.kernel, scheduled)
    if (typeof loops !== "string") made.push({ effect, scheduled, tiled: loops.tiled, symbols })
  }
  const p = buildProgram(recipe)
  execute(fuseProgram(p, cuts), p, (k, buffers) => add(effectOf(k, buffers, p.values, p.regime), p.values))
  const random = buildKernel(kernel)
  const symbols = new Map([["seq", kernel.seq]])
  add(effectOf(random, kernelMemories(random, kernel.seed), symbols, "exact"), symbols)
  samples.set(n, made)
  return made
}

const isBroken = (check: () => void): boolean => {
  try {
    check()
    return false
  } catch {
    return true
  }
}

const report: string[] = []

/** Programs until the fault is seen; `see` answers undefined where the program has no place for it. */
function hunt(name: string, see: (n: number) => boolean | undefined): void {
  withTable(() => {
    let places = 0
    for (let n = 0; n < drawn.length; n++) {
      const seen = see(n)
      if (seen !== undefined) places++
      if (seen) {
        report.push(`${name}: ${n + 1}`)
        return
      }
    }
    expect.fail(
      `'${name}' is not found by ${drawn.length} programs, ${places} of which have a place for it; WEFT_SEED=${seed}`,
    )
  })
}

function seenInLoops(n: number, change: (s: Sample) => LoopKernel | undefined): boolean | undefined {
  let placed = false
  for (const s of samplesOf(n)) {
    const changed = change(s)
    if (changed === undefined) continue
    placed = true
    if (isWrong(s.effect, changed, s.symbols, n)) return true
  }
  return placed ? false : undefined
}

/** One of the first places, another in each program. */
const place = <T>(n: number, change: (n: number) => T | undefined): T | undefined => change(n % 4) ?? change(0)

test.each(Object.keys(loopFaults))("loops: %s", (name) => {
  hunt(name, (n) => seenInLoops(n, (s) => place(n, (at) => changeLoops(s.tiled, loopFaults[name]!(s.tiled), at))))
})

test.each(Object.keys(kernelFaults))("kernels: %s", (name) => {
  hunt(name, (n) =>
    seenInLoops(n, (s) => {
      const changed: Kernel | undefined = place(n, (at) => changeKernel(s.effect.kernel, kernelFaults[name]!, at))
      if (changed === undefined) return undefined
      const loops = loopsOf(changed, s.scheduled)
      return typeof loops === "string" ? undefined : loops.tiled
    }),
  )
})

test.each(Object.keys(stepFaults))("steps: %s", (name) => {
  hunt(name, (n) => {
    const p = buildProgram(drawn[n]!.recipe)
    let placed = false
    const broken = isBroken(() =>
      checkKernels(p, p, drawn[n]!.cuts, 8, (compiled) => {
        const fused = stepFaults[name]!(compiled.fused)
        placed = fused !== undefined
        return fused === undefined ? compiled : { ...compiled, fused }
      }),
    )
    return placed ? broken : undefined
  })
})

test.each(Object.keys(planFaults))("plans: %s", (name) => {
  hunt(name, (n) => {
    const p = buildProgram({ ...drawn[n]!.recipe, packed: false })
    let placed = false
    const broken = isBroken(() =>
      checkPlan(p, "wasm", (plan) => {
        placed = planFaults[name]!(plan)
      }),
    )
    return placed ? broken : undefined
  })
})

test("at least fifteen faults were planted, and all were found", () => {
  const all = [loopFaults, kernelFaults, stepFaults, planFaults].flatMap(Object.keys)
  console.log(`faults, with the number of programs that found them:\n${report.join("\n")}`)
  expect(all.length).toBeGreaterThanOrEqual(15)
  expect(report.length).toBe(all.length)
})
