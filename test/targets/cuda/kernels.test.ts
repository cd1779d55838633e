/**
 * What is printed as CUDA does on a processor what the loops mean: eleven kernels under several schedules, and random programs.
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
import { casesOfHalves, jobsOf } from "../../laws/jobs.js"
import { copied, early, loopsOf, wrongEffect } from "../../laws/loops.js"
import { drawSchedule } from "../../laws/schedules.js"
import { runs, seed } from "../../laws/settings.js"
import { generator, samples } from "../wasm-support.js"
import { examples, unrolled } from "./kernels.js"
import { compilerPresent, type Launch, runCuda, textOf } from "./run.js"

const target = targetFor("cuda")
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
    const { schedule, options } = drawSchedule(kernel, numbers, turn, 60)
    const drawn = loopsOf(kernel, { schedule, options: { ...options, singleHalves: true } })
    if (typeof drawn !== "string") made.push(drawn)
  }
  return made.map((stages, i) => {
    if (typeof stages === "string") throw new Error(`${kernel.name} is refused: ${stages}`)
    return early(i === 1 ? stages.tiled : stages.merged)
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

/** Faults of a printer. */
const faults: Readonly<Record<string, (text: string) => string>> = {
  "no barrier": (text) => text.replace(/barrier\(\);(?![\s\S]*barrier)/, ""),
  "another lane's value": (text) => text.replace(/(exchange\(.*), 4\)/, "$1, 8)"),
  "the next vector": (text) => text.replace(/load<4>\((\w+) \+/, "load<4>($1 + 4 +"),
  "a store before its place": (text) => text.replace(/store\((\w+) \+/, "store($1 - 4 +"),
  "two shared arrays in one place": (text) => text.replace(/shared_pool \+ [1-9]\d*/, "shared_pool + 0"),
  "a quotient that is not the floor": (text) =>
    text.replaceAll("floor_quotient", "quotient").replaceAll("floor_remainder", "remainder_of"),
  "one iteration less": (text) => text.replace(/(i32 (?!g\w*)\w+ = 0; \w+) < (\w+)/, "$1 < $2 - 1"),
  "the other half": (text) => text.replace(/\.at\[0\]/, ".at[1]"),
}
/** Of the kernels whose text has a place for a fault, the first few. */
const faulty = Object.entries(faults).flatMap(([fault, change]) =>
  cases
    .filter(({ launch }) => change(textOf(launch.kernel)) !== textOf(launch.kernel))
    .slice(0, 3)
    .map((c) => ({ ...c, fault, launch: { ...c.launch, fault: change } })),
)
const present = compilerPresent()

/** Where the memories after a launch are not what the interpreter leaves. */
function wrongOf({ launch: { kernel, memories }, within }: Case, after: ReadonlyMap<string, Memory> | undefined) {
  if (after === undefined) return ["memory around the buffers was written"]
  const close = (x: number, y: number) => Object.is(x, y) || Math.abs(x - y) <= within * Math.abs(x)
  const expected = copied(memories)
  interpretLoop(kernel, expected, symbols)
  return kernel.buffers.flatMap(({ name }) => {
    const [x, y] = [expected.get(name)!.values, after.get(name)!.values]
    return [...x.keys()].filter((k) => !close(x[k]!, y[k]!)).map((k) => `${name}[${k}] is ${y[k]}, not ${x[k]}`)
  })
}

describe.skipIf(!present)("kernels as CUDA, against the interpreter of loops", () => {
  let after: ReturnType<typeof runCuda>
  beforeAll(() => {
    after = runCuda([...cases, ...faulty].map(({ launch }) => launch))
  })

  it.each(cases.map((c, i) => ({ ...c, i })))("$name", (c) => {
    expect(wrongOf(c, after[c.i])).toEqual([])
  })

  it.each(Object.keys(faults))("find in the text: %s", (fault) => {
    const found = faulty.filter((c, i) => c.fault === fault && wrongOf(c, after[cases.length + i]).length > 0)
    expect(found).not.toEqual([])
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
    const programs = fc.sample(casesOfHalves, { seed, numRuns: runs(12) })
    const jobs = programs.flatMap((c) => jobsOf(c, target))
    console.log(`CUDA: ${programs.length} programs, ${jobs.length} kernels, WEFT_SEED=${seed}`)
    const found = runCuda(
      jobs.map(({ effect, loops, symbols }) => ({ kernel: early(loops), memories: effect.before, symbols })),
    )
    const wrong = jobs.flatMap(({ effect, loops }, i) => {
      const problem = found[i] === undefined ? "memory around the buffers was written" : wrongEffect(effect, found[i])
      return problem === undefined ? [] : [`${problem}\n${printKernel(effect.kernel)}\n${printLoop(loops)}`]
    })
    expect(wrong).toEqual([])
  })
})
