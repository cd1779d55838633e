/**
 * Kernels for devices: what random programs and random kernels need done, with the effect that the interpreter says it has.
 *
 * A job is one kernel under one schedule with the memories before and after. Many jobs make one WebAssembly module, or shaders of one batch, so that
 * two hundred programs take seconds.
 */
import fc from "fast-check"
import { fromBytes, toBytes } from "../../compiler/interpret/memory.js"
import { withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { type LoopKernel, storageBytes } from "../../compiler/ir/loop.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import type { Target } from "../../compiler/targets/target.js"
import type { ArtifactKernel, Precision } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { execute, fuseProgram, simplified } from "./execute.js"
import { buildFolds, foldRecipes, foldSymbols } from "./folds.js"
import { buildProgram, recipes } from "./generate.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildKernel, kernelRecipes } from "./kernels.js"
import { type Effect, effectOf, loopsOf, wrongEffect } from "./loops.js"
import { dependentRecipes, withOnlineFolds } from "./online.js"
import { drawSchedule, type Scheduled, scheduleNumbers } from "./schedules.js"

export interface Job {
  readonly effect: Effect
  readonly loops: LoopKernel
  readonly symbols: ReadonlyMap<string, number>
  /** What it was laid out by. */
  readonly schedule?: Schedule
}

const recipesFor = (singleHalves: boolean) =>
  fc.oneof(
    { weight: 5, arbitrary: recipes(undefined, singleHalves) },
    { weight: 1, arbitrary: dependentRecipes(singleHalves) },
  )

/** Most programs run as the compiler schedules them, the others and all random kernels under random schedules; of long folds both. */
export const deviceCases = fc.record({
  recipe: recipesFor(false),
  online: fc.boolean(),
  kernel: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: kernelRecipes }),
  folds: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 3, arbitrary: foldRecipes }),
  chosen: fc.constantFrom(true, false),
  /** Long folds are scheduled at random more often: only so are operands held as halves. */
  chosenFolds: fc.oneof({ weight: 1, arbitrary: fc.constant(true) }, { weight: 3, arbitrary: fc.constant(false) }),
  precision: fc.constantFrom<Precision>("exact", "fast"),
  schedule: scheduleNumbers,
})
/** The same for a target that stores single halves, of which rows may have any number there. */
export const casesOfHalves = deviceCases.chain((c) => recipesFor(true).map((recipe) => ({ ...c, recipe })))
export type DeviceCase = typeof deviceCases extends fc.Arbitrary<infer T> ? T : never

/** The jobs of loops that are laid out by a schedule. */
export function jobOf(
  effect: Effect,
  symbols: ReadonlyMap<string, number>,
  scheduled: Scheduled,
  target: Target,
): Job | undefined {
  const made = loopsOf(effect.kernel, { ...scheduled, options: target.tile })
  // As the compiler does it.
  const last = target.name === "wasm" ? "hoisted" : "merged"
  return typeof made === "string" ? undefined : { effect, loops: made[last], symbols, schedule: scheduled.schedule }
}

/** The order of size symbols in a batch. */
export const symbolOrder = ["past", "seq"]

/** The jobs of one program, in the table of their expressions. */
export function jobsOf(
  { recipe, online, kernel, folds, chosen, chosenFolds, schedule, precision }: DeviceCase,
  target: Target,
): readonly Job[] {
  return withTable(() => {
    const jobs: Job[] = []
    const add = (effect: Effect, symbols: ReadonlyMap<string, number>, scheduled: Scheduled) => {
      const job = jobOf(effect, symbols, scheduled, target)
      if (job !== undefined) jobs.push(job)
    }
    const own = (k: Kernel): Scheduled => ({ schedule: chooseSchedule(k, target.schedule), options: target.tile })
    if (folds !== null) {
      const { kernel: made, regime } = buildFolds(folds)
      const symbols = foldSymbols(folds)
      const effect = effectOf(made, kernelMemories(made, folds.seed), symbols, regime)
      add(effect, symbols, chosenFolds ? own(made) : drawSchedule(made, schedule, 0, 95))
      return jobs
    }
    if (kernel !== null) {
      const made = buildKernel(kernel)
      const symbols = new Map([["seq", kernel.seq]])
      add(effectOf(made, kernelMemories(made, kernel.seed), symbols, "exact"), symbols, drawSchedule(made, schedule))
      return jobs
    }
    const drawn = buildProgram(recipe)
    const p = online ? withOnlineFolds(drawn) : simplified(drawn)
    execute(fuseProgram(p, undefined, undefined, precision, target.tile), p, (k, buffers) => {
      const effect = effectOf(k, buffers, p.values, p.regime)
      add(effect, p.values, chosen ? own(k) : drawSchedule(k, schedule, jobs.length))
    })
    return jobs
  })
}

export interface Batch {
  readonly kernels: readonly ArtifactKernel[]
  readonly module: Uint8Array
}

/** Emits loops, each with a name of its own. */
export type Emit = (loops: readonly LoopKernel[]) => Batch

/** Runs jobs on a device; answers with what is wrong with each, or undefined. */
export async function runJobs(
  device: Device,
  jobs: readonly Job[],
  emit: Emit,
): Promise<readonly (string | undefined)[]> {
  if (jobs.length === 0) return []
  const batch = emit(jobs.map(({ loops }, i) => ({ ...loops, name: `job${i}` })))
  const compiled = await device.compile(batch, symbolOrder.length)
  const allocated = jobs.map(({ effect, loops, symbols }, i) => {
    const buffers = effect.kernel.buffers.map((b) => {
      const bytes = toBytes(effect.before.get(b.name)!)
      const made = device.allocate(Math.max(16, Math.ceil(bytes.length / 16) * 16), b.name)
      device.upload(made, 0, padded(bytes))
      return made
    })
    const recording = device.record([{ kernel: compiled[i]!, buffers, groups: loops.groups }])
    device.submit(
      [recording],
      Int32Array.from(symbolOrder, (s) => symbols.get(s) ?? 0),
    )
    return buffers
  })
  const problems: (string | undefined)[] = []
  for (const [i, { effect, loops }] of jobs.entries()) {
    const found = new Map<string, { readonly values: ArrayLike<number> }>()
    for (const [j, b] of effect.kernel.buffers.entries()) {
      if (loops.buffers[j]!.access === "read") continue
      const size = effect.before.get(b.name)!.size * storageBytes(b.storage)
      const bytes = await device.read(allocated[i]![j]!, 0, Math.ceil(size / 4) * 4)
      found.set(b.name, fromBytes(b.storage, bytes.slice(0, size)))
    }
    const wrong = wrongEffect(effect, found)
    problems.push(wrong && `${wrong}\n${printKernel(effect.kernel)}\n${printLoop(loops)}`)
    for (const b of allocated[i]!) b.destroy()
  }
  return problems
}

/** Whole words: uploads are made of them. */
function padded(bytes: Uint8Array): Uint8Array {
  const words = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
  words.set(bytes)
  return words
}
