/** hoist and online: programs mean what they meant, and their kernels and loops compute it; wrong rewrites are found. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import type * as ir from "../../compiler/ir/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { execute, fuseProgram, simplified } from "./execute.js"
import { changeTensors, hoistFaults, loopFaultsOnline, onlineFaults } from "./faults-online.js"
import { buildProgram, type LawProgram, nodesOf, type Recipe, recipes, rootsOf } from "./generate.js"
import { drawsOf, hunt } from "./hunt.js"
import { cutLimits } from "./limits.js"
import { effectOf, isWrong, LawBroken, loopsOf } from "./loops.js"
import { checkKernels, checkTiling, meaning } from "./meaning.js"
import { changeLoops } from "./mutate.js"
import { dependentRecipes, hoisted, withOnlineFolds, withRoots } from "./online.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience, runs } from "./settings.js"
import { difference } from "./tolerance.js"

function sameMeaning(before: LawProgram, after: LawProgram): void {
  expect(verifyTensor(rootsOf(after))).toEqual([])
  const expected = meaning(before)
  for (const [i, { data }] of meaning(after).entries()) {
    const { data: wanted, bound } = expected[i]!
    const problem = difference({ name: `result ${i}`, expected: wanted, found: data, bound })
    if (problem !== undefined) throw new LawBroken(problem)
  }
}

const show = (recipe: Recipe, pass: (p: LawProgram) => LawProgram) =>
  withTable(() => {
    const p = buildProgram(recipe)
    return `${printTensor(rootsOf(p))}\n${JSON.stringify([...p.values])}\n\n${printTensor(rootsOf(pass(p)))}`
  })

const isOnline = (t: ir.Tensor): t is ir.Reduce => t.kind === "reduce" && t.monoid.kind === "online"

const isLaw = (pass: (p: LawProgram) => LawProgram) => (recipe: Recipe) =>
  withTable(() => {
    const p = buildProgram(recipe)
    sameMeaning(p, pass(p))
  })

describe("meaning", () => {
  test("hoist keeps it", () => law("hoist", recipes(), 65, isLaw(hoisted), (r) => show(r, hoisted)), patience)

  test(
    "online keeps it",
    () => law("online", dependentRecipes(), 65, isLaw(withOnlineFolds), (r) => show(r, withOnlineFolds)),
    patience,
  )
})

describe("kernels and loops", () => {
  const cases = fc.record({ recipe: dependentRecipes(), cuts: cutLimits, schedule: scheduleNumbers })
  const found = { programs: 0, online: 0, exp: 0, moments: 0, several: 0 }
  const outcomes = new Map<string, number>()

  test(
    "of online folds compute what the program means",
    () => {
      law(
        "online, tiled",
        cases,
        110,
        ({ recipe, cuts, schedule }) =>
          withTable(() => {
            const p = buildProgram(recipe)
            const after = withOnlineFolds(p)
            const folds = nodesOf(rootsOf(after)).filter(isOnline)
            found.programs++
            if (folds.length > 0) found.online++
            for (const { monoid } of folds) {
              if (monoid.kind !== "online") continue
              found[monoid.recipe]++
              if (monoid.channels > 1) found.several++
            }
            checkKernels(p, after, cuts)
            for (const code of checkTiling(after, cuts, (k, turn) => drawSchedule(k, schedule, turn)))
              outcomes.set(code ?? "tiled", (outcomes.get(code ?? "tiled") ?? 0) + 1)
          }),
        ({ recipe }) => show(recipe, withOnlineFolds),
      )
      console.log(JSON.stringify({ ...found, outcomes: [...outcomes] }))
      expect(found.online / found.programs).toBeGreaterThan(runs(65) < 65 ? 0 : 0.4)
      expect(Math.min(found.exp, found.moments, found.several)).toBeGreaterThanOrEqual(
        Math.floor(4 * Math.min(1, runs(110) / 110)),
      )
    },
    patience,
  )
})

describe("planted faults", () => {
  const draw = drawsOf(fc.record({ recipe: dependentRecipes(), schedule: scheduleNumbers }))

  /** `see` answers undefined where the program has no place for the fault. */
  const plant = (law: string, name: string, see: (p: LawProgram, n: number) => boolean | undefined): void =>
    hunt(law, name, draw, ({ recipe }, n) => withTable(() => see(buildProgram(recipe), n)))

  const isSeen = (before: LawProgram, after: LawProgram): boolean => {
    try {
      sameMeaning(before, after)
      return false
    } catch {
      return true
    }
  }

  test.each(Object.keys(hoistFaults))("hoist: %s", (name) =>
    plant("hoist", name, (p, n) => {
      const changed = changeTensors(rootsOf(simplified(p)), hoistFaults[name]!, n % 3)
      return changed && isSeen(p, withRoots(p, changed))
    }),
  )

  test.each(Object.keys(onlineFaults))("online: %s", (name) =>
    plant("online", name, (p, n) => {
      const changed = changeTensors(rootsOf(withOnlineFolds(p)), onlineFaults[name]!, n % 3)
      return changed && isSeen(p, withRoots(p, changed))
    }),
  )

  test.each(Object.keys(loopFaultsOnline))("loops: %s", (name) =>
    plant("loops of online folds", name, (p, n) => {
      let seen: boolean | undefined
      let turn = 0
      execute(fuseProgram(withOnlineFolds(p)), p, (kernel, buffers) => {
        const effect = effectOf(kernel, buffers, p.values, "analytic")
        const loops = loopsOf(kernel, drawSchedule(kernel, draw(n).schedule, turn++))
        const changed = typeof loops === "string" ? undefined : changeLoops(loops.tiled, loopFaultsOnline[name]!, n % 3)
        if (changed !== undefined) seen = seen === true || isWrong(effect, changed, p.values, n)
      })
      return seen
    }),
  )
})
