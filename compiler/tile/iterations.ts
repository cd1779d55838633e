/**
 * Iterations: what a lane owns of a block, one register tile (a point) after the other, and what is computed and stored for each.
 *
 *   64 points of 4 elements for 32 lanes   →   for i < 2 { point = 32 · i + lane; 4 copies, at first, first + 1, first + 2, first + 3 }
 *
 * A copy is an element of a point, or a vector of neighbours: its coordinates, and whether it lies in the domain. Lanes either go ways of their
 * own, so that points that lie whole in the domain take a fast body and those at its boundary loops over what is left; or all of them go
 * the same way (a reduction that lanes share, a barrier inside): coordinates are kept in the domain, and copies outside are not stored.
 */

import { type Dim, literalExtent } from "../ir/dim.js"
import { add, apply, freeVariables, identity, literal, mul, substitute, variable } from "../ir/expression.js"
import type { Store } from "../ir/kernel.js"
import type { Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import { always, type BlockAxis, neverPartial, Refused, workersOf } from "./block.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { valuesAt } from "./prefix.js"
import { type Copies, type Copy, emitStores, guarded } from "./store-copies.js"
import { scansAsReductions, solve } from "./values.js"

/** Which points of a block a lane has. */
interface Sharing {
  /** Lanes that share a point. */
  readonly together: number
  /** What a lane holds along an axis lies apart, so that neighbours hold neighbours. */
  readonly spread: boolean
  /** All lanes go the same way. */
  readonly uniform: boolean
}

export interface Iterations extends Sharing {
  readonly axes: readonly BlockAxis[]
  readonly count: Dim
  /** The variable that numbers them. */
  readonly name: string
  /** Statements that name the coordinates, where there are several. */
  readonly before: readonly Statement[]
  /** The first element of a point along each axis. */
  readonly firsts: ReadonlyMap<string, Expression>
  /** Whether there is a point left for the lane. */
  readonly exists: Expression
  readonly bound: ReadonlySet<string>
}

/** The iterations of a lane; the coordinates of one alone are named in the scope. */
export function iterationsOf(
  axes: readonly BlockAxis[],
  sharing: Sharing,
  scope: Pick<Scope, "out" | "bound">,
  lowerer: Lowerer,
): Iterations {
  const { workers, worker } = workersOf(sharing.together, lowerer.threads)
  const points = axes.reduce<Dim>((n, a) => mul(n, a.points), literal(1))
  const known = literalExtent(points)
  const name = lowerer.fresh("iteration")
  const count = apply("floordiv", add(points, literal(workers - 1)), literal(workers))
  const once = literalExtent(count) === 1
  const point = once ? worker : add(mul(variable(name), literal(workers)), worker)
  const spare = known === undefined || known % workers !== 0
  const inside = spare && sharing.uniform ? apply("min", point, apply("sub", points, literal(1))) : point
  const before: Statement[] = []
  const firsts = coordinates(inside, axes, sharing.spread, once ? scope.out : before, lowerer)
  const bound = new Set([...scope.bound, name, ...[...firsts.values()].flatMap((f) => [...freeVariables(f)])])
  const exists = spare ? apply("lt", point, points) : literal(1, "bool")
  return { ...sharing, axes, count, name, before, firsts, exists, bound }
}

/** The first element of a point along each axis, the last axis the fastest. */
function coordinates(
  point: Expression,
  axes: readonly BlockAxis[],
  spread: boolean,
  out: Statement[],
  { fresh }: Lowerer,
): ReadonlyMap<string, Expression> {
  const firsts = new Map<string, Expression>()
  let rest = point
  const slowest = axes.findIndex((a) => literalExtent(a.points) !== 1)
  for (const [i, a] of [...axes.entries()].reverse()) {
    const single = literalExtent(a.points) === 1
    const number = single ? literal(0) : i === slowest ? rest : apply("rem", rest, a.points)
    if (!single && i !== slowest) rest = apply("div", rest, a.points)
    const stride = literal(spread ? (a.tile.vector ?? 1) : a.step)
    if (number.kind === "literal" || number.kind === "variable") {
      firsts.set(a.axis.name, add(a.base, mul(number, stride)))
      continue
    }
    const name = fresh(`${a.axis.name}_point`)
    out.push({ kind: "let", name, value: number, mutable: false })
    firsts.set(a.axis.name, add(a.base, mul(variable(name), stride)))
  }
  return firsts
}

/** Emits `fill` for each iteration. */
export function eachIteration({ count, name, before }: Iterations, out: Statement[], fill: (out: Statement[]) => void) {
  if (literalExtent(count) === 1) {
    fill(out)
    return
  }
  const body = [...before]
  fill(body)
  out.push({ kind: "for", variable: name, extent: count, bind: "serial", body })
}

/** The copies of a point, the last axis the fastest. Along the axis of a vector a copy starts where the vector does. */
export function copiesOf(iterations: Iterations, { fresh }: Lowerer): Copies {
  const { axes, uniform, exists } = iterations
  const width = axes.find((a) => (a.tile.vector ?? 1) > 1)?.tile.vector
  const vector = width === undefined ? undefined : { name: fresh("lane"), base: literal(0), width }
  let copies: readonly Copy[] = [{ at: new Map(), inside: uniform ? exists : literal(1, "bool") }]
  for (const a of axes) copies = copies.flatMap((c) => copiesAlong(a, c, iterations, vector?.name))
  return { copies, vector }
}

function copiesAlong(
  a: BlockAxis,
  copy: Copy,
  { firsts, spread, uniform }: Iterations,
  lane: string | undefined,
): readonly Copy[] {
  const { vector: width = 1, perThread = 1 } = a.tile
  const start = firsts.get(a.axis.name)!
  // What lies inside or outside as a whole: all that a lane holds side by side.
  const unit = spread ? width : a.step
  const sure = !uniform || always(a)
  const extent = literalExtent(a.axis.extent)
  if (!sure && unit > 1 && (extent === undefined || extent % unit !== 0))
    throw new Refused("tile/vector", `'${a.axis.name}' does not end with a whole vector`)
  return Array.from({ length: perThread }, (_, r) => {
    const first = spread ? add(start, mul(a.points, literal(r * width))) : start
    const safe = sure ? first : apply("min", first, apply("sub", a.axis.extent, literal(unit)))
    const at = spread ? safe : add(safe, literal(r * width))
    const inside = sure ? copy.inside : apply("and", copy.inside, apply("lt", first, a.axis.extent))
    return { at: new Map(copy.at).set(a.axis.name, width > 1 ? add(at, variable(lane!)) : at), inside }
  })
}

/** The copies that stand for a store with fewer axes: those at the first place of each axis that it lacks. */
export function firstPlaces({ copies, vector }: Copies, store: Store): Copies {
  const kept = new Set(store.axes.map((a) => a.name))
  const found = new Map<string, Copy>()
  const lane = vector === undefined ? new Map<string, Expression>() : new Map([[vector.name, literal(0)]])
  for (const { at, inside } of copies) {
    const mine = new Map([...at].filter(([axis]) => kept.has(axis)))
    const first = [...at]
      .filter(([axis]) => !kept.has(axis))
      .map(([, x]) => apply("eq", substitute(x, lane), literal(0)))
    const key = [...mine].map(([, x]) => identity(x)).join(" ")
    const here = first.reduce((a, b) => apply("and", a, b), inside)
    if (found.has(key) || (here.kind === "literal" && here.value === 0)) continue
    found.set(key, { at: mine, inside: here })
  }
  const places = [...found.values()]
  const wide = places.some((c) => [...c.at.values()].some((x) => freeVariables(x).has(vector?.name ?? "")))
  return { copies: places, vector: wide ? vector : undefined }
}

/**
 * Computes and stores values over a block, each point for itself. Lanes that share a reduction take part in one that exists. `made`: a store, and
 * those that are made along with it, over some of its axes.
 */
export function emitIterations(
  made: readonly Store[],
  axes: readonly BlockAxis[],
  sharing: Omit<Sharing, "uniform">,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const uniform = sharing.together > 1
  if (uniform && axes.some((a) => (a.tile.vector ?? 1) > 1 || (a.step > 1 && !neverPartial(a))))
    throw new Refused(
      "reduce/group",
      "lanes that share a reduction take single elements or whole registers, no vectors",
    )
  const iterations = iterationsOf(axes, { ...sharing, uniform }, scope, lowerer)
  const { bound, exists } = iterations
  eachIteration(iterations, scope.out, (out) => {
    if (uniform) {
      emitTogether(made, copiesOf(iterations, lowerer), { ...scope, out, bound }, lowerer)
      return
    }
    const body: Statement[] = []
    emitPoint(made, iterations, { ...scope, out: body, bound }, lowerer)
    out.push(...guarded(exists, body))
  })
}

/** A point: the fast body where it lies whole in the domain, else what is left of it. */
function emitPoint(made: readonly Store[], iterations: Iterations, scope: Scope, lowerer: Lowerer): void {
  const { axes, firsts } = iterations
  const unsure = axes.filter((a) => !always(a))
  const fast: Statement[] = []
  emitCopies(made, iterations, { ...scope, out: fast }, lowerer)
  const whole = unsure
    .map((a) => apply("le", add(firsts.get(a.axis.name)!, literal(a.step)), a.axis.extent))
    .reduce<Expression>((a, b) => apply("and", a, b), literal(1, "bool"))
  const slow: Statement[] = []
  if (unsure.some((a) => !neverPartial(a) && a.step > 1))
    emitBoundary(made, iterations, { ...scope, out: slow }, lowerer)
  scope.out.push(...guarded(whole, fast, slow))
}

function emitCopies(made: readonly Store[], iterations: Iterations, scope: Scope, lowerer: Lowerer): void {
  const { axes, firsts, spread } = iterations
  const held = copiesOf(iterations, lowerer)
  const places = held.copies.map((c) => c.at)
  const values = spread ? undefined : valuesAt(made[0]!.value, axes, firsts, places)
  emitTogether(made, held, scope, lowerer, values)
}

/** The stores of some copies, with the folds of all of them in the same loops; `values` are those of the first store. */
function emitTogether(
  [store, ...along]: readonly Store[],
  held: Copies,
  scope: Scope,
  lowerer: Lowerer,
  values: readonly Expression[] = held.copies.map((c) => substitute(store!.value, c.at)),
): void {
  if (along.length === 0) {
    emitStores(store!, held, scope, lowerer, values)
    return
  }
  const { vector } = held
  const others = along.map((s) => ({ store: s, held: firstPlaces(held, s) }))
  const all = others.flatMap((o) => o.held.copies.map((c) => substitute(o.store.value, c.at)))
  const bound = vector === undefined ? scope.bound : new Set(scope.bound).add(vector.name)
  const solved = solve([...values, ...all].map(scansAsReductions), { ...scope, vector, bound }, lowerer)
  emitStores(store!, held, { ...scope, solved }, lowerer, values)
  for (const o of others) emitStores(o.store, o.held, { ...scope, solved }, lowerer)
}

/** Boundary points: loops over what is left of the axes that may end within a point; along the others the point stays as it is. */
function emitBoundary(made: readonly Store[], iterations: Iterations, scope: Scope, lowerer: Lowerer): void {
  const loops: { readonly name: string; readonly extent: Expression }[] = []
  const firsts = new Map(iterations.firsts)
  const conditions: Expression[] = []
  const axes = iterations.axes.map((a): BlockAxis => {
    const first = firsts.get(a.axis.name)!
    if (always(a)) return a
    if (neverPartial(a)) {
      conditions.push(apply("lt", first, a.axis.extent))
      return a
    }
    const name = lowerer.fresh(a.axis.name)
    const left = apply("max", literal(0), apply("min", literal(a.step), apply("sub", a.axis.extent, first)))
    loops.push({ name, extent: left })
    firsts.set(a.axis.name, add(first, variable(name)))
    return { ...a, tile: { block: 1 }, step: 1 }
  })
  const body: Statement[] = []
  const bound = new Set([...scope.bound, ...loops.map((l) => l.name)])
  emitCopies(made, { ...iterations, axes, firsts }, { ...scope, out: body, bound }, lowerer)
  const nest = loops.reduceRight<readonly Statement[]>(
    (inside, l) => [{ kind: "for", variable: l.name, extent: l.extent, bind: "serial", body: inside }],
    body,
  )
  const inside = conditions.reduce((a, b) => apply("and", a, b), literal(1, "bool"))
  scope.out.push(...guarded(inside, nest))
}
