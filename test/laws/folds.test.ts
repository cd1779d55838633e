/** Random kernels of long folds, masked or not, under random schedules: their loops store what the kernels store. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { buildFolds, type FoldKernel, type FoldRecipe, foldRecipes, foldSymbols } from "./folds.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, effectOf, loopsOf } from "./loops.js"
import { drawSchedule, type Scheduled, scheduleNumbers } from "./schedules.js"
import { law, patience, runs } from "./settings.js"

const cases = fc.record({ recipe: foldRecipes, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)

function check({ recipe, schedule }: Case): void {
  withTable(() => {
    const made = buildFolds(recipe)
    const { kernel, regime } = made
    expect(verifyKernel(kernel)).toEqual([])
    const symbols = foldSymbols(recipe)
    const effect = effectOf(kernel, kernelMemories(kernel, recipe.seed), symbols, regime)
    const drawn = drawSchedule(kernel, schedule, 0, 90)
    const refusal = checkLoops(effect, drawn, symbols, recipe.seed)
    note(made, drawn, refusal)
  })
}

/** What was tiled of this kind. */
function note({ kernel, fold, masked }: FoldKernel, drawn: Scheduled, refusal: string | undefined): void {
  const { stores } = drawn.schedule
  if (refusal !== undefined) {
    count(`refused ${refusal}`)
    return
  }
  count("tiled")
  const chunked = stores.some((s) => Object.values(s.reduce).some((r) => r.chunk !== undefined))
  if (!chunked) return
  count(`chunked ${fold}`)
  if (masked) count(`masked ${fold}`)
  if (stores.some((s) => s.computeWith !== undefined)) count("with")
  const loops = loopsOf(kernel, drawn)
  if (typeof loops === "string") return
  // The names that tile gives: the first chunk of a range, and its last element.
  const named = new Set(everyStatement(loops.tiled.body).flatMap((s) => (s.kind === "let" ? [s.name] : [])))
  const isOnline = fold === "exp" || fold === "moments"
  for (const end of ["from", "end"])
    if ([...named].some((name) => new RegExp(`^key_${end}_\\d+$`).test(name)))
      count(`${isOnline ? "online" : "plain"} range ${end}`)
}

const describe = ({ recipe }: { readonly recipe: FoldRecipe }): string =>
  withTable(() => `${printKernel(buildFolds(recipe).kernel)}\n${JSON.stringify([...foldSymbols(recipe)])}`)

test(
  "loops of long folds store what the kernels store",
  () => {
    law("folds", cases, 300, check, describe)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    // The rarest comes six times on average.
    const least = Math.min(runs(300), 300) / 300 - 1
    const kinds = ["exp", "moments", "sum", "max"]
    const ranges = ["plain range from", "plain range end", "online range from", "online range end"]
    for (const name of [...kinds.map((k) => `masked ${k}`), "with", ...ranges])
      expect(counts.get(name) ?? 0, name).toBeGreaterThan(least)
  },
  patience,
)
