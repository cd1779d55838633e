/** gather: rows in groups compute what the rows compute, bit by bit, on every device. */
import fc from "fast-check"
import { expect, describe as group, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { type Target, wasmTarget } from "../../compiler/targets/target.js"
import { groupGathers } from "../../compiler/tensor/group-gathers.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { wasmEmit, webgpuEmitter } from "./emitters.js"
import { execute, fuseProgram, simplified } from "./execute.js"
import { gatherFaults, plant } from "./faults-gather.js"
import { buildGathered, type GatheredRecipe, gatheredRecipes } from "./gathered.js"
import { type LawProgram, nodesOf, rootsOf } from "./generate.js"
import { type Emit, type Job, runJobs } from "./jobs.js"
import { levels } from "./levels.js"
import { effectOf, loopsOf } from "./loops.js"
import { agree, checkKernels, checkPlan, meaning } from "./meaning.js"
import { poolOf } from "./pool.js"
import { patience, runs, seed } from "./settings.js"

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

/** Programs and their groups, made once for all levels: the slowest fault takes five in the median. */
const pool = poolOf(gatheredRecipes, 100, (recipe) => {
  const program = buildGathered(recipe)
  return { recipe, program, after: grouped(program, recipe.block) }
})

test(
  "the meaning of a program is unchanged",
  () => {
    let changed = 0
    const check = ({ program, after }: { readonly program: LawProgram; readonly after: LawProgram }) => {
      if (nodesOf(rootsOf(after)).length > nodesOf(rootsOf(program)).length) changed++
      unchanged(program, after)
    }
    pool.law("gather", check, describe)
    expect(changed).toBeGreaterThan(runs(60))
  },
  patience,
)

test(
  "nor is that of any other program",
  () =>
    levels.law("gather, any program", ({ program, drawn }) =>
      unchanged(program, grouped(program, [1, 2, 3, 4, 8][drawn.recipe.seed % 5]!)),
    ),
  patience,
)

test(
  "kernels compute it",
  () => pool.law("gather, kernels", ({ program, after }) => checkKernels(program, after), describe, 50),
  patience,
)

test(
  "planned launches compute it",
  () =>
    pool.law(
      "gather, plans",
      ({ recipe, after }) => checkPlan(after, recipe.block % 2 === 0 ? "wasm" : "webgpu"),
      describe,
      20,
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
      await onDevice(30, wasmTarget, device, wasmEmit, () => true)
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
        await onDevice(8, target, device, emit, (job) => refusal(job) === undefined)
      } finally {
        device.dispose()
      }
    },
    patience,
  )
})

test.each(Object.keys(gatherFaults))("planted: %s", (name) =>
  pool.hunt("gather", name, ({ program, after }) => {
    const changed = plant(rootsOf(after), gatherFaults[name]!)
    if (changed === undefined) return undefined
    try {
      agree(
        meaning(program),
        meaning({ ...program, outputs: changed }).map((d) => [...d.data]),
      )
      return false
    } catch {
      return true
    }
  }),
)
