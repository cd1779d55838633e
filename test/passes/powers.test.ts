/** Exponentials as powers of two: near what they were, and what they were where arguments are infinite. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { apply, evaluate, literal, variable, withTable } from "../../compiler/ir/expression.js"
import { recipes } from "../../compiler/ir/recipes.js"
import { instantiate } from "../../compiler/ir/terms.js"
import { inPowersOfTwo } from "../../compiler/tile/fragments/powers.js"

const [x, p] = [variable("x", "f32"), variable("p", "f32")]
const factor = 0.0883883461356163
const weight = () => instantiate(recipes.exp.weight, { $0: apply("mul", x, literal(factor, "f32")), $p0: p })
const values = (score: number, pivot: number) =>
  new Map([
    ["x", Math.fround(score)],
    ["p", Math.fround(pivot)],
  ])

test("weights are near what they were, relative to that of the pivot", () =>
  withTable(() => {
    const [before, after] = [weight(), inPowersOfTwo(weight())]
    const below = fc.double({ min: 0, max: 60, noNaN: true })
    const pivots = fc.double({ min: -30_000, max: 30_000, noNaN: true })
    fc.assert(
      fc.property(pivots, below, (pivot, less) => {
        const at = values(pivot / factor - less / factor, pivot)
        const [own, other] = [evaluate(before, at), evaluate(after, at)]
        expect(Math.abs(own - other)).toBeLessThanOrEqual(2 ** -6 * own + 2 ** -100)
      }),
    )
  }))

test.each([
  [Number.NEGATIVE_INFINITY, 3, 0],
  [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0],
  [Number.NEGATIVE_INFINITY, -3e38, 0],
  [5, Number.POSITIVE_INFINITY, 0],
  [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NaN],
  [Number.NaN, 2, Number.NaN],
  [0, 0, 1],
])("a score of %s below a pivot of %s has the weight %s", (score, pivot, expected) =>
  withTable(() => {
    const at = values(score, pivot)
    expect(evaluate(weight(), at)).toBe(expected)
    expect(evaluate(inPowersOfTwo(weight()), at)).toBe(expected)
  }),
)
