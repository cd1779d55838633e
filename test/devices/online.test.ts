/**
 * Online folds on devices: shares of masked rows, the logarithm of a sum of exponentials and squared deviations, under the compiler's own schedules.
 *
 *   row 0 sees no key: its shares are equal, as in two passes
 */

import { afterAll, describe, expect, test } from "vitest"
import { apply, literal, mul, symbol, variable, withTable } from "../../compiler/ir/expression.js"
import { max, sum } from "../../compiler/ir/monoid.js"
import { topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { type Target, wasmTarget } from "../../compiler/targets/target.js"
import { hoist } from "../../compiler/tensor/hoist.js"
import { defaultOnlineLimits, online } from "../../compiler/tensor/online.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { wasmEmit, webgpuEmitter } from "../laws/emitters.js"
import { execute, fuseProgram } from "../laws/execute.js"
import type { LawProgram } from "../laws/generate.js"
import { type Emit, type Job, runJobs } from "../laws/jobs.js"
import { effectOf, loopsOf } from "../laws/loops.js"
import { checkKernels } from "../laws/meaning.js"
import { available } from "./conformance.js"

const f = (i: number) => variable(`$${i}`, "f32")
const seq = 37

function program(): LawProgram {
  const [row, key, dim] = [
    { name: "row", extent: literal(5) },
    { name: "key", extent: symbol("seq", 64, 32) },
    { name: "dim", extent: literal(8) },
  ]
  const input = (name: string, axes: readonly ir.Axis[]) =>
    ir.input(
      name,
      "input",
      axes,
      "f32",
      "f32",
      axes.map((a) => (a === key ? 64 : (a.extent as { value: number }).value)),
    )
  const [s, v] = [input("s", [row!, key!]), input("v", [key!, dim!])]
  const [at, of] = [variable("$1"), variable("$2")]
  const seen = apply("select", apply("lt", of, mul(at, literal(9))), f(0), literal(Number.NEGATIVE_INFINITY, "f32"))
  const score = ir.map(seen, [s, ir.iota(row!, literal(0)), ir.iota(key!, literal(0))])
  const highest = ir.reduce(max, "key", [score])
  const weight = ir.map(apply("exp", apply("sub", f(0), f(1))), [score, highest])
  const total = ir.reduce(sum, "key", [weight])
  const share = ir.map(apply("div", f(0), f(1)), [weight, total])
  const product = apply("mul", f(0), f(1))
  const wide = ir.map(product, [s, s])
  const spread = { name: "spread", extent: literal(1030) }
  const x = ir.map(apply("add", f(0), apply("mul", f(1), literal(1.5, "f32"))), [
    input("x", [row!, spread]),
    ir.reduce(sum, "key", [wide]),
  ])
  const mean = ir.map(apply("div", f(0), literal(1030, "f32")), [ir.reduce(sum, "spread", [x])])
  const deviation = ir.map(apply("sub", f(0), f(1)), [x, mean])
  const outputs = [
    ir.reduce(sum, "key", [ir.map(product, [share, v])]),
    ir.map(apply("add", f(0), apply("log", f(1))), [highest, total]),
    ir.reduce(sum, "spread", [ir.map(product, [deviation, deviation])]),
  ]
  return {
    regime: "analytic",
    outputs,
    updates: [],
    inputs: topological(outputs).filter((t) => t.kind === "input"),
    symbols: [{ name: "seq", max: 64 }],
    values: new Map([["seq", seq]]),
    seed: 7,
    magnitude: 3,
  }
}

/** The kernels as the compiler schedules them for a target. */
function jobs(target: Target): readonly Job[] {
  return withTable(() => {
    const p = program()
    const after: LawProgram = { ...p, outputs: online(hoist(p.outputs), defaultOnlineLimits) }
    const folds = topological(after.outputs).filter((t) => t.kind === "reduce" && t.monoid.kind === "online")
    expect(folds.length).toBeGreaterThanOrEqual(4)
    checkKernels(p, after)
    const made: Job[] = []
    execute(fuseProgram(after), p, (kernel, buffers) => {
      const effect = effectOf(kernel, buffers, p.values, "analytic")
      const loops = loopsOf(kernel, { schedule: chooseSchedule(kernel, target.schedule), options: target.tile })
      if (typeof loops === "string") throw new Error(`refused: ${loops}`)
      made.push({ effect, loops: loops.hoisted, symbols: p.values })
    })
    return made
  })
}

async function check(device: Device, target: Target, emit: Emit): Promise<void> {
  const problems = await runJobs(device, jobs(target), emit)
  expect(problems.length).toBeGreaterThan(0)
  expect(problems.filter((p) => p !== undefined)).toEqual([])
}

test("WebAssembly", async () => {
  const device = await createWasmDevice({ threads: 1 })
  await check(device, wasmTarget, wasmEmit)
  device.dispose()
})

const open = () => createWebgpuDevice()

describe.skipIf(!(await available("webgpu", open)))("WebGPU", () => {
  let device: WebgpuDevice | undefined
  afterAll(() => device?.dispose())

  test("WebGPU", async () => {
    device = await open()
    const { target, emit } = webgpuEmitter(device)
    await check(device, target, emit)
  })
})
