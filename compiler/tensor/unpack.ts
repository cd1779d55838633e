/**
 * unpack: tensor → tensor. What is stored in a format becomes its planes, and a map that decodes.
 *
 *   Σ_k x[k] · w[o, k], w in q4_0   →   Σ_k x[k] · decode(codes[o, k / 8] >> 4 (k mod 8) & 15, scale[o, k / 32])
 *
 * The last of the passes: the others see an input of f32, as they do where it is stored in bf16. Units take the planes in its place.
 */
import type { Plane } from "../../runtime/weights/formats/format.js"
import { storageOf } from "../../runtime/weights/formats/layout.js"
import { add, apply, literal, mul, variable } from "../ir/expression.js"
import { memoized } from "../ir/memoized.js"
import type { Expression } from "../ir/nodes.js"
import { bitsOf, expressions, fieldOf, fieldsOfWord, type Packed } from "../ir/tensor/formats.js"
import { dimensionsOf, extentOf, perOf, planeInput, planesOf, volume } from "../ir/tensor/planes.js"
import { rebuild, sources, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import type { Units } from "./rewrite.js"

/** Equal programs without inputs in formats; `units` serves several calls. */
export function unpack(roots: readonly ir.Tensor[], units: Units = new Map()): readonly ir.Tensor[] {
  const made = new Map<ir.Tensor, ir.Tensor>()
  for (const t of topological(roots)) {
    const now = t.kind === "call" ? called(t, made, units) : unpacked(t, made)
    ir.mark(now, ir.spansOf(t))
    made.set(t, now)
  }
  return roots.map((t) => made.get(t)!)
}

const unpacked = (t: ir.Tensor, made: ReadonlyMap<ir.Tensor, ir.Tensor>): ir.Tensor =>
  t.kind === "input" && t.packed !== undefined
    ? decoded(t, t.packed)
    : rebuild(
        t,
        sources(t).map((s) => made.get(s)!),
      )

/** A call with planes for the inputs in formats. */
function called(t: ir.Call, made: ReadonlyMap<ir.Tensor, ir.Tensor>, units: Units): ir.Tensor {
  const unit = memoized(
    (u: ir.Unit) =>
      ir.unit(
        u.name,
        u.inputs.flatMap((x) => planesOf(x)),
        unpack(u.results, units),
      ),
    units,
  )(t.unit)
  const args = t.args.flatMap((arg, i): readonly ir.Tensor[] =>
    t.unit.inputs[i]!.packed ? planesOf(arg as ir.Input) : [made.get(arg)!],
  )
  return ir.call(unit, args, t.result)
}

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
interface Arguments {
  readonly list: ir.Tensor[]
  add(t: ir.Tensor): Expression
}

function createArguments(): Arguments {
  const list: ir.Tensor[] = []
  const add = (t: ir.Tensor): Expression => {
    if (!list.includes(t)) list.push(t)
    return variable(`$${list.indexOf(t)}`, t.dtype)
  }
  return { list, add }
}

/** The weights that the planes of an input stand for. */
function decoded(t: ir.Input, packed: Packed): ir.Tensor {
  const { planes, decode } = packed.format
  const args = createArguments()
  const fields = planes.map((plane): readonly [string, Expression] => {
    const { word, at } = readOf(t, packed, plane, args)
    return [plane.name, storageOf(plane.field) === "u32" ? fieldOf(plane, word, at) : word]
  })
  return ir.map(decode(expressions, Object.fromEntries(fields)), args.list)
}

/** What is read of a plane for each weight, and which field of it is the weight's. */
function readOf(t: ir.Input, packed: Packed, plane: Plane, args: Arguments) {
  if (plane.by !== undefined) return readBehind(t, packed, plane, plane.by, args)
  const { stack, rows, columns } = dimensionsOf(t, packed)
  const input = planeInput(t, packed, plane)
  const [per, inWord] = [perOf(plane, columns), fieldsOfWord(plane)]
  const counter = (axis: string) => args.add(ir.iota(ir.axisOf(t, axis)!, literal(0)))
  const index = new Map(input.axes.map((a): [string, Expression] => [a.name, variable(a.name)]))
  index.set("field", divided(numberOf(columns, variable), per * inWord, volume(columns)))
  if (index.has("block")) index.set("block", divided(numberOf(rows, variable), plane.rows as number, volume(rows)))
  const isOfBlocks = !plane.shared && plane.rows !== "all"
  const word = args.add(ir.reindex(input, [...stack, ...(isOfBlocks ? rows : []), ...columns], index))
  const within = numberOf(columns, counter)
  return { word, at: apply("floormod", divided(within, per), literal(inWord)) }
}

/** The same where a field of a plane that all rows share says which of its fields are a column's. */
function readBehind(t: ir.Input, packed: Packed, plane: Plane, by: string, args: Arguments) {
  const other = packed.format.planes.find(({ name }) => name === by)!
  const own = createArguments()
  const read = readOf(t, packed, other, own)
  const group = ir.map(apply("toI32", bitsOf(other, read.word, read.at)), own.list)
  const inWord = fieldsOfWord(plane)
  const field = inWord === 1 ? group : ir.map(divided(variable("$0"), inWord), [group])
  const word = args.add(ir.gather(planeInput(t, packed, plane), "field", field))
  return { word, at: apply("floormod", args.add(group), literal(inWord)) }
}
