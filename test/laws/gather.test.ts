/** gather: rows in groups compute what the rows compute, bit by bit, on every device. */
import fc from "fast-check"
import { expect, describe as group, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { verifyTensor } from "../../compiler/ir/tensor-verify.js"
import { groupGathers } from "../../compiler/passes/gather.js"
import { chooseSchedule } from "../../compiler/passes/schedule.js"
import { type Target, wasmTarget } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { wasmEmit, webgpuEmitter } from "./emitters.js"
import { execute, fuseProgram, simplified } from "./execute.js"
import { gatherFaults, plant } from "./faults-gather.js"
import { buildGathered, type GatheredRecipe, gatheredRecipes } from "./gathered.js"
import { buildProgram, type LawProgram, nodesOf, type Recipe, recipes, rootsOf } from "./generate.js"
import { type Emit, type Job, runJobs } from "./jobs.js"
import { effectOf, loopsOf } from "./loops.js"
import { agree, checkKernels, checkPlan, meaning } from "./meaning.js"
import { law, patience, runs, seed } from "./settings.js"

/** The program with its rows in groups, however few there are. */
function grouped(p: LawProgram, block: number): LawProgram {
  const made = groupGathers(rootsOf(p), { rows: 0, block })
  return {
    ...p,
    outputs: made.slice(0, p.outputs.length),
    updates: p.updates.map((u, i) => ({ ...u, tensor: made[p.outputs.length + i]! })),
  }
}

function unchanged(p: LawProgram, after: LawProgram): void {
  expect(verifyTensor(rootsOf(after))).toEqual([])
  for (const [i, t] of rootsOf(p).entries())
    expect(rootsOf(after)[i]!.axes.map((a) => a.name)).toEqual(t.axes.map((a) => a.name))
  agree(
    meaning(p),
    meaning(after).map((d) => [...d.data]),
  )
}

const describe = (r: GatheredRecipe): string =>
  withTable(() => printTensor(rootsOf(grouped(buildGathered(r), r.block))))

test(
  "the meaning of a program is unchanged",
  () => {
    let changed = 0
    const check = (r: GatheredRecipe) =>
      withTable(() => {
        const p = buildGathered(r)
        const after = grouped(p, r.block)
        if (nodesOf(rootsOf(after)).length > nodesOf(rootsOf(p)).length) changed++
        unchanged(p, after)
      })
    law("gather", gatheredRecipes, 500, check, describe)
    expect(changed).toBeGreaterThan(runs(300))
  },
  patience,
)

const blocks = fc.record({ recipe: recipes(), block: fc.constantFrom(1, 2, 3, 4, 8) })

test(
  "nor is that of any other program",
  () =>
    law("gather, any program", blocks, 300, ({ recipe, block }: { recipe: Recipe; block: number }) =>
      withTable(() => {
        const p = buildProgram(recipe)
        unchanged(p, grouped(p, block))
      }),
    ),
  patience,
)

test(
  "kernels compute it",
  () =>
    law(
      "gather, kernels",
      gatheredRecipes,
      150,
      (r) =>
        withTable(() => {
          const p = buildGathered(r)
          checkKernels(p, grouped(p, r.block))
        }),
      describe,
    ),
  patience,
)

test(
  "planned launches compute it",
  () =>
    law(
      "gather, plans",
      fc.tuple(gatheredRecipes, fc.constantFrom("wasm" as const, "webgpu" as const)),
      60,
      ([r, target]) => withTable(() => checkPlan(grouped(buildGathered(r), r.block), target)),
      ([r]) => describe(r),
    ),
  patience,
)

/** The kernels of a program as the compiler schedules them, with what the interpreter says that they do. */
function jobsOf(r: GatheredRecipe, target: Target): readonly Job[] {
  const p = simplified(grouped(buildGathered(r), r.block))
  const jobs: Job[] = []
  execute(fuseProgram(p), p, (kernel, buffers) => {
    const effect = effectOf(kernel, buffers, p.values, p.regime)
    const made = loopsOf(kernel, { schedule: chooseSchedule(kernel, target.schedule), options: target.tile })
    if (typeof made === "string") throw new Error(`refused: ${made}`)
    jobs.push({ effect, loops: made.hoisted, symbols: p.values })
  })
  return jobs
}

/** Each program is checked by itself where one of a batch differs. */
async function onDevice(
  count: number,
  target: Target,
  device: Device,
  emit: Emit,
  fits: (job: Job) => boolean,
): Promise<void> {
  const drawn = fc.sample(gatheredRecipes, { seed, numRuns: runs(count) })
  for (let from = 0; from < drawn.length; from += 20) {
    const part = drawn.slice(from, from + 20)
    const jobs = part.flatMap((r) => withTable(() => jobsOf(r, target).filter(fits)))
    const wrong = (await runJobs(device, jobs, emit)).find((p) => p !== undefined)
    if (wrong !== undefined) throw new Error(`a program of ${from} … ${from + 19} differs, WEFT_SEED=${seed}\n${wrong}`)
  }
}

test(
  "WebAssembly computes it",
  async () => {
    const device = await createWasmDevice({ threads: 2, shareFrom: 0 })
    try {
      await onDevice(60, wasmTarget, device, wasmEmit, () => true)
    } finally {
      device.dispose()
    }
  },
  patience,
)

const open = () => createWebgpuDevice()
const present = await available("webgpu", open)

group.skipIf(!present)("WebGPU", () => {
  test(
    "computes it",
    async () => {
      const device = await open()
      const { target, emit, refusal } = webgpuEmitter(device)
      try {
        await onDevice(12, target, device, emit, (job) => refusal(job) === undefined)
      } finally {
        device.dispose()
      }
    },
    patience,
  )
})

test.each(Object.keys(gatherFaults))("planted: %s", (name) => {
  const drawn = fc.sample(gatheredRecipes, { seed, numRuns: runs(500) })
  let places = 0
  const found = drawn.some((r) =>
    withTable(() => {
      const p = buildGathered(r)
      const after = grouped(p, r.block)
      const changed = plant(rootsOf(after), gatherFaults[name]!)
      if (changed === undefined) return false
      places++
      try {
        agree(
          meaning(p),
          meaning({ ...p, outputs: changed }).map((d) => [...d.data]),
        )
        return false
      } catch {
        return true
      }
    }),
  )
  expect(found, `${places} of ${drawn.length} programs have a place for it, WEFT_SEED=${seed}`).toBe(true)
})
