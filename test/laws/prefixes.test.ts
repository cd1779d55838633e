/** prefixes: programs mean what they meant, and their kernels and loops compute it; wrong rewrites are found. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { wasmTarget } from "../../compiler/targets/target.js"
import { changeTensors } from "./faults-online.js"
import { buildProgram, type LawProgram, nodesOf, rootsOf } from "./generate.js"
import { drawsOf, hunt } from "./hunt.js"
import { cutLimits } from "./limits.js"
import { LawBroken } from "./loops.js"
import { checkKernels, checkTiling, meaning } from "./meaning.js"
import { withRoots } from "./online.js"
import { prefixed, prefixFaults, prefixRecipes } from "./prefixed.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law, patience, runs } from "./settings.js"
import { difference } from "./tolerance.js"

const cases = fc.record({
  recipe: prefixRecipes(),
  block: fc.constantFrom(2, 3, 4),
  cuts: cutLimits,
  schedule: scheduleNumbers,
  chosen: fc.boolean(),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

function sameMeaning(before: LawProgram, after: LawProgram): void {
  expect(verifyTensor(rootsOf(after))).toEqual([])
  const expected = meaning(before)
  for (const [i, { data }] of meaning(after).entries()) {
    const { data: wanted, bound } = expected[i]!
    const problem = difference({ name: `result ${i}`, expected: wanted, found: data, bound })
    if (problem !== undefined) throw new LawBroken(problem)
  }
}

const show = ({ recipe, block }: Case) =>
  withTable(() => {
    const p = buildProgram(recipe)
    return `${printTensor(rootsOf(p))}\n${JSON.stringify([...p.values])}\n\n${printTensor(rootsOf(prefixed(p, block)))}`
  })

const inBlocks = (p: LawProgram): number =>
  nodesOf(rootsOf(p)).filter((t) => t.kind === "scan" && t.block !== undefined).length

test(
  "prefixes in blocks are those of the whole",
  () => {
    let blocked = 0
    let inTurn = 0
    law(
      "prefixes",
      cases,
      75,
      ({ recipe, block, cuts, schedule, chosen }) =>
        withTable(() => {
          const p = buildProgram(recipe)
          const after = prefixed(p, block)
          if (inBlocks(after) > 0) blocked++
          sameMeaning(p, after)
          checkKernels(p, after, cuts)
          checkTiling(after, cuts, (kernel, turn) => {
            const own = chooseSchedule(kernel, wasmTarget.schedule)
            if (own.stores.some((s) => Object.values(s.tile).some((t) => t.perThread === block))) inTurn++
            return chosen ? { schedule: own, options: wasmTarget.tile } : drawSchedule(kernel, schedule, turn)
          })
        }),
      show,
    )
    console.log(JSON.stringify({ blocked, inTurn }))
    expect(Math.min(blocked, inTurn)).toBeGreaterThan(runs(75) / 5)
  },
  patience,
)

describe("planted faults", () => {
  const draw = drawsOf(cases)

  test.each(Object.keys(prefixFaults))("%s", (name) =>
    hunt("prefixes", name, draw, ({ recipe, block }, n) =>
      withTable(() => {
        const p = buildProgram(recipe)
        const changed = changeTensors(rootsOf(prefixed(p, block)), prefixFaults[name]!, n % 3)
        if (changed === undefined) return undefined
        try {
          sameMeaning(p, withRoots(p, changed))
          return false
        } catch {
          return true
        }
      }),
    ),
  )
})
