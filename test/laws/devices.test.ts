/** Devices: what WebAssembly and WebGPU store is what the interpreter stores, for random programs, kernels and schedules. */
import fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { StoreSchedule } from "../../compiler/ir/schedule.js"
import { type Target, wasmTarget } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { wasmEmit, webgpuEmitter } from "./emitters.js"
import { type DeviceCase, deviceCases, type Emit, type Job, jobsOf, runJobs } from "./jobs.js"
import { patience, runs, seed } from "./settings.js"

/** Runs programs in batches; the first that fails is shrunk by itself. */
async function check(
  name: string,
  count: number,
  target: Target,
  device: Device,
  emit: Emit,
  fits: (job: Job) => string | undefined,
): Promise<void> {
  const drawn = fc.sample(deviceCases, { seed, numRuns: runs(count) })
  const refused = new Map<string, number>()
  const accepted = (c: DeviceCase) =>
    jobsOf(c, target).filter((job) => {
      const code = fits(job)
      if (code !== undefined) refused.set(code, (refused.get(code) ?? 0) + 1)
      return code === undefined
    })
  const jobs = drawn.flatMap((c, program) => accepted(c).map((job) => ({ job, program })))
  console.log(
    `${name}: ${drawn.length} programs, ${jobs.length} kernels, refused ${JSON.stringify([...refused])}, WEFT_SEED=${seed}`,
  )
  const has = (see: (s: StoreSchedule) => boolean) => jobs.filter(({ job }) => job.schedule?.stores.some(see)).length
  const chunked = has((s) => Object.values(s.reduce).some((r) => r.chunk !== undefined))
  const held = has((s) => s.staged !== undefined && Object.keys(s.staged).length > 0)
  const halves = has((s) => Object.values(s.staged ?? {}).some((h) => h.packed === true))
  const beside = has((s) => s.computeWith !== undefined)
  console.log(
    `${chunked} take chunks, ${held} hold operands or scores, ${halves} of them halves, ${beside} have stores along with others`,
  )
  // More than one of eight takes chunks, one of thirty-two has a store along with another.
  const least = Math.min(runs(count), count) / (runs(count) < count ? 16 : 8)
  expect(chunked).toBeGreaterThanOrEqual(Math.floor(least))
  expect(held).toBeGreaterThanOrEqual(Math.floor(least))
  expect(halves).toBeGreaterThanOrEqual(Math.floor(least / 8))
  expect(beside).toBeGreaterThanOrEqual(Math.floor(least / 4))
  const size = 100
  for (let from = 0; from < jobs.length; from += size) {
    const part = jobs.slice(from, from + size)
    const problems = await runJobs(
      device,
      part.map((p) => p.job),
      emit,
    )
    const bad = problems.findIndex((p) => p !== undefined)
    if (bad < 0) continue
    const one = fc.asyncProperty(deviceCases, async (c) => {
      const [wrong] = (await runJobs(device, accepted(c), emit)).filter((p) => p !== undefined)
      if (wrong !== undefined) throw new Error(wrong)
    })
    const { program } = part[bad]!
    const details = await fc.check(one, { seed, path: `${program}`, numRuns: 1 })
    const shrunk = details.failed
      ? `${JSON.stringify(details.counterexample)}\n${details.errorInstance}`
      : problems[bad]
    throw new Error(
      `${name} differs at program ${program} of seed ${seed}, shrunk ${details.numShrinks} times\n${shrunk}`,
    )
  }
}

test(
  "WebAssembly stores what the interpreter stores",
  async () => {
    const device = await createWasmDevice({ threads: 2, shareFrom: 0 })
    try {
      await check("wasm", 100, wasmTarget, device, wasmEmit, () => undefined)
    } finally {
      device.dispose()
    }
  },
  patience,
)

const open = () => createWebgpuDevice()
const present = await available("webgpu", open)

describe.skipIf(!present)("WebGPU", () => {
  let device: WebgpuDevice | undefined
  afterAll(() => device?.dispose())

  test(
    "stores what the interpreter stores",
    async () => {
      device = await open()
      const { target, emit, refusal } = webgpuEmitter(device)
      await check("webgpu", 30, target, device, emit, refusal)
      expect(device.counters.commands).toBeGreaterThan(0)
    },
    // A software adapter compiles hundreds of shaders on what the other tests leave of the cores.
    2 * patience,
  )
})
