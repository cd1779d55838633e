/**
 * integer sums: rows of products with weights in a format of 4 or 8 bits are rounded to integers, and what is multiplied are codes.
 *
 *   Σ_k x[s, k] · w[o, k], w in q8_0    →   Σ_g scale[o, g] · xScale[s, g] · Σ_{l < 32} xCode[s, 32 g + l] · code[o, 32 g + l]
 *
 *   w in q4_1                           →   the same + Σ_g minimum[o, g] · xSum[s, g]
 *
 * Sums of a block are exact: a fold of integers inside of that over blocks, of four lanes that multiply two codes at a time (`dot2`); f32 adds up blocks,
 * four side by side, whose scales come in vectors. What is lost is what rounding rows to 8 bits loses (`integer-rows.ts`): at most 1/254 of a block's
 * largest element. Part of `unpack`, for planes are read by words.
 */
import { literalExtent, maximum } from "../ir/dim.js"
import { add, apply, freeVariables, literal, mul, variable } from "../ir/expression.js"
import { sum } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import { type AffineFormat, affineFormat } from "../ir/tensor/affine.js"
import type { Packed } from "../ir/tensor/formats.js"
import { dimensionsOf, planeInput } from "../ir/tensor/planes.js"
import * as ir from "../ir/tensor.js"
import { type Factor, factorsOf, inOrder, productOf } from "./factors.js"
import {
  blockAxis,
  blockElements,
  blockLanes,
  type Columns,
  type IntegerRows,
  integerRows,
  type WordsOfWeights,
  wordAxis,
  wordsOfLane,
  wordsOfWeights,
} from "./integer-rows.js"
import { createArguments, fieldsRead, type Part } from "./plane-reads.js"
import { size } from "./query.js"

/** Columns of a product from which rows are worth being rounded. Not measured. */
const enoughColumns = 16

/** A sum of products with weights in a format as one of integers, if it is such; `now` is what a tensor has become. */
export function integerSum(t: ir.Tensor, now: (t: ir.Tensor) => ir.Tensor): ir.Tensor | undefined {
  const found = productIn(t, now)
  if (found === undefined) return undefined
  const { weights, format, packed, rows } = found
  const columns = columnsOf(weights, packed, rows)
  if (columns === undefined) return undefined
  const words = wordsOfWeights(format.codes.field === "u4" ? 4 : 8)
  const rounded = along(rows, integerRows(now(rows.base), columns, words), now)
  const block = { name: blockAxis, extent: literal(columns.elements / blockElements) }
  const part: Part = { axis: block, each: blockElements, along: (of) => weights.along(of) }
  const products = sumOfProducts(weights.base, packed, format, rounded, words, part)
  const minima = sumOfOffsets(weights.base, packed, format, rounded, part)
  const made = minima === undefined ? products : ir.map(add(f(0), f(1)), [products, minima])
  return inOrder(made, t.axes)
}

const f = (i: number) => variable(`$${i}`, "f32")
const u32 = (x: number) => literal(x >>> 0, "u32")
const laneAxis = "lane_of_block"

const isSum = (t: ir.Tensor): t is ir.Reduce => t.kind === "reduce" && t.monoid.kind === "sum" && t.dtype === "f32"

/** A tensor without the choices of rows that lie around it, and what these make of another one in its place. */
interface Rows<T extends ir.Tensor = ir.Tensor> {
  readonly base: T
  /** What the columns are called there, by what they are called in the product. */
  readonly columns: ReadonlyMap<string, string>
  readonly along: (other: ir.Tensor) => ir.Tensor
}

interface Found {
  readonly axis: string
  readonly weights: Rows<ir.Input>
  readonly packed: Packed
  readonly format: AffineFormat
  readonly rows: Rows
}

function productIn(t: ir.Tensor, now: (t: ir.Tensor) => ir.Tensor): Found | undefined {
  const axes: string[] = []
  let arg = t
  while (isSum(arg)) {
    axes.push(arg.axis)
    arg = arg.args[0]!
  }
  if (axes.length === 0 || arg.kind !== "map") return undefined
  const factors = factorsOf(arg, () => false)
  const bases = factors.map((factor) => (factor.inverse ? undefined : rowsOf(factor.tensor, axes, now)))
  const isPacked = (_: Factor, i: number) => bases[i]?.base.kind === "input" && bases[i].base.packed !== undefined
  const [own, ...others] = factors.filter(isPacked)
  if (own === undefined || others.length > 0 || factors.length < 2) return undefined
  const weights = bases[factors.indexOf(own)] as Rows<ir.Input>
  const packed = weights.base.packed!
  const format = affineFormat(packed.format)
  if (format === undefined || !isOfIntegers(format)) return undefined
  const x = productOf(factors.filter((factor) => factor !== own))
  const extents = axes.map((name) => ir.axisOf(x, name) ?? { name, extent: literal(0) })
  if (extents.some(({ extent }) => (literalExtent(extent) ?? 0) === 0)) return undefined
  const beside = own.tensor.axes.filter((a) => ir.axisOf(x, a.name) === undefined)
  if (beside.reduce((n, a) => n * Math.max(1, maximum(a.extent)), 1) < enoughColumns) return undefined
  const below = rowsOf(x, axes, now)!
  const itself: Rows = { base: x, columns: new Map(axes.map((a) => [a, a])), along: (other) => other }
  return { axis: axes[0]!, weights, packed, format, rows: size(below.base) <= size(x) ? below : itself }
}

/** Whether codes are integers that words have pairs of, and all else is the same for whole blocks. */
function isOfIntegers({ codes, others }: AffineFormat): boolean {
  const isCodes = codes.rows === 1 && !codes.shared && ["u4", "u8", "i8"].includes(codes.field)
  return (
    isCodes && others.every((p) => !p.shared && p.by === undefined && (p.per === "row" || p.per % blockElements === 0))
  )
}

/** Takes off what chooses or renames rows, and leaves columns whole. */
function rowsOf(t: ir.Tensor, axes: readonly string[], now: (t: ir.Tensor) => ir.Tensor): Rows | undefined {
  let [base, columns] = [t, new Map(axes.map((a) => [a, a]))]
  let through: Rows["along"] = (other) => other
  for (;;) {
    const names = new Set(columns.values())
    const [here, outer] = [base, through]
    if (here.kind === "gather") {
      if (names.has(here.axis) || here.index.axes.some((a) => names.has(a.name))) break
      through = (other) => outer(ir.axisOf(other, here.axis) ? ir.gather(other, here.axis, now(here.index)) : other)
    } else if (here.kind === "reindex") {
      const renamed = columnsBelow(here, columns)
      if (renamed === undefined) break
      columns = renamed
      through = (other) => outer(reindexed(here, other))
    } else break
    base = here.arg
  }
  return { base, columns, along: through }
}

/** What the columns are called below a reindex, if it leaves them as they are. */
function columnsBelow(t: ir.Reindex, columns: ReadonlyMap<string, string>): Map<string, string> | undefined {
  if (t.valid !== undefined) return undefined
  const found = new Map<string, string>()
  for (const [top, name] of columns) {
    const users = [...t.index].filter(([, x]) => freeVariables(x).has(name))
    const [own] = users
    if (users.length !== 1 || own![1].kind !== "variable") return undefined
    if (ir.axisOf(t.arg, own![0])!.extent !== ir.axisOf(t, name)!.extent) return undefined
    found.set(top, own![0])
  }
  return found
}

/** What a reindex of rows makes of a tensor over some of them, and axes of its own. */
function reindexed(t: ir.Reindex, other: ir.Tensor): ir.Tensor {
  const index = new Map(other.axes.map((a) => [a.name, t.index.get(a.name) ?? variable(a.name)]))
  const used = new Set([...index.values()].flatMap((x) => [...freeVariables(x)]))
  const own = other.axes.filter((a) => !t.index.has(a.name))
  return ir.reindex(
    other,
    [...t.axes.filter((a) => used.has(a.name) && !own.some((o) => o.name === a.name)), ...own],
    index,
  )
}

/** The columns of rows in the order in which the weights are stored, where these have just them. */
function columnsOf(weights: Rows<ir.Input>, packed: Packed, rows: Rows): Columns | undefined {
  const stored = dimensionsOf(weights.base, packed).columns
  const names = new Map([...weights.columns].map(([top, below]) => [below, rows.columns.get(top)!]))
  if (stored.length !== names.size || stored.some((a) => !names.has(a.name))) return undefined
  const axes = stored.map((a) => ir.axisOf(rows.base, names.get(a.name)!)!)
  const elements = axes.reduce((n, a) => n * maximum(a.extent), 1)
  return elements % blockElements === 0 ? { axes, elements } : undefined
}

const along = (rows: Rows, { scale, words, sums }: IntegerRows, _: unknown): IntegerRows => ({
  scale: rows.along(scale),
  words: rows.along(words),
  sums: rows.along(sums),
})

/** A tensor with axes in place of one of its own. */
function inPlaceOf(t: ir.Tensor, old: string, axes: readonly ir.Axis[], at: Expression): ir.Tensor {
  const own = t.axes.flatMap((a) => (a.name === old ? axes : [a]))
  return ir.reindex(t, own, new Map(t.axes.map((a) => [a.name, a.name === old ? at : variable(a.name)])))
}

/** The pairs of fields in a word, each as the halves of one; and what they are multiples of. */
function pairsOf(field: string, word: Expression): { readonly unit: number; readonly pairs: readonly Expression[] } {
  const masked = (x: Expression, mask: number) => apply("bitand", x, u32(mask))
  if (field === "i8") {
    const low = apply("shl", masked(word, 0x00ff00ff), u32(8))
    return { unit: 256, pairs: [low, masked(word, 0xff00ff00)] }
  }
  const bits = field === "u4" ? 4 : 8
  const mask = (2 ** bits - 1) * 0x10001
  const pairs = Array.from({ length: 16 / bits }, (_, i) => masked(apply("shr", word, u32(bits * i)), mask))
  return { unit: 1, pairs }
}

/** Σ slope · xScale · Σ code · xCode, of which the inner sum is over the lanes of a vector, and one of integers. */
function sumOfProducts(
  t: ir.Input,
  packed: Packed,
  format: AffineFormat,
  { scale, words }: IntegerRows,
  { each, pairs: inWord }: WordsOfWeights,
  part: Part,
): ir.Tensor {
  const { axis: block } = part
  const lane: ir.Axis = { name: laneAxis, extent: literal(blockLanes) }
  const inLanes = createArguments()
  const plane = planeInput(t, packed, format.codes)
  const at = (taken: number, of: number) =>
    add(add(mul(variable(block.name), literal(blockLanes * of)), literal(blockLanes * taken)), variable(lane.name))
  const wordOf = (taken: number) => inLanes.add(part.along(inPlaceOf(plane, "field", [block, lane], at(taken, each))))
  const rowWord = (taken: number) => inLanes.add(inPlaceOf(words, wordAxis, [block, lane], at(taken, wordsOfLane)))
  const found = Array.from({ length: each }, (_, taken) => pairsOf(format.codes.field, wordOf(taken)))
  const dots = found.flatMap(({ pairs }, taken) => pairs.map((w, i) => apply("dot2", w, rowWord(taken * inWord + i))))
  const codes = ir.reduce(sum, lane.name, [ir.map(dots.reduce(add), inLanes.list)])
  const args = createArguments()
  const { slope } = format.of(fieldsRead(t, packed, format.others, args, part))
  const { unit } = found[0]!
  const scaled = unit === 1 ? args.add(scale) : mul(args.add(scale), literal(1 / unit, "f32"))
  const term = mul(mul(slope, scaled), apply("toF32", args.add(codes)))
  return ir.reduce(sum, block.name, [ir.map(term, args.list)])
}

/** Σ offset · xSum over the blocks, where weights have an offset. */
function sumOfOffsets(
  t: ir.Input,
  packed: Packed,
  format: AffineFormat,
  { sums }: IntegerRows,
  part: Part,
): ir.Tensor | undefined {
  const args = createArguments()
  const { offset } = format.of(fieldsRead(t, packed, format.others, args, part))
  if (offset === undefined) return undefined
  return ir.reduce(sum, part.axis.name, [ir.map(mul(offset, args.add(sums)), args.list)])
}
