/**
 * Random programs at all levels: simplify and fuse keep their meaning whatever the cuts; loops store what their kernel stores under any schedule
 * that is not refused, those of random kernels too; planned launches over shared slots compute the program.
 *
 * Plans are compiled as the compiler does it. Two entries share their slots, as in a model, and run one after the other; between launches the
 * scratch slots that no live buffer holds are garbage.
 */
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { fuseProgram, simplified } from "./execute.js"
import { buildProgram, rootsOf } from "./generate.js"
import { type Case, type Level, levels, randomKernel } from "./levels.js"
import { checkLoops, LawBroken } from "./loops.js"
import { agree, checkPlan, kernelsOf, meaning } from "./meaning.js"
import { drawSchedule } from "./schedules.js"
import { patience } from "./settings.js"
import { difference } from "./tolerance.js"

const describe = ({ recipe, cuts, bindings, simplify }: Case): string =>
  withTable(() => {
    const drawn = buildProgram(recipe)
    const p = simplify ? simplified(drawn) : drawn
    const kernels = () => kernelsOf(fuseProgram(p, cuts, bindings)).map(printKernel)
    return [printTensor(rootsOf(p)), JSON.stringify([...p.values]), ...attempted(kernels)].join("\n")
  })

/** What cannot be made cannot be shown. */
function attempted(make: () => string[]): string[] {
  try {
    return make()
  } catch {
    return []
  }
}

test(
  "kernels compute what the program means",
  () => levels.law("fuse", (l) => agree(l.expected(), l.run().results), describe),
  patience,
)

test(
  "simplification changes nothing, not even a rounding",
  () =>
    levels.law(
      "simplify",
      ({ program, expected }) => {
        const after = simplified(program)
        expect(verifyTensor(rootsOf(after))).toEqual([])
        for (const [i, { data }] of meaning(after).entries()) {
          const problem = difference({ name: `result ${i}`, expected: expected()[i]!.data, found: data })
          if (problem !== undefined) throw new LawBroken(problem)
        }
      },
      describe,
    ),
  patience,
)

test(
  "loops store what their kernel stores",
  () => {
    const outcomes = new Map<string, number>()
    const check = ({ drawn, program, run }: Level) => {
      for (const [turn, effect] of run().effects.entries()) {
        const scheduled = drawSchedule(effect.kernel, drawn.schedule, turn)
        const outcome = checkLoops(effect, scheduled, program.values, program.seed) ?? "tiled"
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }
    }
    levels.law("tile", check, describe)
    const all = [...outcomes.values()].reduce((a, b) => a + b, 0)
    console.log(`${all} schedules: ${JSON.stringify([...outcomes])}`)
    expect((outcomes.get("tiled") ?? 0) / all).toBeGreaterThan(0.6)
  },
  patience,
)

test(
  "loops of random kernels store what the kernels store",
  () => {
    const refusals = new Map<string, number>()
    let tiled = 0
    const check = ({ drawn, random }: Level) => {
      const { effect, symbols } = random()
      expect(verifyKernel(effect.kernel)).toEqual([])
      const refusal = checkLoops(effect, drawSchedule(effect.kernel, drawn.schedule), symbols, drawn.kernel.seed)
      if (refusal === undefined) tiled++
      else refusals.set(refusal, (refusals.get(refusal) ?? 0) + 1)
    }
    const show = (c: Case) => withTable(() => `${printKernel(randomKernel(c))}\nseq = ${c.kernel.seq}`)
    levels.law("kernels", check, show)
    console.log(`tiled ${tiled}, refused ${JSON.stringify([...refusals])}`)
  },
  patience,
)

test(
  "planned launches over shared slots compute what the program means",
  () => levels.law("plan", (l) => checkPlan(l.unpacked(), l.drawn.target), describe),
  patience,
)
