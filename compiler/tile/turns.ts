/**
 * Turns: the points of a block that its lanes own together, when all lanes have to go the same way.
 *
 *   block 128 × 128 of 256 lanes with registers 8 × 8   →   one turn: lane l has the point l
 *   block 4 × 64 of one lane with registers 1 × 4       →   64 turns, whose accumulators lie in arrays between the loops
 *
 * What a lane holds lies apart, so that neighbours hold neighbours. Coordinates are kept inside of the domain; points outside are computed
 * like others and not stored.
 */

import { literalExtent } from "../ir/dim.js"
import { add, apply, fetch, freeVariables, identity, literal, mul, substitute, variable } from "../ir/expression.js"
import type { Store } from "../ir/kernel.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { declare } from "./accumulators.js"
import { always, type BlockAxis, type Build, Refused, workersOf } from "./block.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { coordinates, storeVector } from "./points.js"
import { lowerValues } from "./values.js"
import { flatten, type VectorAxis } from "./vector.js"

export interface Copy {
  readonly at: ReadonlyMap<string, Expression>
  /** Whether it lies in the domain. */
  readonly inside: Expression
}

export interface Turn {
  readonly count: number
  /** The variable that numbers the turns. */
  readonly name: string
  /** Statements that name the coordinates. */
  readonly before: readonly Statement[]
  readonly copies: readonly Copy[]
  readonly vector: VectorAxis | undefined
  readonly bound: ReadonlySet<string>
}

const yes = () => literal(1, "bool")

export function turnOf(axes: readonly BlockAxis[], parts: Build, scope: Scope): Turn {
  const points = axes.reduce((n, a) => n * (literalExtent(a.points) ?? Number.NaN), 1)
  if (Number.isNaN(points)) throw new Refused("reduce/chunk", "a block that takes chunks has a known number of points")
  const { workers, worker } = workersOf(1, parts)
  const count = Math.ceil(points / workers)
  const name = parts.fresh("turn")
  const point = count === 1 ? worker : add(mul(variable(name), literal(workers)), worker)
  const spare = points % workers !== 0
  const before: Statement[] = []
  const firsts = coordinates(spare ? apply("min", point, literal(points - 1)) : point, axes, before, parts, true)
  const exists = spare ? apply("lt", point, literal(points)) : yes()
  const vectored = axes.find((a) => (a.tile.vector ?? 1) > 1)
  const lane = parts.fresh("lane")
  const vector = vectored === undefined ? undefined : { name: lane, base: literal(0), width: vectored.tile.vector! }
  let copies: Copy[] = [{ at: new Map(), inside: exists }]
  for (const a of axes) copies = copies.flatMap((c) => placed(c, a, firsts.get(a.axis.name)!, lane))
  const bound = new Set([...scope.bound, name, ...(vector === undefined ? [] : [lane])])
  for (const s of before) if (s.kind === "let") bound.add(s.name)
  for (const f of firsts.values()) for (const n of freeVariables(f)) bound.add(n)
  return { count, name, before, copies, vector, bound }
}

/** A copy for each register along an axis. */
function placed(copy: Copy, a: BlockAxis, start: Expression, lane: string): readonly Copy[] {
  const width = a.tile.vector ?? 1
  const sure = always(a)
  const extent = literalExtent(a.axis.extent)
  if (!sure && width > 1 && (extent === undefined || extent % width !== 0))
    throw new Refused("tile/vector", `'${a.axis.name}' does not end with a whole vector`)
  return Array.from({ length: a.tile.perThread ?? 1 }, (_, r) => {
    const first = add(start, mul(a.points, literal(r * width)))
    const safe = sure ? first : apply("min", first, apply("sub", a.axis.extent, literal(width)))
    const inside = sure ? copy.inside : apply("and", copy.inside, apply("lt", first, a.axis.extent))
    return { at: new Map(copy.at).set(a.axis.name, width > 1 ? add(safe, variable(lane)) : safe), inside }
  })
}

/** Per fold: the variables of its accumulator. */
export type Accumulators = readonly (readonly Expression[])[]

export interface Kept {
  /** Runs `body` for each turn with the accumulators, which it may assign. */
  each(out: Statement[], body: (out: Statement[], open: Accumulators) => void): void
  /** The same for the last time; `solved`: what else is known of the points by then. */
  finish(out: Statement[], body: (out: Statement[], open: Accumulators, solved: Scope["solved"]) => void): void
}

/** The accumulators of all turns: variables when there is one, else arrays. */
export function createAccumulators(
  folds: readonly Reduce[],
  turn: Turn,
  scope: Scope,
  parts: Build,
  lowerer: Lowerer,
): Kept {
  const widthOf = (r: Reduce) =>
    turn.vector !== undefined && freeVariables(r).has(turn.vector.name) ? turn.vector.width : 1
  const { out } = scope
  if (turn.count === 1) {
    out.push(...turn.before)
    const open = folds.map((r) => declare(r, widthOf(r), out, lowerer))
    return { each: (to, body) => body(to, open), finish: (to, body) => body(to, open, new Map()) }
  }
  const number = variable(turn.name)
  const loop = (to: Statement[], body: readonly Statement[]) =>
    to.push({ kind: "for", variable: turn.name, extent: literal(turn.count), bind: "serial", body })
  const first: Statement[] = []
  const initial = folds.map((r) => declare(r, widthOf(r), first, lowerer))
  const arrays = initial.map((components) =>
    components.map(({ dtype, width }) => {
      const array = parts.fresh("kept")
      out.push({ kind: "alloc", name: array, dtype, size: turn.count * width, space: "register" })
      return { array, dtype, width, offset: mul(number, literal(width)) }
    }),
  )
  const write = (to: Statement[], open: Accumulators) => {
    for (const [i, components] of arrays.entries())
      for (const [j, { array, offset }] of components.entries())
        to.push({ kind: "store", array, offset, value: open[i]![j]! })
  }
  const read = (to: Statement[], mutable: boolean): Accumulators =>
    arrays.map((components, i) =>
      components.map(({ array, dtype, width, offset }) => {
        const name = lowerer.fresh(folds[i]!.axis)
        to.push({ kind: "let", name, value: fetch(array, offset, dtype, width), mutable })
        return variable(name, dtype, width)
      }),
    )
  write(first, initial)
  loop(out, first)
  return {
    each: (to, body) => {
      const inner = [...turn.before]
      const open = read(inner, true)
      body(inner, open)
      write(inner, open)
      loop(to, inner)
    },
    finish: (to, body) => {
      const inner = [...turn.before]
      body(inner, read(inner, false), new Map())
      loop(to, inner)
    },
  }
}

/** The copies that stand for a store with fewer axes: those at the first place of each axis that it lacks. */
export function firstPlaces(turn: Turn, store: Store): Turn {
  const kept = new Set(store.axes.map((a) => a.name))
  const found = new Map<string, Copy>()
  const lane = turn.vector === undefined ? new Map<string, Expression>() : new Map([[turn.vector.name, literal(0)]])
  for (const { at, inside } of turn.copies) {
    const mine = new Map([...at].filter(([axis]) => kept.has(axis)))
    const first = [...at]
      .filter(([axis]) => !kept.has(axis))
      .map(([, x]) => apply("eq", substitute(x, lane), literal(0)))
    const key = [...mine].map(([, x]) => identity(x)).join(" ")
    const here = first.reduce((a, b) => apply("and", a, b), inside)
    if (found.has(key) || (here.kind === "literal" && here.value === 0)) continue
    found.set(key, { at: mine, inside: here })
  }
  const wide =
    turn.vector !== undefined &&
    [...found.values()].some((c) => [...c.at.values()].some((x) => freeVariables(x).has(turn.vector!.name)))
  return { ...turn, copies: [...found.values()], vector: wide ? turn.vector : undefined }
}

/** Stores the copies that lie in the domain. */
export function emitStores(store: Store, { copies, vector }: Turn, scope: Scope, lowerer: Lowerer): void {
  const shape = lowerer.shape(store.buffer)
  const values = copies.map((c) => substitute(store.value, c.at))
  const offsets = copies.map((c) =>
    flatten(
      store.index.map((i) => substitute(i, c.at)),
      shape,
    ),
  )
  const lowered = lowerValues([...values, ...(vector === undefined ? offsets : [])], scope, lowerer)
  for (const [i, c] of copies.entries()) {
    const value = lowered[i]!
    const stores: readonly Statement[] =
      vector === undefined
        ? [{ kind: "store", array: store.buffer, offset: lowered[copies.length + i]!, value }]
        : storeVector(store.buffer, offsets[i]!, value, vector, scope, lowerer)
    if (c.inside.kind === "literal") scope.out.push(...(c.inside.value === 0 ? [] : stores))
    else scope.out.push({ kind: "if", condition: c.inside, body: stores, otherwise: [] })
  }
}
