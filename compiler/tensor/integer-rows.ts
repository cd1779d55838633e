/**
 * Rows that are rounded to integers: blocks of 32 elements, each with a scale, and words of two codes in the order in which weights are taken.
 *
 *   x[s, k]   →   scale[s, k / 32] = max |x| / 127 of the block;   code[s, k] = round(x / scale), from −127 to 127
 *
 *   with two pairs in a word of weights   →   words[s, 16 g + 4 q + l]: two codes of block g, for pair q of the words that lane l reads
 *
 * Halves are rounded to even. A block of zeros has codes of 0; where an element is infinite or a NaN so is the scale, and what is summed up with it is a NaN.
 */
import { maximum } from "../ir/dim.js"
import { add, apply, literal, mul, variable } from "../ir/expression.js"
import { max, sum } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import * as ir from "../ir/tensor.js"

/** Elements of a block, as in llama.cpp's Q8_0 and Q8_1. */
export const blockElements = 32
/** Lanes of the sums of a block: those of a vector of 128 bits. */
export const blockLanes = 4
/** Words of codes for a lane. */
export const wordsOfLane = 4
const largestCode = 127
/** No block is scaled as if it were smaller: so far 1 / scale is a number that f32 holds. */
const least = 2 ** -100

/** Fields of a word of weights, and how many words of a block a lane reads. */
export interface WordsOfWeights {
  readonly bits: 4 | 8
  /** The words of a block that one lane reads. */
  readonly each: number
  /** Pairs of fields in one. */
  readonly pairs: number
}

export const wordsOfWeights = (bits: 4 | 8): WordsOfWeights => ({
  bits,
  each: (blockElements * bits) / 32 / blockLanes,
  pairs: 16 / bits,
})

/** The axes that rows are folded along, in the order in which weights are stored, and how many elements they have together. */
export interface Columns {
  readonly axes: readonly ir.Axis[]
  readonly elements: number
}

export interface IntegerRows {
  /** f32 over `block`: what a code stands for. */
  readonly scale: ir.Tensor
  /** u32 over `word`. */
  readonly words: ir.Tensor
  /** f32 over `block`: the sums of what the codes stand for. */
  readonly sums: ir.Tensor
}

export const blockAxis = "block_of_row"
export const wordAxis = "word_of_row"
const elementAxis = "element_of_block"

const f = (i: number) => variable(`$${i}`, "f32")
const u32 = (x: number) => literal(x, "u32")
/** What a number so much larger than a code begins with are the bits of the code, rounded to even: its last one counts ones. */
const ones = 1.5 * 2 ** 23
const inScale = (x: number, scale: number) => mul(f(x), apply("div", literal(1, "f32"), f(scale)))
/** The code of $`x`, where a code is $`scale`, in the low half of a word, and something in the high one. */
const codeIn = (x: number, scale: number) => apply("bits", add(inScale(x, scale), literal(ones, "f32")))
const pairOf = () => apply("bitor", apply("bitand", codeIn(0, 2), u32(0xffff)), apply("shl", codeIn(1, 2), u32(16)))
/** A code as a number. */
const codeOf = () => apply("round", inScale(0, 1))
const over = (x: Expression, by: number) => apply("floordiv", x, literal(by))
const modulo = (x: Expression, by: number) => apply("floormod", x, literal(by))

export function integerRows(x: ir.Tensor, columns: Columns, weights: WordsOfWeights): IntegerRows {
  const rows = x.axes.filter((a) => !columns.axes.includes(a))
  const block: ir.Axis = { name: blockAxis, extent: literal(columns.elements / blockElements) }
  const word: ir.Axis = { name: wordAxis, extent: literal(columns.elements / 2) }
  const element: ir.Axis = { name: elementAxis, extent: literal(blockElements) }
  const at = (axes: readonly ir.Axis[], number: Expression) => atNumber(x, rows, columns, axes, number)
  const inBlock = at([block, element], add(mul(variable(blockAxis), literal(blockElements)), variable(elementAxis)))
  const peak = ir.reduce(max, elementAxis, [ir.map(apply("abs", f(0)), [inBlock])])
  const bounded = apply("max", f(0), literal(least, "f32"))
  const scale = ir.map(mul(bounded, literal(1 / largestCode, "f32")), [peak])
  const number = variable(wordAxis)
  const scaleOfWord = ir.reindex(
    scale,
    [...rows, word],
    new Map([...rows.map((a) => [a.name, variable(a.name)] as const), [blockAxis, over(number, 16)] as const]),
  )
  const halves = [0, 1].map((h) => at([word], elementOf(number, h, weights)))
  const words = ir.map(pairOf(), [...halves, scaleOfWord])
  const codes = ir.reduce(sum, elementAxis, [ir.map(codeOf(), [inBlock, scale])])
  const sums = ir.map(mul(f(0), f(1)), [codes, scale])
  return { scale, words, sums }
}

/** The element whose code is in a half of a word. */
function elementOf(number: Expression, half: number, { bits, pairs }: WordsOfWeights): Expression {
  const [lane, taken, block] = [
    modulo(number, blockLanes),
    modulo(over(number, blockLanes), wordsOfLane),
    over(number, 16),
  ]
  const word = add(mul(over(taken, pairs), literal(blockLanes)), lane)
  const field = add(modulo(taken, pairs), literal(half * pairs))
  const inWord = add(mul(word, literal(32 / bits)), field)
  return add(mul(block, literal(blockElements)), inWord)
}

/** The elements of x with these numbers among those of its columns. */
function atNumber(
  x: ir.Tensor,
  rows: readonly ir.Axis[],
  { axes: columns, elements }: Columns,
  axes: readonly ir.Axis[],
  number: Expression,
): ir.Tensor {
  let stride = elements
  const index = new Map<string, Expression>(rows.map((a) => [a.name, variable(a.name)]))
  for (const [i, a] of columns.entries()) {
    stride /= maximum(a.extent)
    const above = stride === 1 ? number : over(number, stride)
    index.set(a.name, i === 0 ? above : modulo(above, maximum(a.extent)))
  }
  return ir.reindex(x, [...rows, ...axes], index)
}

/** Whether a tensor is words of codes. */
const isWords = (t: ir.Tensor): t is ir.Map => t.kind === "map" && t.body === pairOf()
/** Whether a value is used only in that it is rounded to a code, which what is near it is, too. */
export const isCode = (t: ir.Tensor): boolean => t.kind === "map" && (t.body === pairOf() || t.body === codeOf())

/** What is made once for all products with rows: their words, scales and sums. */
export function roundedOnce(order: readonly ir.Tensor[]): readonly ir.Tensor[] {
  const words = order.filter(isWords)
  const read = words.flatMap(({ args }) => args.flatMap((a) => (a.kind === "reindex" ? [a.arg] : [])))
  const scales = new Set(read.filter(isOfBlocks))
  const sums = order.filter((t) => t.kind === "map" && isOfBlocks(t) && t.args.length === 2 && scales.has(t.args[1]!))
  return [...words, ...scales, ...sums]
}

const isOfBlocks = (t: ir.Tensor): boolean => t.kind === "map" && ir.axisOf(t, blockAxis) !== undefined
