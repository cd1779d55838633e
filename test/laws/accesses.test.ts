/**
 * Accesses that are proven to lie in their arrays do, whatever lies in memory, at the smallest and the largest sizes; and what reaches out of an
 * array is not proven.
 *
 * Loops run on the interpreter, where every array ends in nothing: an access beyond it is a fault. What they read are wild numbers. Of random
 * kernels nearly all must be proven; wrong ones (a mask off by one, a bound off by one, a clamp dropped, an array one element short, a need that
 * says too much) must not be, where they reach out.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { interpretLoop, LoopFault } from "../../compiler/interpret/loop.js"
import { allocateBuffer, type Memory } from "../../compiler/interpret/memory.js"
import { extentAt } from "../../compiler/ir/dim.js"
import { add, apply, literal, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { describeUnproven, proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { clampAccesses } from "../../compiler/loop/clamp-accesses.js"
import { needsOf } from "../../compiler/plan/needs.js"
import { assumedBy } from "../../compiler/prove-kernels.js"
import { scrambled } from "./choices.js"
import { loopFaults } from "./faults.js"
import { rootsOf } from "./generate.js"
import { buildKernel, kernelRecipes } from "./kernels.js"
import { type Level, levels } from "./levels.js"
import { LawBroken, loopsOf } from "./loops.js"
import { changeLoops, type Rules } from "./mutate.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { patience } from "./settings.js"

type Sizes = ReadonlyMap<string, number>

interface Sample {
  readonly loops: LoopKernel
  readonly assumed: readonly Expression[]
  readonly sizes: readonly Sizes[]
}

/** The kernels of a program and the random kernel beside it, as devices get them. */
function samplesOf({ drawn, program, run, random }: Level): readonly Sample[] {
  const made: Sample[] = []
  const assumed = assumedBy(needsOf(rootsOf(run().after)), program.symbols)
  for (const [turn, { kernel }] of run().effects.entries()) {
    const stages = loopsOf(kernel, drawSchedule(kernel, drawn.schedule, turn))
    if (typeof stages !== "string")
      made.push({ loops: stages.merged, assumed, sizes: admissible(program.symbols, program.values, assumed) })
  }
  const { effect, symbols } = random()
  const stages = loopsOf(effect.kernel, drawSchedule(effect.kernel, drawn.schedule))
  if (typeof stages !== "string")
    made.push({ loops: stages.merged, assumed: [], sizes: admissible([{ name: "seq", max: 7 }], symbols, []) })
  return made
}

/** The drawn sizes, and the extreme ones that meet the needs. */
function admissible(
  symbols: readonly { readonly name: string; readonly max: number }[],
  drawn: Sizes,
  assumed: readonly Expression[],
): readonly Sizes[] {
  const all = symbols.reduce<Sizes[]>(
    (found, { name, max }) => found.flatMap((s) => [0, 1, max].map((value) => new Map(s).set(name, value))),
    [new Map()],
  )
  return [drawn, ...all].filter((s) => assumed.every((x) => extentAt(x, s) >= 0))
}

const wild = [-1, 2 ** 31 - 1, -(2 ** 31), 1, 1000, 0, -7, 3]

function wildMemories({ buffers }: LoopKernel, sizes: Sizes, seed: number): Map<string, Memory> {
  const next = scrambled(seed)
  return new Map(
    buffers.map((b) => {
      const memory = allocateBuffer(b.dtype, b.storage, extentAt(b.size, sizes))
      for (let i = 0; i < memory.size; i++) memory.values[i] = wild[next() % wild.length]!
      return [b.name, memory]
    }),
  )
}

/** The first access out of an array; other faults end a run. */
function reachesOut(loops: LoopKernel, sizes: readonly Sizes[]): LoopFault | undefined {
  for (const [i, symbols] of sizes.entries())
    try {
      interpretLoop(loops, wildMemories(loops, symbols, i + 1), symbols, { seed: i + 1, trustWriteBuffers: true })
    } catch (e) {
      if (!(e instanceof LoopFault)) throw e
      if (e.code === "out-of-range") return e
    }
  return undefined
}

/** @throws LawBroken when loops are proven and reach out all the same */
function holds({ loops, assumed, sizes }: Sample): boolean {
  if (proveAccesses(loops, assumed).unproven.length > 0) return false
  const fault = reachesOut(loops, sizes)
  if (fault !== undefined) throw new LawBroken(`proven, but ${fault.message}\n${printLoop(loops)}`)
  return true
}

test(
  "what is proven stays within its arrays; nearly all of random kernels is, and the rest by clamps",
  () => {
    let [all, proven] = [0, 0]
    const check = (level: Level) => {
      for (const sample of samplesOf(level)) {
        all++
        if (holds(sample)) proven++
        else {
          const { loops, unproven } = clampAccesses(sample.loops, sample.assumed)
          expect(unproven.map(describeUnproven)).toEqual([])
          holds({ ...sample, loops })
        }
      }
    }
    levels.law("accesses", check, undefined, 30)
    console.log(`${proven} of ${all} kernels are proven`)
    expect(proven / all).toBeGreaterThan(0.85)
  },
  patience,
)

test("at least 95 of 100 random kernels are proven as they are", () => {
  // The same ones each time, so that it is a count and no chance.
  const drawn = fc.sample(fc.record({ recipe: kernelRecipes, schedule: scheduleNumbers }), { seed: 7, numRuns: 150 })
  let [all, proven] = [0, 0]
  for (const { recipe, schedule } of drawn)
    withTable(() => {
      const kernel = buildKernel(recipe)
      const stages = loopsOf(kernel, drawSchedule(kernel, schedule))
      if (typeof stages === "string") return
      all++
      if (proveAccesses(stages.merged).unproven.length === 0) proven++
    })
  console.log(`${proven} of ${all} kernels are proven`)
  expect(all).toBeGreaterThan(100)
  expect(proven / all).toBeGreaterThanOrEqual(0.95)
})

const dropped =
  (name: "min" | "max") =>
  (x: Expression): Expression | undefined =>
    x.kind === "operation" && x.operation === name && x.dtype === "i32"
      ? x.args[0]!.kind === "literal"
        ? x.args[1]
        : x.args[0]
      : undefined

/** Loops that may reach out. */
const faults: Readonly<Record<string, (s: Sample) => readonly (Sample | undefined)[]>> = {
  "boundary mask off by one": (s) => changed(s, loopFaults["boundary mask off by one"]!(s.loops)),
  "point mask off by one": (s) => changed(s, loopFaults["point mask off by one"]!(s.loops)),
  "a loop that turns once too often": (s) =>
    changed(s, {
      statement: (b) =>
        b.kind === "for" && b.bind === "serial" ? [{ ...b, extent: add(b.extent, literal(1)) }] : undefined,
    }),
  "an upper clamp dropped": (s) => changed(s, { expression: dropped("min") }),
  "a lower clamp dropped": (s) => changed(s, { expression: dropped("max") }),
  "an offset off by one": (s) =>
    changed(s, {
      expression: (x) =>
        x.kind === "operation" && x.operation === "mul" && x.dtype === "i32" ? apply("add", x, literal(1)) : undefined,
    }),
  "a buffer one element short": (s) =>
    s.loops.buffers.map((_, i) => {
      // A buffer of no elements has none less.
      const shorter = (size: Expression) => apply("max", add(size, literal(-1)), literal(0))
      const buffers = s.loops.buffers.map((b, j) => (i === j ? { ...b, size: shorter(b.size) } : b))
      return { ...s, loops: { ...s.loops, buffers } }
    }),
  "a local one element short": (s) => {
    const allocs = everyStatement(s.loops.body).filter((b) => b.kind === "alloc" && b.size > 1).length
    return Array.from({ length: allocs }, (_, i) =>
      changedAt(
        s,
        { statement: (b) => (b.kind === "alloc" && b.size > 1 ? [{ ...b, size: b.size - 1 }] : undefined) },
        i,
      ),
    )
  },
}

function changedAt(s: Sample, rules: Rules, place: number): Sample | undefined {
  const loops = changeLoops(s.loops, rules, place)
  return loops === undefined ? undefined : { ...s, loops }
}
const changed = (s: Sample, rules: Rules) => [0, 1, 2].map((place) => changedAt(s, rules, place))

test.each(Object.keys(faults))("a planted fault is not proven: %s", (name) => {
  levels.hunt("accesses", name, (level) => {
    let placed = false
    for (const sample of samplesOf(level))
      for (const wrong of faults[name]!(sample)) {
        if (wrong === undefined) continue
        placed = true
        // Proven and harmless, or not proven; it counts where it reaches out.
        if (!holds(wrong) && reachesOut(wrong.loops, wrong.sizes) !== undefined) return true
      }
    return placed ? false : undefined
  })
})
