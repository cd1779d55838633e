/** Kernels whose workgroups make once what no cell changes: their loops store what the kernels store, on devices too, and wrong ones are found. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { type Target, wasmTarget } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { wasmEmit, webgpuEmitter } from "./emitters.js"
import { prologueFaults } from "./faults-prologue.js"
import { type Emit, type Job, jobOf, runJobs } from "./jobs.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, type Effect, effectOf, isWrong, loopsOf } from "./loops.js"
import { poolOf } from "./pool.js"
import { type PrologueCase, prologueCases, prologueKernel, prologueSchedule, prologueSymbols } from "./prologues.js"
import { patience, runs, seed } from "./settings.js"

const webgpu = await available("webgpu", () => createWebgpuDevice())

const made = (c: PrologueCase) => {
  const kernel = prologueKernel(c)
  const symbols = prologueSymbols(c)
  const effect: Effect = effectOf(kernel, kernelMemories(kernel, c.seed), symbols, "exact")
  return { kernel, symbols, effect, scheduled: prologueSchedule(kernel, c), seed: c.seed }
}

const show = (c: PrologueCase): string =>
  withTable(() => `${printKernel(prologueKernel(c))}\n${JSON.stringify(prologueSchedule(prologueKernel(c), c))}`)

/** Whether something stands before the cells. */
const hasPrologue = ({ body }: LoopKernel): boolean => body.some((s) => s.kind === "for" && s.bind === "lane")

const pool = poolOf(prologueCases, 60, made)

test("loops with a prologue store what the kernels store, and as much of their accesses is proven", () => {
  const counts = new Map<string, number>()
  const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
  pool.law(
    "prologue",
    ({ kernel, effect, scheduled, symbols, seed: lanes }) => {
      if (checkLoops(effect, scheduled, symbols, lanes) !== undefined) return
      const loops = loopsOf(kernel, scheduled)
      if (typeof loops === "string" || !hasPrologue(loops.hoisted)) return
      const { workgroups: _, ...each } = scheduled.schedule
      const without = loopsOf(kernel, { ...scheduled, schedule: each })
      if (typeof without === "string") throw new Error(without)
      const unproven = (k: LoopKernel) => proveAccesses(k).unproven.length
      expect(unproven(loops.hoisted)).toBeLessThanOrEqual(unproven(without.hoisted))
      count(scheduled.schedule.threads > 1 ? "of several lanes" : "of one lane")
      if (kernel.items.filter((i) => i.kind === "store").length > 1) count("of several stores")
    },
    show,
  )
  console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
  expect(counts.get("of one lane") ?? 0).toBeGreaterThan(Math.min(runs(60), 60) / 60 - 1)
  for (const name of ["of several lanes", "of several stores"])
    expect(counts.get(name) ?? 0, name).toBeGreaterThan(Math.min(runs(60), 60) / 6)
})

describe("on devices", () => {
  async function check(
    device: Device,
    target: Target,
    emit: Emit,
    refusal: (j: Job) => string | undefined,
    most: number,
  ) {
    const jobs: Job[] = []
    for (const c of fc.sample(prologueCases, { seed, numRuns: 30 * most })) {
      if (jobs.length >= most) break
      const job = withTable(() => {
        const { effect, symbols, scheduled } = made(c)
        return jobOf(effect, symbols, scheduled, target)
      })
      if (job !== undefined && hasPrologue(job.loops) && refusal(job) === undefined) jobs.push(job)
    }
    expect(jobs.length).toBe(most)
    expect((await runJobs(device, jobs, emit)).filter((p) => p !== undefined)).toEqual([])
  }

  test.each([1, 2])("WebAssembly, %i threads", async (threads) => {
    const device = await createWasmDevice({ threads })
    try {
      await check(device, wasmTarget, wasmEmit, () => undefined, runs(20))
    } finally {
      device.dispose()
    }
  })
  test.skipIf(!webgpu)(
    "WebGPU",
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

test.each(Object.keys(prologueFaults))("planted: %s", (name) => {
  pool.hunt("prologue", name, ({ kernel, effect, scheduled, symbols }, n) => {
    const loops = loopsOf(kernel, scheduled)
    const changed = typeof loops === "string" ? undefined : prologueFaults[name]!(loops.tiled)
    return changed && isWrong(effect, changed, symbols, n)
  })
})
