/** Recipes: every chunking and every bracketing of the merge equals the two passes, to 1e-12 in float64; planted faults do not. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { compileScalar } from "../../compiler/interpret/scalar.js"
import { literal, variable, withTable } from "../../compiler/ir/expression.js"
import { type Recipe, type RecipeName, recipeOf, recipes } from "../../compiler/ir/recipes.js"
import { instantiate, numbered } from "../../compiler/ir/terms.js"
import { Choices } from "./choices.js"
import { recipeFaults } from "./faults-online.js"
import { drawsOf, hunt } from "./hunt.js"
import { type Algebra, algebraOf, inTwoPasses, type Row, wrongElement } from "./recipe-algebra.js"
import { law, patience } from "./settings.js"

/** Numbers whose sizes matter to one another: `double` alone draws bits, so that most of its numbers are as good as 0 and move no pivot. */
const between = (least: number, most: number) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 256 * least, max: 256 * most }).map((n) => n / 256) },
    { weight: 1, arbitrary: fc.double({ min: least, max: most, noNaN: true }) },
  )
const score = between(-3, 3)
const masked = fc.constant(Number.NEGATIVE_INFINITY)

/** Rows of scores: moderate, large, all equal, some or all masked; none and one element among them. */
const scores: fc.Arbitrary<readonly number[]> = fc.oneof(
  fc.array(score, { maxLength: 40 }),
  fc.array(between(-80, 80), { maxLength: 40 }),
  fc.array(between(-1e4, 1e4), { maxLength: 40 }),
  fc.tuple(between(-1e4, 1e4), fc.nat(20)).map(([s, n]) => Array<number>(n).fill(s)),
  fc.array(score, { minLength: 1, maxLength: 1 }),
)
/** Masks are the identity of a maximum; recipes without one have none. */
const maskedScores = fc.oneof(
  fc.array(fc.oneof(score, masked), { minLength: 1, maxLength: 40 }),
  fc.array(masked, { minLength: 1, maxLength: 12 }),
)

const rowsOf = (recipe: Recipe, channels: number): fc.Arbitrary<Row> => {
  const all = recipe.pivots.some((p) => p.fold === "max") ? fc.oneof(scores, maskedScores) : scores
  const value = recipe.values ? between(-2, 2) : fc.constant(1)
  return all.chain((row) =>
    fc.tuple(...row.map((s) => fc.tuple(...Array.from({ length: channels }, () => value)).map((x) => [s, ...x]))),
  )
}

/** A row in chunks, some of them empty, appended to one by one and merged in any bracketing and from either side. */
function inChunks(algebra: Algebra, row: Row, numbers: readonly number[]): readonly number[] {
  const choose = new Choices(numbers)
  let parts: (readonly number[])[] = []
  for (let at = 0; at < row.length || choose.chance(30); ) {
    const length = choose.chance(25) ? 0 : 1 + choose.below(Math.max(1, row.length - at))
    parts.push(row.slice(at, at + length).reduce((e, x) => algebra.append(e, x), algebra.identity))
    at += length
  }
  if (parts.length === 0) parts = [algebra.identity]
  while (parts.length > 1) {
    const at = choose.below(parts.length - 1)
    const [a, b] = [parts[at]!, parts[at + 1]!]
    parts.splice(at, 2, choose.chance(50) ? algebra.merge(b, a) : algebra.merge(a, b))
  }
  return parts[0]!
}

const cases = (recipe: Recipe, channels: number) =>
  fc.record({ row: rowsOf(recipe, channels), numbers: fc.array(fc.nat(9999), { minLength: 80, maxLength: 80 }) })

const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0]
const names = Object.keys(recipes) as RecipeName[]
const channelsOf = (recipe: Recipe) => (recipe.values ? 2 : 1)

describe.each(names)("%s", (name) => {
  const recipe = recipeOf(name)
  const channels = channelsOf(recipe)

  test(
    "any chunking and bracketing equals the two passes",
    () =>
      withTable(() => {
        const algebra = algebraOf(recipe, channels)
        law(`recipe ${name}`, cases(recipe, channels), 2000, ({ row, numbers }) => {
          const wrong = wrongElement(inChunks(algebra, row, numbers), inTwoPasses[name](row, channels))
          if (wrong !== undefined) throw new Error(wrong)
        })
      }),
    patience,
  )

  const ofPivots = fc.array(fc.oneof(between(-1e4, 1e4), fc.constantFrom(...special)), { minLength: 4, maxLength: 4 })

  test("the weight of NaN is NaN whatever the pivots are, where they may lose it, and stays when they move", () =>
    withTable(() => {
      if (!recipe.pivots.every((p) => p.loose === true)) return expect(recipe.pivots.some((p) => p.loose)).toBe(false)
      const count = recipe.pivots.length
      const given = Array.from({ length: 2 * count }, (_, i) => variable(`x${i}`, "f32"))
      const [p, q] = [given.slice(0, count), given.slice(count)]
      const missing = literal(Number.NaN, "f32")
      const weight = instantiate(recipe.weight, { $0: missing, ...numbered("$p", p) })
      const moved = instantiate(recipe.advance, { $c: missing, ...numbered("$p", p), ...numbered("$q", q) })
      const names = given.map((_, i) => `x${i}`)
      const values = [weight, moved].map((x) => compileScalar(x, names, "float64"))
      law(`NaN in ${name}`, ofPivots, 300, (pivots) => {
        for (const value of values) expect(value(...pivots.slice(0, 2 * count))).toBeNaN()
      })
    }))

  const draw = drawsOf(cases(recipe, channels))
  const algebra = withTable(() => algebraOf(recipe, channels))

  /** Whether elements of a score change a row when they come in between, whatever their values. */
  const isChangedBy = (absent: number, { row, numbers }: ReturnType<typeof draw>): boolean => {
    const choose = new Choices(numbers)
    const others = (): Row =>
      choose.chance(40) ? [[absent, ...Array<number>(channels).fill(choose.below(9) - 4)]] : []
    const among = [...others(), ...row.flatMap((x) => [x, ...others()])]
    const folded = (of: Row) => of.reduce((e, x) => algebra.append(e, x), algebra.identity)
    const [found, without] = [folded(among), folded(row)]
    return without.some((x, i) => x !== found[i] && !(Number.isNaN(x) && Number.isNaN(found[i]!)))
  }

  test.skipIf(recipe.absent === undefined)("a score that is absent moves no pivot and weighs nothing", () =>
    law(`absent in ${name}`, cases(recipe, channels), 300, (c) => {
      if (isChangedBy(recipe.absent!, c)) throw new Error("a row is changed")
    }),
  )

  test("fault: another score for the absent one", () =>
    hunt(`recipe ${name}`, "another score for the absent one", draw, (c) => isChangedBy(-3, c)))

  test.each(Object.keys(recipeFaults))("fault: %s", (fault) => {
    const faulty = withTable(() => algebraOf(recipe, channels, recipeFaults[fault]))
    hunt(
      `recipe ${name}`,
      fault,
      draw,
      ({ row, numbers }) =>
        wrongElement(inChunks(faulty, row, numbers), inTwoPasses[name](row, channels)) !== undefined,
    )
  })
})
