/**
 * Special values: loops and devices do with NaN, infinities and −0 what the interpreter does, for random programs, kernels, folds and schedules, and
 * folds that are joined what they do apart.
 */
import fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { writeElement } from "../../compiler/interpret/memory.js"
import { interpretTensor } from "../../compiler/interpret/tensor.js"
import { rewrite, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { mapExpressions } from "../../compiler/ir/loop-visit.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { loosen } from "../../compiler/kernel/loosen.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { type Target, targetFor, wasmTarget } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { wasmEmit, webgpuEmitter } from "./emitters.js"
import { changeTensors } from "./faults-online.js"
import { dataOf, type LawProgram, rootsOf } from "./generate.js"
import { drawsOf, hunt } from "./hunt.js"
import { type Emit, type Job, jobOf, runJobs } from "./jobs.js"
import { buildLong, type LongRecipe, longMemories } from "./long-sums.js"
import { isWrong, LawBroken, loopsOf, runLoops, wrongEffect } from "./loops.js"
import { changeLoops } from "./mutate.js"
import { withOnlineFolds, withRoots } from "./online.js"
import { drawSchedule, type Scheduled } from "./schedules.js"
import { law, patience, runs, seed } from "./settings.js"
import { difference } from "./tolerance.js"
import {
  effectsOf,
  looseMaxima,
  spoil,
  type Unusual,
  unusualCases,
  unusualFaults,
  waitingProgram,
  withoutWhole,
} from "./unusual.js"

const gpuTarget = targetFor("webgpu", { subgroupSize: 32, workgroupBytes: 49152 })

function meaning(p: LawProgram) {
  const inputs = new Map(
    p.inputs.map((input, i) => {
      const { bound: _, ...dense } = dataOf(p, input)
      spoil({ ...dense, size: dense.data.length, values: dense.data, storage: "f32" }, p.seed + 31 * i, (at, value) => {
        dense.data[at] = value
      })
      return [input.name, dense] as const
    }),
  )
  return interpretTensor(rootsOf(p), inputs, p.values, "absolute")
}

test(
  "joined folds mean what they do apart",
  () =>
    law(
      "special values, joined",
      unusualCases.map((c) => c.waiting),
      100,
      (waiting) =>
        withTable(() => {
          const p = waitingProgram(waiting)
          const expected = meaning(p)
          for (const [i, { data }] of meaning(withOnlineFolds(p)).entries()) {
            const { data: wanted, bound } = expected[i]!
            const problem = difference({ name: `result ${i}`, expected: wanted, found: data, bound, special: true })
            if (problem !== undefined) throw new LawBroken(problem)
          }
        }),
    ),
  patience,
)

const draw = drawsOf(unusualCases)

test("fault: a row of nothing but −∞ sums up to 0", () =>
  withTable(() =>
    hunt("special values, joined", "a row of nothing but −∞ sums up to 0", draw, ({ waiting }) => {
      const p = waitingProgram(waiting)
      const joined = withOnlineFolds(p)
      const expected = meaning(joined)
      // A share has a divisor that is NaN, too.
      return [0, 1, 2].some((n) => {
        const changed = changeTensors(rootsOf(joined), withoutWhole, n)
        if (changed === undefined) return false
        return meaning(withRoots(joined, changed)).some(({ data }, i) => {
          const { data: wanted, bound } = expected[i]!
          return difference({ name: "", expected: wanted, found: data, bound, special: true }) !== undefined
        })
      })
    }),
  ))

/** The loops of a case under its schedule, and what they must do. */
function* loopsOfCase(c: Unusual) {
  for (const [i, { effect, symbols }] of effectsOf(c, withOnlineFolds).entries()) {
    const made = loopsOf(effect.kernel, drawSchedule(effect.kernel, c.schedule, i, 60))
    if (typeof made !== "string") yield { effect, symbols, loops: made.merged }
  }
}

/** The loops with another loose maximum. */
function withLoose(loops: LoopKernel, loose: (a: Expression, b: Expression) => Expression): LoopKernel {
  const memo = new Map<Expression, Expression>()
  const change = (root: Expression): Expression =>
    rewrite(
      root,
      (x) => {
        if (x.kind !== "operation" || x.operation !== "looseMax") return undefined
        return loose(change(x.args[0]!), change(x.args[1]!))
      },
      memo,
    )
  return { ...loops, body: loops.body.map((s) => mapExpressions(s, change)) }
}

test(
  "loops do with them what kernels do",
  () =>
    law("special values, loops", unusualCases, 100, (c) =>
      withTable(() => {
        for (const { effect, symbols, loops: made } of loopsOfCase(c)) {
          const loops = withLoose(made, looseMaxima[c.waiting.seed % looseMaxima.length]!)
          const wrong = wrongEffect(effect, runLoops(loops, effect.before, symbols, c.waiting.seed))
          if (wrong !== undefined) throw new LawBroken(wrong)
        }
      }),
    ),
  patience,
)

test("a NaN among thousands of scores makes its row NaN, whatever a loose maximum does", () =>
  withTable(() => {
    for (const [i, loose] of looseMaxima.slice(0, 2).entries()) {
      const recipe: LongRecipe = { shape: "exp", content: "mixed", count: 4200, rows: 2, open: i === 0, seed }
      const { kernel: given, symbols } = buildLong(recipe)
      const kernel = loosen(given)
      const before = longMemories(kernel, recipe)
      const x = before.get("x")!
      writeElement(x, x.size / 2 + (seed % 4200), Number.NaN)
      for (const { schedule, tile: options } of [wasmTarget, gpuTarget]) {
        const made = loopsOf(kernel, { schedule: chooseSchedule(kernel, schedule), options })
        if (typeof made === "string") throw new Error(made)
        const left = runLoops(withLoose(made.merged, loose), before, symbols, seed)
        expect(Array.from(left.get("y")!.values, Number.isNaN)).toEqual([false, true])
      }
    }
  }))

test.each(Object.keys(unusualFaults))("fault: %s", (name) =>
  withTable(() =>
    hunt("special values", name, draw, (c) => {
      for (const { effect, symbols, loops } of loopsOfCase(c))
        for (let n = 0; n < 8; n++) {
          const changed = changeLoops(loops, unusualFaults[name]!, n)
          if (changed === undefined) break
          if (isWrong(effect, changed, symbols, c.waiting.seed)) return true
        }
      return false
    }),
  ),
)

async function check(count: number, target: Target, device: Device, emit: Emit, fits: (job: Job) => boolean) {
  const drawn = fc.sample(unusualCases, { seed, numRuns: runs(count) })
  const jobs = withTable(() =>
    drawn.flatMap((c) =>
      effectsOf(c, withOnlineFolds).flatMap(({ effect, symbols }, i) => {
        const own: Scheduled = { schedule: chooseSchedule(effect.kernel, target.schedule), options: target.tile }
        const scheduled = c.chosen ? own : drawSchedule(effect.kernel, c.schedule, i, 60)
        const job = jobOf(effect, symbols, scheduled, target)
        return job !== undefined && fits(job) ? [job] : []
      }),
    ),
  )
  console.log(`special values on ${target.name}: ${jobs.length} kernels, WEFT_SEED=${seed}`)
  expect((await runJobs(device, jobs, emit)).filter((p) => p !== undefined).slice(0, 2)).toEqual([])
}

test(
  "WebAssembly does with them what the interpreter does",
  async () => {
    const device = await createWasmDevice({ threads: 1 })
    try {
      await check(60, wasmTarget, device, wasmEmit, () => true)
    } finally {
      device.dispose()
    }
  },
  patience,
)

const present = await available("webgpu", () => createWebgpuDevice())

describe.skipIf(!present)("WebGPU", () => {
  let device: WebgpuDevice | undefined
  afterAll(() => device?.dispose())

  test(
    "does with them what the interpreter does",
    async () => {
      device = await createWebgpuDevice()
      const { target, emit, refusal } = webgpuEmitter(device)
      await check(16, target, device, emit, (job) => refusal(job) === undefined)
    },
    patience,
  )
})
