/**
 * Random tensor programs.
 *
 *   { extents: [3, 7, 4], steps: [[2, 11, …], …], … }   →   outputs [y], updates [keys], inputs with data, values of the symbols
 *
 * fast-check draws a recipe, plain data that shrinks to fewer steps, smaller extents and smaller numbers; `buildProgram` makes the program from
 * it, the same one each time. It must run inside of `withTable`, and what is compiled of it too.
 */

import fc from "fast-check"
import { roundToStorage } from "../../compiler/interpret/memory.js"
import type { Dense } from "../../compiler/interpret/tensor.js"
import { extentAt } from "../../compiler/ir/dim.js"
import { apply, TypeProblem, variable } from "../../compiler/ir/expression.js"
import { max, min, sum } from "../../compiler/ir/monoid.js"
import { roundTo } from "../../compiler/ir/operations.js"
import { homeOf, sources, topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { Choices, scrambled } from "./choices.js"
import {
  affordable,
  clampLimit,
  Growing,
  longestSum,
  type Regime,
  type Setting,
  shapeAt,
  terms,
  type Value,
} from "./program.js"
import { stepOf } from "./steps.js"

export interface Recipe {
  readonly regime: Regime
  readonly extents: readonly number[]
  readonly names: number
  /** Whether states may be packed: rows of an odd number of halves are stored by targets alone that store single ones. */
  readonly packed: boolean
  readonly seq: { readonly max: number; readonly value: number }
  readonly past: { readonly max: number; readonly value: number }
  readonly steps: readonly (readonly number[])[]
  /** The steps of a repeated unit; none when empty. */
  readonly unit: readonly (readonly number[])[]
  /** How often the unit is applied, one application after the other. */
  readonly repeat: number
  readonly seed: number
  /** Data are at most this large. */
  readonly magnitude: number
}

export interface LawProgram {
  readonly regime: Regime
  readonly outputs: readonly ir.Tensor[]
  /** States with what they become; a call's result where a unit updates the state. */
  readonly updates: readonly { readonly state: ir.Input; readonly tensor: ir.Tensor }[]
  readonly inputs: readonly ir.Input[]
  /** In the order of the artifact. */
  readonly symbols: readonly { readonly name: string; readonly max: number }[]
  readonly values: ReadonlyMap<string, number>
  readonly seed: number
  readonly magnitude: number
}

export const rootsOf = (p: LawProgram): readonly ir.Tensor[] => [...p.outputs, ...p.updates.map((u) => u.tensor)]

/** Extents with the usual boundaries: whole vectors and tiles, one more, one less, primes, one, none. */
const extents = [3, 4, 2, 5, 8, 1, 7, 6, 13, 16, 12, 1, 9, 32, 11, 17, 0, 20]
const nameSets = [
  ["a", "b", "c", "s"],
  ["row", "dim", "head", "seq"],
  ["lane", "group", "point", "seq"],
  ["a_1", "a.1", "a", "s-q"],
  ["_", "1st", "local0", "past"],
]

const numbers = fc.array(fc.nat(9999), { minLength: 10, maxLength: 10 })
const bounded = fc.integer({ min: 0, max: 1000 })

export const recipes = (regime?: Regime, packed = true): fc.Arbitrary<Recipe> =>
  fc
    .record({
      regime: regime === undefined ? fc.constantFrom<Regime>("exact", "exact", "analytic") : fc.constant(regime),
      extents: fc.tuple(bounded, bounded, bounded),
      names: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(nameSets.length - 1) }),
      packed: packed ? fc.boolean() : fc.constant(false),
      seq: fc.record({ max: fc.integer({ min: 1, max: 9 }), value: bounded }),
      past: fc.record({ max: fc.integer({ min: 0, max: 9 }), value: bounded }),
      steps: fc.array(numbers, { minLength: 1, maxLength: 11, size: "max" }),
      unit: fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(numbers, { minLength: 1, maxLength: 4 }) },
      ),
      repeat: fc.integer({ min: 1, max: 3 }),
      seed: fc.nat(0xffff),
      magnitude: fc.integer({ min: 1, max: 4 }),
    })
    .map((r) => ({ ...r, extents: r.extents.map((n) => extents[n % extents.length]!) }))

export function buildProgram(recipe: Recipe): LawProgram {
  const { regime, seq, past } = recipe
  const pastMax = past.max + seq.max + 3
  const setting: Setting = {
    regime,
    packed: recipe.packed,
    extents: recipe.extents,
    names: nameSets[recipe.names]!,
    symbols: {
      seq: { max: seq.max, hint: Math.max(1, seq.max >> 1) },
      past: { max: pastMax, hint: Math.max(1, pastMax >> 1) },
    },
  }
  const g = new Growing(setting)
  const [a, b, c, s] = setting.names.map((n) => g.axis(n)) as [ir.Axis, ir.Axis, ir.Axis, ir.Axis]
  for (const axes of [
    [s, a],
    [a, b],
    [c, b, s],
  ])
    g.push(g.input(axes, "f32", axes.includes(s) ? "input" : "weight"), 4)
  grow(g, recipe.steps)
  if (recipe.unit.length > 0) repeated(g, setting, recipe)

  const empty = g.gathered.some(
    (d) =>
      extentAt(
        d,
        new Map([
          ["seq", 0],
          ["past", 0],
        ]),
      ) === 0,
  )
  const seqValue = Math.max(empty ? 1 : 0, within(seq.value, seq.max))
  const sizes = new Map([["seq", seqValue]])
  const room = pastMax - Math.max(0, ...g.appended.map((d) => extentAt(d, sizes)))
  const values = new Map([...sizes, ["past", within(past.value, room)]])
  return {
    regime,
    ...results(g),
    inputs: g.inputs,
    symbols: [g.past, g.seq].map(({ name, max }) => ({ name, max })),
    values,
    seed: recipe.seed,
    magnitude: recipe.magnitude,
  }
}

/** 0 … limit from 0 … 1000, both ends likely. */
const within = (drawn: number, limit: number) =>
  drawn % 5 === 4 ? limit : drawn % 11 === 10 ? 0 : Math.min(limit, 1 + (drawn % Math.max(1, limit)))

function grow(g: Growing, steps: readonly (readonly number[])[]): void {
  for (const drawn of steps) {
    const choose = new Choices(drawn)
    for (const v of attempt(() => stepOf(choose)(g, choose))) g.push(v.tensor, v.limit)
  }
}

/** A step that meets two extents of one axis, or the like, does not apply. */
function attempt(make: () => readonly Value[]): readonly Value[] {
  try {
    return make()
  } catch (e) {
    if (e instanceof TypeProblem) return []
    throw e
  }
}

/** What nothing else reads, the latest first. */
function results(g: Growing): Pick<LawProgram, "outputs" | "updates"> {
  const read = new Set(g.pool.flatMap((v) => sources(v.tensor)))
  const updated = new Set(g.updates.map((u) => u.tensor))
  const isLeaf = (t: ir.Tensor) => t.kind === "input" || t.kind === "constant" || updated.has(t)
  const sinks = g.pool.map((v) => v.tensor).filter((t) => !read.has(t) && !isLeaf(t))
  const first = sinks.length > 0 ? sinks.reverse().slice(0, 3) : [ir.map(variable("$0", "f32"), [g.pool[0]!.tensor])]
  return { outputs: first, updates: g.updates }
}

/** Applies a unit to what the program has made, then to its own result: a stack of layers. */
function repeated(g: Growing, setting: Setting, recipe: Recipe): void {
  const choose = new Choices(recipe.unit[0]!)
  const start = g.pick(choose, (t) => t.dtype === "f32" && t.axes.length > 0 && t.kind !== "update")
  const like = (t: ir.Tensor) =>
    t !== start?.tensor && t.dtype === "f32" && t.axes.every((a, i) => a === start?.tensor.axes[i]) && t.axes.length > 0
  const second = (choose.chance(60) ? g.pick(choose, like) : undefined) ?? g.pick(choose)
  if (start === undefined || second === undefined) return
  // All applications share one unit, so its first argument lies in memory as results do.
  const own = homeOf(start.tensor) === undefined
  const x = own ? g.clamped(start) : { ...start, tensor: ir.map(apply("neg", variable("$0", "f32")), [start.tensor]) }
  const y = second.tensor.kind === "input" || second.tensor.dtype !== "f32" ? second : g.clamped(second)
  const u = new Growing({ ...setting }, "u")
  const inner = [x, y].map(({ tensor: t, limit }, i): Value => {
    const tensor = placeholder(`p.${i}`, t)
    for (const a of t.axes) u.extents.set(a.name, a.extent)
    return u.push(tensor, Math.max(limit, clampLimit))
  })
  grow(
    u,
    recipe.unit.map((n) => n.slice(1)),
  )
  // Inputs that the steps asked for are arguments too; weights and states are others in each application.
  const result = likeFirst(u, inner[0]!.tensor)
  if (result === undefined) return
  const made = u.updates.map((w) => w.tensor)
  const extra = u.pool
    .map((v) => v.tensor)
    .filter((t) => t.kind !== "input" && t !== result && !made.includes(t as ir.Update))
    .slice(-1)
  const unit = ir.unit("layer", [...inner.map((v) => v.tensor as ir.Input), ...u.inputs], [result, ...extra, ...made])
  let at = x.tensor
  for (let n = 0; n < recipe.repeat; n++) {
    const fresh = u.inputs.map((i) => {
      const fed = ir.input(`${i.name}.${n}`, i.role, i.axes, i.dtype, i.storage, i.capacity, i)
      g.inputs.push(fed)
      return fed
    })
    const args = [at, y.tensor, ...fresh]
    const calls = unit.results.map((_, i) => ir.call(unit, args, i))
    at = calls[0]!
    for (const [i] of extra.entries()) g.push(calls[1 + i]!, Number.POSITIVE_INFINITY)
    u.updates.forEach(({ state }, i) => {
      const call = calls[1 + extra.length + i]!
      const fed = fresh[u.inputs.indexOf(state)]!
      g.updates.push({ state: fed, tensor: call })
      // Some programs read what a unit has written.
      if (recipe.seed % 3 === 0) g.push(call, Number.POSITIVE_INFINITY)
    })
  }
  g.appended.push(...u.appended)
  g.gathered.push(...u.gathered)
  g.push(at, clampLimit)
  for (const drawn of recipe.steps.slice(0, 2)) {
    const more = new Choices(drawn.slice(1))
    for (const v of attempt(() => stepOf(more)(g, more))) g.push(v.tensor, v.limit)
  }
}

/** What stands for an argument inside of a unit: it keeps the layout of memory that is given. */
function placeholder(name: string, t: ir.Tensor): ir.Input {
  const home = homeOf(t)
  if (home === undefined)
    return ir.input(
      name,
      "input",
      t.axes,
      t.dtype,
      t.dtype,
      t.axes.map(() => 0),
    )
  return ir.input(name, t === home ? home.role : "weight", t.axes, t.dtype, home.storage, home.capacity, home)
}

/** The latest tensor of a unit, folded and spread to the axes of its first argument, so that its result can be its argument. */
function likeFirst(u: Growing, first: ir.Tensor): ir.Tensor | undefined {
  const last = u.pool.filter((v) => v.tensor.dtype === "f32" && v.tensor.kind !== "input").at(-1)
  if (last === undefined) return undefined
  let folded = u.clamped(last).tensor
  for (const a of folded.axes) {
    const known = ir.axisOf(first, a.name)
    if (known === undefined) folded = ir.reduce([sum, max, min][folded.axes.length % 3]!, a.name, [folded])
    else if (known.extent !== a.extent) return undefined
    if (!affordable(folded) || (u.regime === "analytic" && terms(folded) > longestSum)) return undefined
  }
  const [p, q] = [variable("$0", "f32"), variable("$1", "f32")]
  const joined = ir.map(apply("add", p, q), [
    first,
    u.clamped({ tensor: folded, limit: Number.POSITIVE_INFINITY }).tensor,
  ])
  return u.clamped({ tensor: joined, limit: Number.POSITIVE_INFINITY }).tensor
}

/** The contents of an input: numbers that its storage holds. */
export function dataOf(p: LawProgram, input: ir.Input, symbols: ReadonlyMap<string, number> = p.values): Dense {
  const axes = shapeAt(input, symbols)
  const next = scrambled(p.seed * 31 + [...input.name].reduce((n, ch) => n * 7 + ch.charCodeAt(0), 0))
  const m = p.magnitude
  const size = axes.reduce((n, a) => n * a.extent, 1)
  const draw = () => {
    if (input.dtype === "bool") return next() % 2
    if (input.dtype === "u32") return next() % (m + 1)
    const whole = (next() % (2 * m + 1)) - m
    if (p.regime === "exact" || input.dtype === "i32") return whole
    return roundToStorage(input.storage, Math.fround((next() / 2 ** 31 - 1) * m))
  }
  return { axes, dtype: input.dtype, data: Float64Array.from({ length: size }, () => roundTo(input.dtype, draw())) }
}

/** Nodes of a program, those of its units included. */
export function nodesOf(roots: readonly ir.Tensor[]): readonly ir.Tensor[] {
  const all = topological(roots)
  const units = new Set(all.flatMap((t) => (t.kind === "call" ? [t.unit] : [])))
  return [...all, ...[...units].flatMap((u) => topological(u.results))]
}
