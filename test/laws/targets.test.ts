/**
 * The compiler's own schedules: for random programs and kernels of long folds each target schedules every kernel, and the loops store what the
 * kernel stores. No adapter has to be there: the interpreter of loops runs also what is made for hardware.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import type { Fused } from "../../compiler/kernel/fuse.js"
import { splitReductions } from "../../compiler/kernel/split-reductions.js"
import { type Target, targetFor } from "../../compiler/targets/target.js"
import { type Compiled, execute, fuseProgram, simplified } from "./execute.js"
import { buildFolds, type FoldRecipe, foldRecipes, foldSymbols } from "./folds.js"
import { buildProgram, recipes } from "./generate.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildLarge, largeRecipes } from "./large.js"
import { type Effect, effectOf, LawBroken, runLoops, wrongEffect } from "./loops.js"
import { dependentRecipes, withOnlineFolds } from "./online.js"
import { law, patience, runs } from "./settings.js"

const hardware = targetFor("webgpu", { subgroupSize: 32, workgroupBytes: 49152 })
const targets: Readonly<Record<string, Target>> = {
  wasm: targetFor("wasm"),
  "webgpu anywhere": targetFor("webgpu"),
  "webgpu in software": targetFor("webgpu", { subgroupSize: 8 }),
  // As for hardware, but what pays there only for long folds is done for short ones, too.
  "webgpu on hardware": { ...hardware, split: { busy: 256, parts: 4, least: 1 / 16 } },
}

const cases = fc.record({
  target: fc.constantFrom(...Object.keys(targets)),
  recipe: fc.oneof(
    { weight: 2, arbitrary: recipes(undefined, false) },
    { weight: 1, arbitrary: dependentRecipes(false) },
  ),
  folds: fc.oneof({ weight: 1, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: foldRecipes }),
  online: fc.boolean(),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)

/** The fields of a schedule that it has somewhere. */
function note(name: string, { stores }: Schedule): void {
  count(`${name}: kernels`)
  if (stores.some((s) => s.computeWith !== undefined)) count(`${name}: with`)
  if (stores.some((s) => Object.values(s.reduce).some((r) => r.chunk !== undefined))) count(`${name}: chunks`)
  if (stores.some((s) => s.staged !== undefined && Object.keys(s.staged).some((k) => k !== "scores")))
    count(`${name}: held`)
  if (stores.some((s) => Object.values(s.reduce).some((r) => r.vector === 8))) count(`${name}: eights`)
}

function checkChosen(name: string, effect: Effect, symbols: ReadonlyMap<string, number>, seed: number): void {
  // Throws when no attempt is accepted.
  const { loops, schedule: chosen } = compileKernel(effect.kernel, targets[name]!, { verify: true })
  note(name, chosen)
  let wrong: string | undefined
  try {
    wrong = wrongEffect(effect, runLoops(loops, effect.before, symbols, seed))
  } catch (e) {
    wrong = String(e)
  }
  if (wrong !== undefined)
    throw new LawBroken(`${wrong}\n${printKernel(effect.kernel)}\n${JSON.stringify(chosen)}\n${printLoop(loops)}`)
}

function check({ target: name, recipe, folds, online }: Case): void {
  const { split } = targets[name]!
  const inParts = (fused: Fused) => (split === undefined ? fused : splitReductions(fused, split))
  withTable(() => {
    if (folds !== null) {
      const { kernel, regime } = buildFolds(folds)
      const symbols = foldSymbols(folds)
      checkChosen(name, effectOf(kernel, kernelMemories(kernel, folds.seed), symbols, regime), symbols, folds.seed)
      return
    }
    const drawn = buildProgram(recipe)
    const p = online ? withOnlineFolds(drawn) : simplified(drawn)
    const whole = fuseProgram(p)
    const units = new Map<unknown, Fused>()
    const compiled: Compiled = {
      fused: inParts(whole.fused),
      units: (u) => {
        const known = units.get(u) ?? inParts(whole.units(u))
        units.set(u, known)
        return known
      },
    }
    execute(compiled, p, (kernel: Kernel, buffers) => {
      checkChosen(name, effectOf(kernel, buffers, p.values, p.regime), p.values, p.seed)
    })
  })
}

test(
  "every target's own schedules store what the kernels store",
  () => {
    law("chosen schedules", cases, 160, check)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    const least = 2 * Math.min(1, runs(160) / 160)
    for (const name of Object.keys(targets)) {
      expect(counts.get(`${name}: kernels`) ?? 0, name).toBeGreaterThan(10 * least)
      expect(counts.get(`${name}: chunks`) ?? 0, `${name}: chunks`).toBeGreaterThan(runs(160) < 160 ? -1 : 0)
    }
    expect(counts.get("webgpu on hardware: with") ?? 0).toBeGreaterThan(least / 5)
  },
  patience,
)

test.each([
  ["webgpu on hardware", 25, 6, 0],
  ["wasm", 70, 3, 1],
])(
  "large kernels of %s hold their operands, and store what they store",
  (name, count, least, eights) => {
    const show = (recipe: FoldRecipe) => withTable(() => printKernel(buildLarge(recipe).kernel))
    const noted = () => ["held", "eights"].map((field) => counts.get(`${name}: ${field}`) ?? 0) as [number, number]
    const before = noted()
    law(
      `large kernels ${name}`,
      largeRecipes,
      count,
      (recipe) =>
        withTable(() => {
          const { kernel, regime } = buildLarge(recipe)
          const symbols = foldSymbols(recipe)
          checkChosen(
            name,
            effectOf(kernel, kernelMemories(kernel, recipe.seed), symbols, regime),
            symbols,
            recipe.seed,
          )
        }),
      show,
    )
    const after = noted()
    const [held, wide] = [after[0] - before[0], after[1] - before[1]]
    console.log(`${held} of ${runs(count)} hold operands, ${wide} fold vectors of eight halves`)
    expect(held).toBeGreaterThan(least * Math.min(1, runs(count) / count))
    expect(wide).toBeGreaterThanOrEqual(Math.min(eights, Math.floor((eights * runs(count)) / count)))
  },
  patience,
)
