/**
 * scaled-rows: tensor → tensor. Rows of products are brought into the range of f16, by their largest elements.
 *
 *   Σ_k x[s, k] · w[o, k], w in f16   →   p[s] = max_k |x[s, k]|;  u[s, k] = half(x · 2^14 / p);  p / 2^14 · Σ_k u · w
 *
 *   the same over 12,288 k           →   … Σ_i Σ_k u[s, 4096 i + k] · w[o, 4096 i + k]: three spans, whose sums have memory
 *
 * What f16 loses of u is 2^-12 of an element, and 2^-39 of the largest where elements are small: nothing becomes infinite, whatever x is, and what
 * becomes 0 is nothing beside the largest. Memory holds u in f16 (`storage.ts`), and matrix units take it as it is. A row with an infinity or a NaN
 * becomes NaN.
 */
import { literalExtent, maximum } from "../ir/dim.js"
import { add, apply, literal, mul, variable } from "../ir/expression.js"
import { type Monoid, max } from "../ir/monoid.js"
import * as ir from "../ir/tensor.js"
import { factorsOf, inOrder, productOf } from "./factors.js"
import { type Facts, rewritten, type Units } from "./rewrite.js"

/** What the largest element of a row becomes: a quarter of what f16 holds, for x may be computed again with another rounding. */
const top = 2 ** 14
/** No row is scaled as if it were smaller: so far both factors are numbers that f32 holds in full. */
const least = 2 ** -100

/** Rows, columns and elements of a product from which matrix units take it: more than one fragment has, and one. Counted. */
const enough = { rows: 17, columns: 17, elements: 16 } as const

/** Elements of a span at most, as many as units add up in one chain; and what the number of its elements is a multiple of: a copy of 16 bytes. Counted. */
const longestSpan = 4096
const multipleOfSpan = 8
/** Spans at most: their sums are read once more. Not measured. */
const mostSpans = 16

/** Equal programs but for the rounding; `units` serves several calls. */
export const scaleRows = (roots: readonly ir.Tensor[], units?: Units): readonly ir.Tensor[] =>
  rewritten(roots, (facts) => (t, before) => (isInner(before, facts) ? t : (scaled(t) ?? t)), units)

const isSum = (t: ir.Tensor): t is ir.Reduce => t.kind === "reduce" && t.monoid.kind === "sum" && t.dtype === "f32"

/** A sum that is added up again is taken with the outer one. */
const isInner = (t: ir.Tensor, facts: Facts): boolean => isSum(t) && facts.uses(t)?.some(isSum) === true

function scaled(t: ir.Tensor): ir.Tensor | undefined {
  if (!isSum(t)) return undefined
  const axes: string[] = []
  let arg: ir.Tensor = t
  while (isSum(arg)) {
    axes.push(arg.axis)
    arg = arg.args[0]!
  }
  if (arg.kind !== "map") return undefined
  const factors = factorsOf(arg, () => false)
  const [own, ...others] = factors.filter((f) => !f.inverse && isHeld(f.tensor))
  if (own === undefined || others.length > 0 || factors.length < 2) return undefined
  const x = productOf(factors.filter((f) => f !== own))
  if (!isEnough(x, own.tensor, axes)) return undefined
  const extents = axes.map((name) => ir.axisOf(x, name)!)
  const elements = volume(extents)
  const isOne = extents.length === 1 && literalExtent(extents[0]!.extent) !== undefined
  const spans = isOne || elements <= longestSpan ? spansOf(elements) : undefined
  if (spans === undefined) return undefined
  const folded = (monoid: Monoid, of: ir.Tensor) => axes.reduceRight((a, axis) => ir.reduce(monoid, axis, [a]), of)
  const [p, q] = [variable("$0", "f32"), variable("$1", "f32")]
  const peak = folded(max, ir.map(apply("abs", p), [x]))
  const bounded = apply("max", q, literal(least, "f32"))
  const rows = ir.map(apply("half", mul(p, apply("div", literal(top, "f32"), bounded))), [x, peak])
  const product = ir.map(
    mul(p, q),
    [rows, own.tensor].map((of) => inSpans(of, t.axis, spans)),
  )
  const sums = folded(t.monoid, product)
  const sum = spans === 1 ? sums : ir.reduce(t.monoid, spanOf(t.axis), [sums])
  const made = inOrder(ir.map(mul(p, mul(bounded, literal(1 / top, "f32"))), [sum, peak]), t.axes)
  for (const x of [peak, rows, sum]) ir.mark(x, ir.spansOf(t))
  return made
}

/** The number of spans of so many elements, all of one length; undefined where there are none. */
function spansOf(elements: number): number | undefined {
  for (let spans = Math.ceil(elements / longestSpan); spans <= mostSpans; spans++)
    if (spans === 1 || elements % (spans * multipleOfSpan) === 0) return spans
  return undefined
}

const spanOf = (axis: string) => `${axis}_span`

/** A tensor whose axis is two: the spans, and the elements of one. */
function inSpans(t: ir.Tensor, axis: string, spans: number): ir.Tensor {
  if (spans === 1) return t
  const length = literal(maximum(ir.axisOf(t, axis)!.extent) / spans)
  const span: ir.Axis = { name: spanOf(axis), extent: literal(spans) }
  const axes = t.axes.flatMap((a) => (a.name === axis ? [span, { name: axis, extent: length }] : [a]))
  const place = (name: string) =>
    name === axis ? add(mul(variable(span.name), length), variable(axis)) : variable(name)
  return ir.reindex(t, axes, new Map(t.axes.map((a) => [a.name, place(a.name)] as const)))
}

/** What lies in memory in f16, in whatever order. */
function isHeld(t: ir.Tensor): boolean {
  if (t.kind === "reindex") return t.fill === 0 && isHeld(t.arg)
  return t.kind === "input" && t.dtype === "f32" && t.storage === "f16"
}

const volume = (axes: readonly ir.Axis[]) => axes.reduce((n, a) => n * Math.max(1, maximum(a.extent)), 1)

function isEnough(x: ir.Tensor, w: ir.Tensor, folded: readonly string[]): boolean {
  const shared = folded.map((name) => [ir.axisOf(x, name), ir.axisOf(w, name)])
  if (shared.some(([p, q]) => p === undefined || q === undefined)) return false
  const beside = (p: ir.Tensor, q: ir.Tensor) => p.axes.filter((a) => ir.axisOf(q, a.name) === undefined)
  return (
    volume(beside(x, w)) >= enough.rows &&
    volume(beside(w, x)) >= enough.columns &&
    volume(shared.map(([p]) => p!)) >= enough.elements
  )
}

/** Whether a map rounds to f16 at last. */
export const isNarrowed = (t: ir.Tensor): t is ir.Map =>
  t.kind === "map" && t.body.kind === "operation" && t.body.operation === "half" && t.dtype === "f32"

/** The sums of spans, which are added up. */
export const sumsOfSpans = (order: readonly ir.Tensor[]): readonly ir.Tensor[] =>
  order.flatMap((t) => {
    const [sums] = isSum(t) ? t.args : []
    if (sums === undefined || !isSum(sums) || (t as ir.Reduce).axis !== spanOf(sums.axis)) return []
    const [product] = sums.args
    const isRow = (x: ir.Tensor) => x.kind === "reindex" && isNarrowed(x.arg)
    return product?.kind === "map" && product.args.some(isRow) ? [sums] : []
  })

/** What is made once for all blocks of products: rows that were scaled, and what by; and the sums of spans. */
export const madeOnce = (order: readonly ir.Tensor[]): readonly ir.Tensor[] => [
  ...order.filter(isNarrowed).flatMap((t) => [t, ...t.args.filter((a) => a.kind === "reduce")]),
  ...sumsOfSpans(order),
]
