/**
 * What is read of a plane for each of some weights: a word, or a number, and which field of it.
 *
 *   codes of q4_0 [out, k / 8]   →   for w[out, k] the word at k / 8, in it field k mod 8      scale   →   the number at k / 32
 */
import type { Plane } from "../../runtime/weights/formats/format.js"
import { storageOf } from "../../runtime/weights/formats/layout.js"
import { add, apply, literal, mul, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import { bitsOf, fieldOf, fieldsOfWord, type Packed } from "../ir/tensor/formats.js"
import { dimensionsOf, extentOf, perOf, planeInput, volume } from "../ir/tensor/planes.js"
import * as ir from "../ir/tensor.js"

/** The number of an element among those of some axes, the first the slowest. */
function numberOf(axes: readonly ir.Axis[], at: (axis: string) => Expression): Expression {
  let stride = 1
  let sum: Expression = literal(0)
  for (const a of [...axes].reverse()) {
    if (extentOf(a) > 1) sum = add(mul(at(a.name), literal(stride)), sum)
    stride *= extentOf(a)
  }
  return sum
}

/** ⌊x / by⌋, where x is less than `end`. */
const divided = (x: Expression, by: number, end = Infinity): Expression =>
  by === 1 ? x : by >= end ? literal(0) : apply("floordiv", x, literal(by))

/** The arguments of a map that is being made. */
export interface Arguments {
  readonly list: ir.Tensor[]
  add(t: ir.Tensor): Expression
}

export function createArguments(): Arguments {
  const list: ir.Tensor[] = []
  const add = (t: ir.Tensor): Expression => {
    if (!list.includes(t)) list.push(t)
    return variable(`$${list.indexOf(t)}`, t.dtype)
  }
  return { list, add }
}

interface PlaneRead {
  /** A word of fields, or a number. */
  readonly word: Expression
  /** The number of the field in it. */
  readonly at: Expression
}

/** Weights that are read together: which `axis` numbers them, `each` how many they are, and how what is read of an input stands for what is made of it. */
export interface Part {
  readonly axis: ir.Axis
  readonly each: number
  readonly along: (read: ir.Tensor) => ir.Tensor
}

/** A field of each of some planes, by their names, as f32. */
export function fieldsRead(
  t: ir.Input,
  packed: Packed,
  planes: readonly Plane[],
  args: Arguments,
  part?: Part,
): Readonly<Record<string, Expression>> {
  return Object.fromEntries(
    planes.map((plane): readonly [string, Expression] => {
      const { word, at } = readOf(t, packed, plane, args, part)
      return [plane.name, storageOf(plane.field) === "u32" ? fieldOf(plane, word, at) : word]
    }),
  )
}

/** What is read of a plane for each weight, and which field of it is the weight's; or for each `each` of them, over an axis of their number. */
function readOf(t: ir.Input, packed: Packed, plane: Plane, args: Arguments, part?: Part): PlaneRead {
  if (plane.by !== undefined) return readBehind(t, packed, plane, plane.by, args)
  const { stack, rows, columns: all } = dimensionsOf(t, packed)
  const columns = part === undefined ? all : [part.axis]
  const input = planeInput(t, packed, plane)
  const [per, inWord] = [perOf(plane, all) / (part?.each ?? 1), fieldsOfWord(plane)]
  const counter = (axis: string) => args.add(ir.iota(columns.find((a) => a.name === axis)!, literal(0)))
  const index = new Map(input.axes.map((a): [string, Expression] => [a.name, variable(a.name)]))
  index.set("field", divided(numberOf(columns, variable), per * inWord, volume(columns)))
  if (index.has("block")) index.set("block", divided(numberOf(rows, variable), plane.rows as number, volume(rows)))
  const isOfBlocks = !plane.shared && plane.rows !== "all"
  const read = ir.reindex(input, [...stack, ...(isOfBlocks ? rows : []), ...columns], index)
  const word = args.add(part === undefined ? read : part.along(read))
  const within = numberOf(columns, counter)
  return { word, at: apply("floormod", divided(within, per), literal(inWord)) }
}

/** The same where a field of a plane that all rows share says which of its fields are a column's. */
function readBehind(t: ir.Input, packed: Packed, plane: Plane, by: string, args: Arguments): PlaneRead {
  const other = packed.format.planes.find(({ name }) => name === by)!
  const own = createArguments()
  const read = readOf(t, packed, other, own)
  const group = ir.map(apply("toI32", bitsOf(other, read.word, read.at)), own.list)
  const inWord = fieldsOfWord(plane)
  const field = inWord === 1 ? group : ir.map(divided(variable("$0"), inWord), [group])
  const word = args.add(ir.gather(planeInput(t, packed, plane), "field", field))
  return { word, at: apply("floormod", args.add(group), literal(inWord)) }
}
