/** Every planted fault is found by the laws, within the programs of a normal run. */
import { expect, test } from "vitest"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { kernelFaults, loopFaults, planFaults, stepFaults } from "./faults.js"
import { type Level, levels } from "./levels.js"
import { type Effect, early, isWrong, loopsOf } from "./loops.js"
import { checkKernels, checkPlan } from "./meaning.js"
import { changeKernel, changeLoops } from "./mutate.js"
import { drawSchedule, type Scheduled } from "./schedules.js"

interface Sample {
  readonly effect: Effect
  readonly scheduled: Scheduled
  readonly tiled: LoopKernel
  readonly symbols: ReadonlyMap<string, number>
}

/** The kernels of a program and the random kernel beside it, under their schedules: made once for all faults. */
const samples = new WeakMap<Level, readonly Sample[]>()
function samplesOf(level: Level): readonly Sample[] {
  const known = samples.get(level)
  if (known !== undefined) return known
  const made: Sample[] = []
  const add = (effect: Effect, symbols: ReadonlyMap<string, number>) => {
    const scheduled = drawSchedule(effect.kernel, level.drawn.schedule, made.length)
    const loops = loopsOf(effect.kernel, scheduled)
    if (typeof loops !== "string") made.push({ effect, scheduled, tiled: early(loops.tiled), symbols })
  }
  for (const effect of level.run().effects) add(effect, level.program.values)
  const { effect, symbols } = level.random()
  add(effect, symbols)
  samples.set(level, made)
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

let hunted = 0

const hunt: typeof levels.hunt = (law, fault, see) => {
  levels.hunt(law, fault, see)
  hunted++
}

function seenInLoops(level: Level, n: number, change: (s: Sample) => LoopKernel | undefined): boolean | undefined {
  let placed = false
  for (const s of samplesOf(level)) {
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
  hunt("loops", name, (l, n) =>
    seenInLoops(l, n, (s) => place(n, (at) => changeLoops(s.tiled, loopFaults[name]!(s.tiled), at))),
  )
})

test.each(Object.keys(kernelFaults))("kernels: %s", (name) => {
  hunt("kernels", name, (l, n) =>
    seenInLoops(l, n, (s) => {
      const changed: Kernel | undefined = place(n, (at) => changeKernel(s.effect.kernel, kernelFaults[name]!, at))
      if (changed === undefined) return undefined
      const loops = loopsOf(changed, s.scheduled)
      return typeof loops === "string" ? undefined : loops.tiled
    }),
  )
})

test.each(Object.keys(stepFaults))("steps: %s", (name) => {
  hunt("steps", name, ({ program: p, drawn }) => {
    let placed = false
    const broken = isBroken(() =>
      checkKernels(p, p, drawn.cuts, 8, (compiled) => {
        const fused = stepFaults[name]!(compiled.fused)
        placed = fused !== undefined
        return fused === undefined ? compiled : { ...compiled, fused }
      }),
    )
    return placed ? broken : undefined
  })
})

test.each(Object.keys(planFaults))("plans: %s", (name) => {
  hunt("plans", name, ({ unpacked }) => {
    const p = unpacked()
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
  expect(all.length).toBeGreaterThanOrEqual(15)
  expect(hunted).toBe(all.length)
})
