/**
 * Steps of random programs in which folds wait for one another along an axis, as models have them, and near misses of such.
 *
 *   m = max_a s;  e = exp(s − m);  l = Σ_a e;  y = Σ_a (e / l) · v          shifted exponentials, with and without values
 *   t = Σ_a x / n;  y = Σ_a (x − t)²                                         squared deviations
 *   near misses: the pivot of another tensor or axis, a wrong count, a value that depends on the pivot
 */

import { literalExtent } from "../../compiler/ir/dim.js"
import { apply, literal, variable } from "../../compiler/ir/expression.js"
import { max, sum } from "../../compiler/ir/monoid.js"
import { topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { Choices } from "./choices.js"
import { affordable, type Growing, longestSum, terms, type Value } from "./program.js"

/** The arguments of a map, in the table of this program. */
const p = () => variable("$0", "f32")
const q = () => variable("$1", "f32")
const r = () => variable("$2", "f32")
const two = (name: "sub" | "mul" | "div") => apply(name, p(), q())
const minus = () => two("sub")

/** The tensors of one score: it is moderate, so that exponentials stay far from the ends of f32. */
interface Exponentials {
  readonly score: ir.Tensor
  readonly largest: ir.Tensor
  readonly weight: ir.Tensor
  readonly total: ir.Tensor
}

function exponentials(score: ir.Tensor, axis: string, of: ir.Tensor = score): Exponentials {
  const largest = ir.reduce(max, axis, [of])
  const weight = ir.map(apply("exp", minus()), [score, largest])
  return { score, largest, weight, total: ir.reduce(sum, axis, [weight]) }
}

type Made = readonly ir.Tensor[]
type Variant = (x: ir.Tensor, axis: string, v: ir.Tensor, w: ir.Tensor) => Made

const folded = (axis: string, body: ReturnType<typeof minus>, ...args: ir.Tensor[]) =>
  ir.reduce(sum, axis, [ir.map(body, args)])

const shares: Variant = (x, axis, v) => {
  const { weight, total } = exponentials(x, axis)
  const share = ir.map(two("div"), [weight, total])
  return [folded(axis, two("mul"), share, v)]
}

const inOneBody: Variant = (x, axis, v) => {
  const { weight, total } = exponentials(x, axis)
  return [folded(axis, apply("div", apply("mul", p(), apply("neg", q())), r()), weight, v, total)]
}

const logarithm: Variant = (x, axis) => {
  const { largest, total } = exponentials(x, axis)
  return [ir.map(apply("add", p(), apply("log", q())), [largest, total])]
}

const severalValues: Variant = (x, axis, v, w) => {
  const { weight, total } = exponentials(x, axis)
  const [a, b] = [v, w].map((y) => folded(axis, two("mul"), weight, y))
  return [ir.map(apply("div", apply("sub", p(), q()), apply("add", r(), literal(0.5, "f32"))), [a!, b!, total])]
}

const deviations: Variant = (x, axis) => moment(x, axis, 0)
const wrongCount: Variant = (x, axis) => moment(x, axis, 1)

function moment(x: ir.Tensor, axis: string, more: number): Made {
  const count = literalExtent(ir.axisOf(x, axis)!.extent)
  if (count === undefined || count === 0) {
    // A mean needs a number that is known.
    const known = x.axes.find((a) => (literalExtent(a.extent) ?? 0) > 0)
    return known === undefined ? [] : moment(x, known.name, more)
  }
  const mean = ir.map(apply("div", p(), literal(count + more, "f32")), [ir.reduce(sum, axis, [x])])
  const deviation = ir.map(minus(), [x, mean])
  const squares = folded(axis, apply("mul", p(), p()), deviation)
  const scaled = apply("div", p(), apply("sqrt", apply("add", q(), literal(0.125, "f32"))))
  return [ir.map(scaled, [deviation, squares]), squares]
}

/** Shifted by what is not the largest of this row. */
const otherTensor: Variant = (x, axis, v) => {
  const { weight, total } = exponentials(x, axis, ir.map(apply("mul", p(), literal(0.5, "f32")), [x]))
  return [folded(axis, two("mul"), weight, v), total]
}

const otherAxis: Variant = (x, axis, v) => {
  const another = x.axes.find((a) => a.name !== axis)
  if (another === undefined) return []
  const { weight } = exponentials(x, another.name)
  return [folded(axis, two("mul"), weight, v)]
}

const valueThatWaits: Variant = (x, axis) => {
  const { weight, total } = exponentials(x, axis)
  return [folded(axis, apply("div", apply("mul", p(), p()), q()), weight, total)]
}

const variants: readonly Variant[] = [
  shares,
  logarithm,
  deviations,
  severalValues,
  deviations,
  inOneBody,
  otherTensor,
  wrongCount,
  otherAxis,
  valueThatWaits,
  shares,
  deviations,
  severalValues,
  inOneBody,
]

/**
 * Folds that wait for one another, in the analytic regime: most often of a tensor that no sum is in, along an axis that is not too long for the
 * bound of their errors.
 */
export function dependent(g: Growing, choose: Choices): readonly Value[] {
  if (g.regime === "exact") return []
  const isScore = (t: ir.Tensor) => t.dtype === "f32" && t.axes.length > 0
  const short = choose.chance(70)
  const x = (short ? g.pick(choose, (t) => isScore(t) && terms(t) === 1) : undefined) ?? g.pick(choose, isScore)
  if (x === undefined) return []
  const variant = choose.of(variants)
  const first = choose.below(x.tensor.axes.length)
  const axes = [...x.tensor.axes.slice(first), ...x.tensor.axes.slice(0, first)]
  const [before, after] = [choose.below(1000), choose.below(1000)]
  const score = g.clamped({ ...x, limit: Number.POSITIVE_INFINITY }).tensor
  for (const { name: axis, extent } of axes) {
    const along = (t: ir.Tensor) => t.dtype === "f32" && ir.axisOf(t, axis)?.extent === extent
    const operand = (n: number) => g.clamped(g.pick(new Choices([n]), (t) => along(t) && terms(t) === 1) ?? x).tensor
    const made = variant(score, axis, operand(before), operand(after))
    const fits = topological(made).every((t) => affordable(t) && terms(t) <= longestSum)
    if (made.length > 0 && fits) return made.map((tensor) => ({ tensor, limit: Number.POSITIVE_INFINITY }))
  }
  return []
}
