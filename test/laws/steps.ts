/**
 * The steps by which a random program grows: one for each kind of node and for the shapes that models make of them.
 *
 *   contraction     reduce sum over a of map $0 · $1 of (x, w)
 *   experts         a contraction with an operand that was gathered by data
 *   append          update of a state at `past`, whose result is read by later steps
 *
 * A step answers with the values that it made, or with nothing when it does not apply. The plainest steps stand first: 0 is where shrinking ends.
 */
import { maximum, symbolsOf } from "../../compiler/ir/dim.js"
import { add, and, apply, literal, sub, variable } from "../../compiler/ir/expression.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { argmax, type Monoid, max, min, product, sum, top } from "../../compiler/ir/monoid.js"
import type { DType } from "../../compiler/ir/operations.js"
import type { Kept } from "../../compiler/ir/tensor/kept.js"
import * as ir from "../../compiler/ir/tensor.js"
import { bodyOf, comparison, conversion, limitOf } from "./bodies.js"
import type { Choices } from "./choices.js"
import { dependent } from "./dependent.js"
import { moved } from "./moves.js"
import {
  affordable,
  clampLimit,
  exactLimit,
  folded,
  type Growing,
  longestSum,
  mayBeEmpty,
  terms,
  type Value,
} from "./program.js"

export type Step = (g: Growing, choose: Choices) => readonly Value[]

const names = (xs: readonly Value[]) => new Map(xs.map((x, i) => [`$${i}`, x.limit]))

/** A map whose result stays exact. */
function mapped(g: Growing, make: (xs: readonly Value[]) => ir.Map, xs: readonly Value[]): readonly Value[] {
  const tame = xs.map((x) => (x.limit > exactLimit ? g.clamped(x) : x))
  const first = make(tame)
  if (!affordable(first)) return []
  const limit = limitOf(first.body, names(tame))
  if (first.dtype !== "f32" || limit <= exactLimit) return [{ tensor: first, limit }]
  const small = tame.map((x) => g.clamped(x))
  const again = make(small)
  return [{ tensor: again, limit: limitOf(again.body, names(small)) }]
}

const tensors = (xs: readonly Value[]) => xs.map((x) => x.tensor)

const pointwise: Step = (g, choose) => {
  const x = g.pick(choose)
  const y = x && g.pick(choose, (t) => t.dtype === x.tensor.dtype)
  if (x === undefined || y === undefined) return []
  const body = bodyOf(choose, x.tensor.dtype, g.regime)
  return mapped(g, (xs) => ir.map(body, tensors(xs)), [x, y])
}

/** A reduction or scan whose sums stay exact. */
function fold(g: Growing, make: (x: ir.Tensor) => ir.Reduce | ir.Scan, x: Value, ordered: boolean): readonly Value[] {
  const tame = x.limit > exactLimit ? g.clamped(x) : x
  const first = make(tame.tensor)
  if (!affordable(first) || (g.regime === "analytic" && terms(first) > longestSum)) return []
  const count = ordered ? 1 : Math.max(1, folded(first))
  const axis = tame.tensor.axes.find((a) => a.name === first.axis)!
  // The identities of max and min are infinite.
  if (ordered && mayBeEmpty(axis)) return [{ tensor: first, limit: Number.POSITIVE_INFINITY }]
  if (first.dtype !== "f32" || tame.limit * count <= exactLimit) return [{ tensor: first, limit: tame.limit * count }]
  return [{ tensor: make(g.clamped(tame).tensor), limit: clampLimit * count }]
}

const along = (choose: Choices, x: Value): string | undefined =>
  x.tensor.axes.length === 0 ? undefined : choose.of(x.tensor.axes).name

const reduction: Step = (g, choose) => {
  const x = g.pick(choose, (t) => t.axes.length > 0)
  const axis = x && along(choose, x)
  if (axis === undefined) return []
  const monoid = x!.tensor.dtype === "bool" ? sum : choose.of([sum, max, min])
  return fold(g, (t) => ir.reduce(monoid, axis, [t]), x!, monoid !== sum)
}

const contraction: Step = (g, choose) => {
  const x = g.floats(choose)
  const y = x && g.pick(choose, (t) => t.dtype === "f32" && t.axes.some((a) => ir.axisOf(x.tensor, a.name)))
  if (x === undefined || y === undefined) return []
  return contract(g, choose, x, y)
}

function contract(g: Growing, choose: Choices, x: Value, y: Value): readonly Value[] {
  const [a, b] = [g.clamped(x, 64), g.clamped(y, 64)]
  const common = a.tensor.axes.filter((s) => ir.axisOf(b.tensor, s.name))
  if (common.length === 0) return []
  const product = apply("mul", variable("$0", "f32"), variable("$1", "f32"))
  let made: Value = { tensor: ir.map(product, [a.tensor, b.tensor]), limit: a.limit * b.limit }
  const over = choose.chance(25) ? common : [choose.of(common)]
  for (const { name } of over) {
    const next = fold(g, (t) => ir.reduce(sum, name, [t]), made, false)
    if (next.length === 0) return []
    made = next[0]!
  }
  return [made]
}

const ranked: Step = (g, choose) => {
  const x = g.pick(
    choose,
    (t) => t.axes.length > 0 && t.dtype !== "bool" && (g.regime === "exact" || t.dtype !== "f32"),
  )
  const axis = x && along(choose, x)
  if (axis === undefined) return []
  const extent = maximum(ir.axisOf(x!.tensor, axis)!.extent)
  const k = choose.below(4)
  const slot = k === 0 || k > extent ? undefined : g.fresh(literal(k), "slot").name
  const monoid = slot === undefined ? argmax : top(k)
  const parts = choose.of([[0, 1], [1], [0]])
  return parts.flatMap((component) => {
    const made = ir.reduce(monoid, axis, [x!.tensor], component, slot)
    if (!affordable(made)) return []
    const fewer = mayBeEmpty(ir.axisOf(x!.tensor, axis)!) ? Number.POSITIVE_INFINITY : undefined
    return [{ tensor: made, limit: fewer ?? (component === 0 ? x!.limit : extent) }]
  })
}

/** Several folds side by side. */
const tuple: Step = (g, choose) => {
  const x = g.pick(choose, (t) => t.axes.length > 0 && t.dtype !== "bool")
  const axis = x && along(choose, x)
  const y = x && g.pick(choose, (t) => t.dtype !== "bool" && t.axes.every((a) => ir.axisOf(x.tensor, a.name)))
  if (axis === undefined || y === undefined) return []
  const parts = [choose.of<Monoid>([max, min, sum]), choose.of<Monoid>([sum, max, min])]
  const extent = maximum(ir.axisOf(x!.tensor, axis)!.extent)
  const small = [g.clamped(x!, 2 ** 16), g.clamped(y, 2 ** 16)]
  return choose.of([[0, 1], [1], [0]]).flatMap((i) => {
    const tensor = ir.reduce(product(...parts), axis, tensors(small), i)
    if (g.regime === "analytic" && terms(tensor) > longestSum) return []
    const grows = parts[i] === sum ? Math.max(1, extent) : 1
    const empty = parts[i] !== sum && mayBeEmpty(ir.axisOf(x!.tensor, axis)!)
    return affordable(tensor) ? [{ tensor, limit: empty ? Number.POSITIVE_INFINITY : small[i]!.limit * grows }] : []
  })
}

const prefix: Step = (g, choose) => {
  const x = g.pick(choose, (t) => t.axes.length > 0)
  const axis = x && along(choose, x)
  if (axis === undefined) return []
  const monoid = x!.tensor.dtype === "bool" ? sum : choose.of([sum, max, min])
  const block = choose.of([undefined, undefined, 2, 3, 4])
  return fold(g, (t) => ir.scan(monoid, axis, t, block), x!, monoid !== sum)
}

const indexed: Step = (g, choose) => {
  const index = g.pick(choose, (t) => t.dtype === "i32")
  const x = g.pick(choose, (t) => t.axes.some((a) => maximum(a.extent) > 1))
  if (x === undefined || index === undefined) return []
  const axis = choose.of(x.tensor.axes.filter((a) => maximum(a.extent) > 0 && a.extent !== g.past))
  if (axis === undefined) return []
  const tensor = ir.gather(x.tensor, axis.name, index.tensor)
  g.gathered.push(axis.extent)
  return affordable(tensor) ? [{ tensor, limit: x.limit }] : []
}

/** A contraction with rows that data chooses. */
const experts: Step = (g, choose) => {
  const [found] = indexed(g, choose)
  if (found === undefined || found.tensor.dtype !== "f32") return found === undefined ? [] : [found]
  const y = g.pick(choose, (t) => t.dtype === "f32" && t.axes.some((a) => ir.axisOf(found.tensor, a.name)))
  return y === undefined ? [found] : contract(g, choose, found, y)
}

const position: Step = (g, choose) => {
  const axis = g.axis(choose.of([...g.extents.keys()]))
  const start = choose.of([literal(0), g.past, literal(3), add(g.past, literal(1))])
  const tensor = ir.iota(axis, start)
  return [{ tensor, limit: maximum(axis.extent) + maximum(start) }]
}

const fixed: Step = (g, choose) => {
  const axes = [...g.extents].filter(([, e]) => e.kind === "literal").map(([n]) => g.axis(n))
  const first = choose.of(axes)
  const second = choose.of(axes)
  const both =
    choose.chance(40) && first !== undefined && first.name !== second?.name ? [first, second!] : first ? [first] : []
  const dtype: DType = choose.of(["f32", "f32", "i32", "bool"])
  const count = both.reduce((n, a) => n * maximum(a.extent), 1)
  const from = choose.below(7)
  const half = g.regime === "analytic" && dtype === "f32" ? 0.375 : 1
  const values = Array.from({ length: count }, (_, i) =>
    dtype === "bool" ? (i * 5 + from) % 2 : (((i * 5 + from) % 7) - 3) * half,
  )
  return count > 200 ? [] : [{ tensor: ir.constant(both, values, dtype), limit: 3 }]
}

const fed: Step = (g, choose) => {
  const storage = choose.of<Storage>(["f32", "i32", "bf16", "f16", "u32", "bool", "u32", "bool", "f16", "i32", "bool"])
  const all = [...g.extents.keys()]
  const axes = [...new Set([choose.of(all), choose.of(all), choose.of(all)].slice(0, 1 + choose.below(3)))].map((n) =>
    g.axis(n),
  )
  const role = choose.of<ir.InputRole>(["input", "weight"])
  const weight = role === "weight" && axes.every((a) => a.extent.kind === "literal")
  const tensor = g.input(axes, storage, weight ? "weight" : "input")
  return affordable(tensor) ? [{ tensor, limit: storage === "bool" ? 1 : 4 }] : []
}
/**
 * How many elements from before a step a state keeps, and its memory for them and for those that come, one at least though nothing may come; and what a
 * predicate leaves of a window of them.
 */
/** How many elements from before a step a state keeps, and its memory for them and for those that come; and what a predicate leaves of a window of them. */
function keptOf(g: Growing, choose: Choices, axis: string, added: number) {
  const rows = 1 + choose.below(6)
  const most = maximum(g.past)
  const kept: Kept = { axis, rows, first: sub(g.past, literal(rows)), most }
  return { kept, room: Math.min(most, rows + Math.max(1, added) + choose.below(3)) }
}

/** A fold of the last elements of an axis, no more of them than a state has. */
function windowed(g: Growing, choose: Choices, made: Value, axis: ir.Axis, kept: Kept): readonly Value[] {
  if (made.tensor.dtype !== "f32") return []
  const { tensor, limit } = g.clamped(made)
  const [x, place] = [variable("$0", "f32"), variable("$1", "i32")]
  const first = add(kept.first, literal(choose.below(4) - 1))
  const within = and(apply("ge", place, first), apply("le", place, sub(axis.extent, literal(1))))
  const seen = ir.map(apply("select", within, x, literal(0, "f32")), [tensor, ir.iota(axis, literal(0))])
  const folded = ir.reduce(sum, axis.name, [seen])
  return affordable(folded) ? [{ tensor: folded, limit: limit * Math.max(1, maximum(axis.extent)) }] : []
}

/** Appends to a state that grows, and of which the last elements alone may be kept. */
const append: Step = (g, choose) => {
  const x = g.pick(choose, (t) => t.axes.length > 0 && t.axes.length < 4)
  if (x === undefined) return []
  const axis = choose.of(x.tensor.axes)
  if (maximum(axis.extent) > g.seq.max + 3 || symbolsOf(axis.extent).has("past")) return []
  const key = g.fresh(g.past, "key")
  const { dtype } = x.tensor
  const storage: Storage = dtype !== "f32" ? dtype : g.packed ? choose.of(["bf16", "f32", "f16"]) : "f32"
  const moved = (extent: ir.Axis["extent"]) => x.tensor.axes.map((a) => (a === axis ? { name: key.name, extent } : a))
  const last = choose.chance(50) ? keptOf(g, choose, key.name, maximum(axis.extent)) : undefined
  const state = g.input(
    moved(g.past),
    storage,
    "state",
    moved(g.past).map((a) => (a.name === key.name ? (last?.room ?? maximum(a.extent)) : maximum(a.extent))),
    last?.kept,
  )
  const index = new Map(x.tensor.axes.map((a) => [a.name, variable(a === axis ? key.name : a.name)]))
  const kept = storage === "f32" || dtype !== "f32" ? x : g.clamped(x)
  const value = ir.reindex(kept.tensor, moved(axis.extent), index)
  const tensor = ir.update(state, key.name, g.past, value, add(g.past, axis.extent))
  if (!affordable(tensor)) return []
  g.appended.push(axis.extent)
  g.extents.set(key.name, add(g.past, axis.extent))
  g.updates.push({ state, tensor })
  if (choose.chance(20)) g.push(state, Math.max(kept.limit, 4))
  const made = { tensor, limit: Math.max(kept.limit, 4) }
  const folded = last === undefined ? [] : windowed(g, choose, made, ir.axisOf(tensor, key.name)!, last.kept)
  return [made, ...folded]
}

/** Replaces a state as a whole by something that may depend on it. */
const replace: Step = (g, choose) => {
  const x = g.pick(choose, (t) => t.axes.every((a) => a.extent.kind === "literal") && t.dtype !== "bool")
  if (x === undefined) return []
  const { dtype, axes } = x.tensor
  const storage: Storage = dtype !== "f32" ? dtype : g.packed ? choose.of(["f32", "bf16"]) : "f32"
  const state = g.input(axes, storage, "state")
  const old = { tensor: state, limit: 4 }
  const kind = choose.below(3)
  const [value] = kind === 0 ? [x] : mapped(g, (xs) => ir.map(bodyOf(choose, dtype, g.regime), tensors(xs)), [x, old])
  if (value === undefined) return []
  const kept = storage === "bf16" ? g.clamped(value) : value
  const tensor = ir.update(state, undefined, literal(0), kept.tensor)
  g.updates.push({ state, tensor })
  // Later steps may read the state as it was.
  if (choose.chance(50)) g.push(state, 4)
  return [{ tensor, limit: Math.max(kept.limit, 4) }]
}

const compared: Step = (g, choose) => {
  const x = g.pick(choose, (t) => g.regime === "exact" || t.dtype !== "f32")
  const y = x && g.pick(choose, (t) => t.dtype === x.tensor.dtype)
  if (x === undefined || y === undefined) return []
  const tensor = ir.map(comparison(choose, x.tensor.dtype), [x.tensor, y.tensor])
  return affordable(tensor) ? [{ tensor, limit: 1 }] : []
}

const selected: Step = (g, choose) => {
  const c = g.pick(choose, (t) => t.dtype === "bool")
  const x = g.pick(choose)
  const y = x && g.pick(choose, (t) => t.dtype === x.tensor.dtype)
  if (c === undefined || x === undefined || y === undefined) return pointwise(g, choose)
  const { dtype } = x.tensor
  const body = apply("select", variable("$0", "bool"), variable("$1", dtype), variable("$2", dtype))
  const tensor = ir.map(body, [c.tensor, x.tensor, y.tensor])
  return affordable(tensor) ? [{ tensor, limit: Math.max(x.limit, y.limit) }] : []
}

const converted: Step = (g, choose) => {
  const x = g.pick(choose, (t) => t.dtype !== "f32" || g.regime === "exact")
  if (x === undefined) return []
  return mapped(g, (xs) => ir.map(conversion(choose, xs[0]!.tensor.dtype), tensors(xs)), [x])
}

/** Steps with their weights. */
const weighted: readonly (readonly [Step, number])[] = [
  [pointwise, 16],
  [reduction, 8],
  [contraction, 14],
  [moved, 14],
  [prefix, 4],
  [ranked, 9],
  [tuple, 4],
  [experts, 6],
  [indexed, 4],
  [position, 4],
  [fixed, 5],
  [fed, 18],
  [append, 6],
  [replace, 3],
  [compared, 3],
  [selected, 3],
  [converted, 4],
  [dependent, 4],
]

const table = weighted.flatMap(([step, weight]) => Array.from({ length: weight }, () => step))

/** The number that chooses a step of folds that wait for one another. */
export const choosesDependent = table.indexOf(dependent)

/** The number that chooses a step of prefixes. */
export const choosesPrefix = table.indexOf(prefix)

export const stepOf = (choose: Choices): Step => choose.of(table)
