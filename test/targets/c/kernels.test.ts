/**
 * What targets/text prints does, as C, what the loops mean: ten kernels under several schedules, and random programs.
 */
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { interpretLoop } from "../../../compiler/interpret/loop.js"
import { allocateBuffer, type Memory, writeElement } from "../../../compiler/interpret/memory.js"
import { extentAt } from "../../../compiler/ir/dim.js"
import { walk } from "../../../compiler/ir/expression.js"
import type { Kernel } from "../../../compiler/ir/kernel.js"
import type { LoopKernel } from "../../../compiler/ir/loop.js"
import { everyStatement, expressionsOf } from "../../../compiler/ir/loop-visit.js"
import { printKernel } from "../../../compiler/ir/print/kernel.js"
import { printLoop } from "../../../compiler/ir/print/loop.js"
import { chooseSchedule } from "../../../compiler/schedule/choose.js"
import { targetFor } from "../../../compiler/targets/target.js"
import { deviceCases, type Job, jobsOf } from "../../laws/jobs.js"
import { copied, loopsOf, wrongEffect } from "../../laws/loops.js"
import { drawSchedule } from "../../laws/schedules.js"
import { runs, seed } from "../../laws/settings.js"
import { generator, samples } from "../wasm-support.js"
import { examples, unrolled } from "./kernels.js"
import { compilerPresent, type Launch, runC } from "./run.js"

/** Few lanes, for each is a thread. */
const target = targetFor("webgpu", { subgroupSize: 8 })
const symbols = new Map([["rows", 21]])

function memoriesOf({ buffers }: LoopKernel, seed: number): Map<string, Memory> {
  const random = generator(seed)
  return new Map(
    buffers.map(({ name, dtype, storage, size: extent, access }) => {
      const size = extentAt(extent, symbols)
      const memory = allocateBuffer(dtype, storage, size)
      const values =
        dtype === "f32" ? Array.from({ length: size }, () => random() * 4 - 2) : samples(dtype, size, random)
      for (const [i, x] of values.entries()) writeElement(memory, i, access === "read" ? x : 0)
      return [name, memory]
    }),
  )
}

/** The loops as the compiler schedules and emits a kernel; then under two random schedules, of one as it is tiled, before any pass. */
function layouts(kernel: Kernel, at: number): readonly LoopKernel[] {
  const chosen = { schedule: chooseSchedule(kernel, target.schedule), options: target.tile }
  const random = generator(at)
  const numbers = Array.from({ length: 48 }, () => Math.floor(random() * 10_000))
  const made = [loopsOf(kernel, chosen)]
  for (let turn = 0; made.length < 3; turn++) {
    const drawn = loopsOf(kernel, drawSchedule(kernel, numbers, turn, 60))
    if (typeof drawn !== "string") made.push(drawn)
  }
  return made.map((stages, i) => {
    if (typeof stages === "string") throw new Error(`${kernel.name} is refused: ${stages}`)
    return i === 1 ? stages.tiled : stages.merged
  })
}

interface Case {
  readonly name: string
  readonly within: number
  readonly launch: Launch
}

const scheduled = examples.flatMap(({ kernel, within = 0 }, i) =>
  layouts(kernel, i + 21).map(
    (loops, layout): Case => ({
      name: `${kernel.name}, layout ${layout}`,
      within,
      launch: { kernel: loops, memories: memoriesOf(loops, 7 * i + 1), symbols },
    }),
  ),
)
const byHand: Case = {
  name: "unrolled",
  within: 0,
  launch: { kernel: unrolled(), memories: memoriesOf(unrolled(), 5), symbols },
}
const cases = [...scheduled, byHand]
const present = compilerPresent()

describe.skipIf(!present)("kernels as C, against the interpreter of loops", () => {
  let after: readonly ReadonlyMap<string, Memory>[]
  beforeAll(() => {
    after = runC(cases.map(({ launch }) => launch))
  })

  it.each(cases.map((c, i) => ({ ...c, i })))("$name", ({ launch: { kernel, memories }, within, i }) => {
    const close = (x: number, y: number) => Object.is(x, y) || Math.abs(x - y) <= within * Math.abs(x)
    const expected = copied(memories)
    interpretLoop(kernel, expected, symbols)
    const wrong = kernel.buffers.flatMap(({ name }) => {
      const [x, y] = [expected.get(name)!.values, after[i]!.get(name)!.values]
      return [...x.keys()].filter((k) => !close(x[k]!, y[k]!)).map((k) => `${name}[${k}] is ${y[k]}, not ${x[k]}`)
    })
    expect(wrong).toEqual([])
  })

  it("meets every statement, and vectors of each width", () => {
    const found = new Set<string>()
    for (const { launch } of cases)
      for (const s of everyStatement(launch.kernel.body)) {
        found.add(s.kind === "alloc" ? `${s.space} array` : s.kind === "for" ? `for ${s.bind}` : s.kind)
        for (const e of expressionsOf(s)) walk(e, (x) => found.add(`${x.kind} ${x.width}`))
      }
    const statements = ["assign", "barrier", "block", "if", "let", "register array", "shared array", "shuffle", "store"]
    const loops = ["for grid", "for lane", "for serial", "for unroll"]
    const expressions = ["fetch 1", "lane 1", "literal 1", "ramp 4", "symbol 1", "variable 1"]
    const vectors = [2, 4, 8].flatMap((n) => [`fetch ${n}`, `operation ${n}`, `splat ${n}`, `vector ${n}`])
    expect([...statements, ...loops, ...expressions, ...vectors].filter((kind) => !found.has(kind))).toEqual([])
  })

  it("random programs and kernels, against their interpreters", () => {
    const programs = fc.sample(deviceCases, { seed, numRuns: runs(12) })
    const jobs = programs.flatMap((c) => jobsOf(c, target)).filter((j): j is Job => j.loops.threads <= 32)
    console.log(`C: ${programs.length} programs, ${jobs.length} kernels, WEFT_SEED=${seed}`)
    const found = runC(jobs.map(({ effect, loops, symbols }) => ({ kernel: loops, memories: effect.before, symbols })))
    const wrong = jobs.flatMap(({ effect, loops }, i) => {
      const problem = wrongEffect(effect, found[i]!)
      return problem === undefined ? [] : [`${problem}\n${printKernel(effect.kernel)}\n${printLoop(loops)}`]
    })
    expect(wrong).toEqual([])
  })
})
