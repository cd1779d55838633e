/** gather: rows in groups compute what the rows compute, bit by bit, on every device. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { printTensor } from "../../compiler/ir/tensor-print.js"
import { verifyTensor } from "../../compiler/ir/tensor-verify.js"
import { groupGathers } from "../../compiler/passes/gather.js"
import { buildGathered, type GatheredRecipe, gatheredRecipes } from "./gathered.js"
import { buildProgram, type LawProgram, nodesOf, type Recipe, recipes, rootsOf } from "./generate.js"
import { agree, checkKernels, checkPlan, meaning } from "./meaning.js"
import { law, patience } from "./settings.js"

/** The program with its rows in groups, however few there are. */
function grouped(p: LawProgram, block: number): LawProgram {
  const made = groupGathers(rootsOf(p), { rows: 0, block })
  return {
    ...p,
    outputs: made.slice(0, p.outputs.length),
    updates: p.updates.map((u, i) => ({ ...u, tensor: made[p.outputs.length + i]! })),
  }
}

function unchanged(p: LawProgram, after: LawProgram): void {
  expect(verifyTensor(rootsOf(after))).toEqual([])
  for (const [i, t] of rootsOf(p).entries())
    expect(rootsOf(after)[i]!.axes.map((a) => a.name)).toEqual(t.axes.map((a) => a.name))
  agree(
    meaning(p),
    meaning(after).map((d) => [...d.data]),
  )
}

const describe = (r: GatheredRecipe): string =>
  withTable(() => printTensor(rootsOf(grouped(buildGathered(r), r.block))))

test(
  "the meaning of a program is unchanged",
  () => {
    let changed = 0
    const check = (r: GatheredRecipe) =>
      withTable(() => {
        const p = buildGathered(r)
        const after = grouped(p, r.block)
        if (nodesOf(rootsOf(after)).length > nodesOf(rootsOf(p)).length) changed++
        unchanged(p, after)
      })
    law("gather", gatheredRecipes, 500, check, describe)
    expect(changed).toBeGreaterThan(300)
  },
  patience,
)

const blocks = fc.record({ recipe: recipes(), block: fc.constantFrom(1, 2, 3, 4, 8) })

test(
  "nor is that of any other program",
  () =>
    law("gather, any program", blocks, 300, ({ recipe, block }: { recipe: Recipe; block: number }) =>
      withTable(() => {
        const p = buildProgram(recipe)
        unchanged(p, grouped(p, block))
      }),
    ),
  patience,
)

test(
  "kernels compute it",
  () =>
    law(
      "gather, kernels",
      gatheredRecipes,
      150,
      (r) =>
        withTable(() => {
          const p = buildGathered(r)
          checkKernels(p, grouped(p, r.block))
        }),
      describe,
    ),
  patience,
)

test(
  "planned launches compute it",
  () =>
    law(
      "gather, plans",
      fc.tuple(gatheredRecipes, fc.constantFrom("wasm" as const, "webgpu" as const)),
      60,
      ([r, target]) => withTable(() => checkPlan(grouped(buildGathered(r), r.block), target)),
      ([r]) => describe(r),
    ),
  patience,
)
