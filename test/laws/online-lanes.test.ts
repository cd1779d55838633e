/** Online folds whose lanes hold the channels: under random schedules their loops store what the kernels store, and wrong ones are found. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { type Target, wasmTarget } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { wasmEmit, webgpuEmitter } from "./emitters.js"
import { laneFaults } from "./faults-lanes.js"
import { buildFolds, type FoldRecipe, foldRecipes, foldSymbols } from "./folds.js"
import { drawsOf, hunt } from "./hunt.js"
import { type Emit, type Job, jobOf, runJobs } from "./jobs.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, type Effect, effectOf, isWrong, loopsOf, type Stages } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience, runs, seed } from "./settings.js"

const webgpu = await available("webgpu", () => createWebgpuDevice())
const cases = fc.record({ recipe: foldRecipes, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const built = (recipe: FoldRecipe) => buildFolds(recipe, undefined, [4, 8, 16, 2])

/** The kernel with a schedule that has lanes along channels, if there are any. */
function drawn({ recipe, schedule }: Case) {
  const made = built(recipe)
  const scheduled = drawSchedule(made.kernel, schedule, 0, 90, 100)
  const over = scheduled.schedule.stores.some((s) => Object.values(s.tile).some((t) => t.lanes !== undefined))
  return over ? { ...made, scheduled, symbols: foldSymbols(recipe) } : undefined
}

const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)

function check(c: Case): void {
  withTable(() => {
    const of = drawn(c)
    if (of === undefined) return
    const { kernel, regime, fold, masked, scheduled, symbols } = of
    const effect = effectOf(kernel, kernelMemories(kernel, c.recipe.seed), symbols, regime)
    const refusal = checkLoops(effect, scheduled, symbols, c.recipe.seed)
    if (refusal !== undefined) return count(`refused ${refusal}`)
    count(fold)
    if (masked) count("masked")
    const { stores } = scheduled.schedule
    if (stores.some((s) => s.computeWith !== undefined)) count("with")
    if (stores.some((s) => Object.values(s.reduce).some((r) => r.group !== undefined))) count("shared sums")
    if (stores.some((s) => Object.values(s.tile).some((t) => t.vector !== undefined))) count("vectors")
  })
}

const show = (c: Case): string =>
  withTable(() => `${printKernel(built(c.recipe).kernel)}\n${JSON.stringify(drawn(c)?.scheduled)}`)

test(
  "loops over lanes store what the kernels store",
  () => {
    law("online lanes", cases, 160, check, show)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    // One of twelve programs has shared sums.
    const least = Math.min(runs(160), 160) / 160
    for (const name of ["exp", "moments", "masked", "with", "shared sums", "vectors"])
      expect(counts.get(name) ?? 0, name).toBeGreaterThan(least)
  },
  patience,
)

describe("on devices", () => {
  /** Some kernels, and whether they are stored as the interpreter stores them. */
  async function check(
    device: Device,
    target: Target,
    emit: Emit,
    refusal: (job: Job) => string | undefined,
    most: number,
  ) {
    const jobs: Job[] = []
    for (const c of fc.sample(cases, { seed, numRuns: 20 * most })) {
      if (jobs.length >= most) break
      const job = withTable(() => {
        const of = drawn(c)
        if (of === undefined) return undefined
        const effect = effectOf(of.kernel, kernelMemories(of.kernel, c.recipe.seed), of.symbols, of.regime)
        return jobOf(effect, of.symbols, of.scheduled, target)
      })
      if (job !== undefined && refusal(job) === undefined) jobs.push(job)
    }
    expect(jobs.length).toBe(most)
    expect((await runJobs(device, jobs, emit)).filter((p) => p !== undefined)).toEqual([])
  }

  test("WebAssembly", async () => {
    const device = await createWasmDevice({ threads: 1 })
    try {
      await check(device, wasmTarget, wasmEmit, () => undefined, runs(20))
    } finally {
      device.dispose()
    }
  })
  test.skipIf(!webgpu)(
    "WebGPU, with the subgroups that it has",
    async () => {
      const device = await createWebgpuDevice()
      try {
        const { target, emit, refusal } = webgpuEmitter(device)
        await check(device, target, emit, refusal, runs(5))
      } finally {
        device.dispose()
      }
    },
    patience,
  )
})

describe("planted faults", () => {
  const draw = drawsOf(cases)
  interface Sample {
    readonly effect: Effect
    readonly stages: Stages
    readonly symbols: ReadonlyMap<string, number>
  }
  /** Made once for all faults. */
  const samples = new Map<number, Sample | undefined>()
  const sampleOf = (c: Case, n: number): Sample | undefined => {
    if (samples.has(n)) return samples.get(n)
    const of = drawn(c)
    const stages = of && loopsOf(of.kernel, of.scheduled)
    const made =
      of === undefined || stages === undefined || typeof stages === "string"
        ? undefined
        : {
            effect: effectOf(of.kernel, kernelMemories(of.kernel, c.recipe.seed), of.symbols, of.regime),
            stages,
            symbols: of.symbols,
          }
    samples.set(n, made)
    return made
  }

  test.each(Object.keys(laneFaults))("%s", (name) =>
    withTable(() =>
      hunt("online lanes", name, draw, (c, n) => {
        const sample = sampleOf(c, n)
        if (sample === undefined) return undefined
        const { tiled } = sample.stages
        const changed = laneFaults[name]!(tiled, n % 4) ?? laneFaults[name]!(tiled, 0)
        if (changed === undefined) return undefined
        if (!isWrong(sample.effect, changed, sample.symbols, n)) return false
        expect(isWrong(sample.effect, tiled, sample.symbols, n)).toBe(false)
        return true
      }),
    ),
  )
})
