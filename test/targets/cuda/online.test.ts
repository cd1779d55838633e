/** Random online folds by matrix units, as `tile` emits and CUDA prints them, run on a processor; faults planted in the text are found. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../../compiler/ir/expression.js"
import type { LoopKernel } from "../../../compiler/ir/loop.js"
import { printKernel } from "../../../compiler/ir/print/kernel.js"
import { clampAccesses } from "../../../compiler/loop/clamp-accesses.js"
import { cudaTarget } from "../../../compiler/targets/target.js"
import { isRefusal, tile } from "../../../compiler/tile/tile.js"
import { copied, type Effect, effectOf } from "../../laws/loops.js"
import {
  buildOnline,
  type OnlineKernel,
  type OnlineRecipe,
  onlineMemories,
  onlineRecipes,
  wrongOnline,
} from "../../laws/online-fragments.js"
import { runs, seed } from "../../laws/settings.js"
import { onlineBoxes, onlineBoxesMemories, onlineOfBoxes } from "../../support/online-boxes.js"
import { compilerPresent, type Launch, runCuda, runCudaApart, textOf } from "./run.js"

interface Case {
  readonly made: OnlineKernel
  readonly effect: Effect
  readonly launch: Launch
}

/** What a printer, or a schedule, may do wrong. */
const faults: Readonly<Record<string, (text: string) => string>> = {
  "lanes that hold other registers of a row": (text) => text.replaceAll(/(exchange\(.*), 2\);/g, "$1, 4);"),
  "keys turned": (text) => text.replaceAll("load_turned_matrices_", "load_matrices_"),
}

/** The loops of a fold as CUDA prints them. */
function loopsFor({ kernel, schedule }: Pick<OnlineKernel, "kernel" | "schedule">): LoopKernel | undefined {
  const tiled = tile(kernel, schedule, { ...cudaTarget.tile, sharedBytes: 1 << 18 })
  if (isRefusal(tiled)) return undefined
  const { loops, unproven } = clampAccesses(
    cudaTarget.loopPasses.reduce((before, pass) => pass.run(before), tiled),
    [],
  )
  expect(unproven).toEqual([])
  return loops
}

/** Folds whose chunks the copy engine brings. */
const boxedCases = () =>
  onlineBoxes.map((shape) => {
    const made = onlineOfBoxes(shape)
    const loops = loopsFor(made)
    if (loops === undefined) throw new Error("refused")
    const effect = effectOf(made.kernel, onlineBoxesMemories(made, 5), made.symbols, "exact")
    return { effect, launch: { kernel: loops, memories: copied(effect.before), symbols: made.symbols } }
  })

/** What a printer may do wrong with places that lanes leave. */
const boxedFaults: Readonly<Record<string, (text: string) => string>> = {
  "not all lanes are counted": (text) => text.replaceAll(/last_to_leave<\d+>/g, "last_to_leave<1>"),
  "more lanes than there are": (text) => text.replaceAll(/last_to_leave<(\d+)>/g, (_, n) => `last_to_leave<${2 * n}>`),
  "the first lane alone asks": (text) => text.replaceAll(/if \(last_to_leave<.*\)\) \{/g, "if (lane_number() == 0) {"),
  "nobody clears what is beyond the end": (text) => text.replaceAll(/store\(swizzled<\d+>\(operand_.*\n/g, "\n"),
  "one and the other arrivals": (text) => text.replaceAll(/wait_boxes\(arrivals_\d/g, "wait_boxes(arrivals_0"),
}

test.skipIf(!compilerPresent())("chunks that come by themselves are what they are by definition", () =>
  withTable(() => {
    const cases = boxedCases()
    const problem = ({ effect }: (typeof cases)[number], after: ReturnType<typeof runCuda>[number]) =>
      after === undefined ? "memory around the buffers was written" : wrongOnline(effect, after)
    const after = runCuda(cases.map((c) => c.launch))
    expect(cases.map((c, i) => problem(c, after[i]))).toEqual(cases.map(() => undefined))
    // The first of them is small.
    const own = cases[0]!
    const planted = Object.entries(boxedFaults)
    for (const [name, fault] of planted)
      expect(fault(textOf(own.launch.kernel)), name).not.toBe(textOf(own.launch.kernel))
    // One that has no memories afterwards waits for ever, or asks for what no hardware does.
    const found = runCudaApart(
      planted.map(([, fault]) => ({ ...own.launch, memories: copied(own.effect.before), fault })),
    )
    expect(planted.filter((_, i) => problem(own, found[i]) === undefined).map(([name]) => name)).toEqual([])
  }),
)

function casesOf(recipe: OnlineRecipe): readonly Case[] {
  const made = buildOnline(recipe)
  const loops = loopsFor(made)
  if (loops === undefined) return []
  const symbols = new Map([
    ["seq", recipe.seq],
    ["past", recipe.past],
  ])
  const effect = effectOf(made.kernel, onlineMemories(made, recipe), symbols, "exact")
  return [{ made, effect, launch: { kernel: loops, memories: copied(effect.before), symbols } }]
}

const isWide = ({ made }: Case) => made.traits.includes("asynchronous")

test.skipIf(!compilerPresent())("online folds by matrix units are what they are by definition", () => {
  console.log(`online folds: WEFT_SEED=${seed}`)
  withTable(() => {
    const drawn = fc.sample(onlineRecipes, { seed, numRuns: Math.max(20, runs(40)) }).flatMap(casesOf)
    const count = Math.max(2, runs(3))
    // Of each kind of atom as many.
    const cases = [...drawn.filter((c) => !isWide(c)).slice(0, count), ...drawn.filter(isWide).slice(0, count)]
    const faulty = Object.entries(faults).flatMap(([fault, change]) =>
      cases
        .filter(({ launch }) => change(textOf(launch.kernel)) !== textOf(launch.kernel))
        .slice(0, 4)
        .map(({ effect, launch }) => ({
          fault,
          effect,
          launch: { ...launch, memories: copied(effect.before), fault: change },
        })),
    )
    const after = runCuda([...cases, ...faulty].map((c) => c.launch))
    const wrong = ({ effect }: Pick<Case, "effect">, i: number) =>
      after[i] === undefined ? "memory around the buffers was written" : wrongOnline(effect, after[i])
    for (const [i, c] of cases.entries()) {
      const problem = wrong(c, i)
      if (problem !== undefined)
        throw new Error(`${problem}\n${printKernel(c.made.kernel)}\n${JSON.stringify(c.made.schedule)}`)
    }
    const found = faulty.filter((c, i) => wrong(c, cases.length + i) !== undefined).map((c) => c.fault)
    expect([...new Set(found)].sort()).toEqual(Object.keys(faults).sort())
  })
})

test("results are looked at when nothing is added to them any more", () =>
  withTable(() => {
    const folds = fc.sample(onlineRecipes, { seed, numRuns: 100 }).map(buildOnline)
    const wide = folds.filter(({ traits }) => traits.includes("asynchronous")).slice(0, 8)
    const texts = wide.flatMap((made) => {
      const loops = loopsFor(made)
      return loops === undefined ? [] : [textOf(loops)]
    })
    const ready = texts.flatMap((text) => [...text.matchAll(/wait_products<1>\(\);\n((?:\s*keep<\d+>\(\w+\);\n)*)/g)])
    expect(ready.length).toBeGreaterThan(0)
    for (const [, kept] of ready) {
      expect(kept).toMatch(/keep<\d+>\(scores_\d+\);/)
      expect(kept).not.toMatch(/result_/)
    }
  }))
