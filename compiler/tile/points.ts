/**
 * Points: the loop over what a block owns, shared out over the lanes.
 *
 *   for p { if (the whole register tile lies inside) { 4 values at once, 4 stores } else { one element after the other } }
 *
 * When lanes share a reduction all of them go the same way: coordinates are kept inside the domain, and only valid points are stored.
 */

import { type Dim, literalExtent } from "../ir/dim.js"
import { add, apply, freeVariables, lane, literal, mul, splat, substitute, variable } from "../ir/expression.js"
import type { Store } from "../ir/kernel.js"
import type { Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import { always, type BlockAxis, type Build, neverPartial, Refused, workersOf } from "./block.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { storeElements } from "./pairs.js"
import { valuesAt } from "./prefix.js"
import { lowerValues } from "./values.js"
import { flatten, type VectorAxis, wideOffset } from "./vector.js"

/**
 * The loop over a block's points, shared out over the lanes. `spread`: what a lane holds along an axis lies apart, so that neighbours hold
 * neighbours.
 */
export function emitPoints(
  store: Store,
  axes: readonly BlockAxis[],
  together: number,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
  spread = false,
): void {
  const { workers, worker } = workersOf(together, parts)
  const points = axes.reduce<Dim>((n, a) => mul(n, a.points), literal(1))
  const turnName = parts.fresh("point")
  const turns = apply("floordiv", add(points, literal(workers - 1)), literal(workers))
  const once = literalExtent(turns) === 1
  const point = add(mul(once ? literal(0) : variable(turnName), literal(workers)), worker)
  const spare = literalExtent(points) === undefined || literalExtent(points)! % workers !== 0
  const body: Statement[] = []
  // Lanes that share a reduction take part in one that exists, also where no point is left for them.
  const inside = spare && together > 1 ? apply("min", point, apply("sub", points, literal(1))) : point
  const firsts = coordinates(inside, axes, body, parts, spread)
  const bound = new Set([...scope.bound, turnName])
  for (const f of firsts.values()) for (const n of freeVariables(f)) bound.add(n)
  const inner: Scope = { ...scope, out: body, bound }
  if (together > 1)
    emitShared(store, axes, firsts, spare ? apply("lt", point, points) : literal(1, "bool"), inner, lowerer, parts)
  else {
    const emitted: Statement[] = []
    if (spread) emitFast(store, axes, firsts, { ...inner, out: emitted }, lowerer, parts, true)
    else emitTile(store, axes, firsts, { ...inner, out: emitted }, lowerer, parts)
    body.push(
      ...(spare
        ? [{ kind: "if", condition: apply("lt", point, points), body: emitted, otherwise: [] } as const]
        : emitted),
    )
  }
  if (once) scope.out.push(...body)
  else scope.out.push({ kind: "for", variable: turnName, extent: turns, bind: "serial", body })
}

/** The first element of a point along each axis, the last axis the fastest. */
export function coordinates(
  point: Expression,
  axes: readonly BlockAxis[],
  body: Statement[],
  parts: Build,
  spread: boolean,
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
    const name = parts.fresh(`${a.axis.name}_point`)
    body.push({ kind: "let", name, value: number, mutable: false })
    firsts.set(a.axis.name, add(a.base, mul(variable(name), stride)))
  }
  return firsts
}

/** The register tile of a point: the coordinates of each of its copies. Along the vector axis a copy is `first + lane`. */
export function copiesOf(
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  laneName: string,
  spread: boolean,
): readonly ReadonlyMap<string, Expression>[] {
  let copies: ReadonlyMap<string, Expression>[] = [new Map()]
  for (const a of axes) {
    const vector = a.tile.vector ?? 1
    const apart = spread ? mul(a.points, literal(vector)) : literal(vector)
    copies = copies.flatMap((c) =>
      Array.from({ length: a.tile.perThread ?? 1 }, (_, r) => {
        const first = add(firsts.get(a.axis.name)!, mul(apart, literal(r)))
        return new Map(c).set(a.axis.name, vector > 1 ? add(first, variable(laneName)) : first)
      }),
    )
  }
  return copies
}

/**
 * Lanes share a reduction, so all of them go the same way: coordinates are kept inside, and only valid points are stored. A register tile
 * lies inside or outside as a whole.
 */
function emitShared(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  valid: Expression,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  if (axes.some((a) => (a.tile.vector ?? 1) > 1 || (a.step > 1 && !neverPartial(a))))
    throw new Refused(
      "reduce/group",
      "lanes that share a reduction take single elements or whole registers, no vectors",
    )
  let inside = valid
  const at = new Map<string, Expression>()
  for (const a of axes) {
    const first = firsts.get(a.axis.name)!
    if (always(a)) at.set(a.axis.name, first)
    else {
      inside = apply("and", inside, apply("lt", first, a.axis.extent))
      at.set(a.axis.name, apply("min", first, apply("sub", a.axis.extent, literal(a.step))))
    }
  }
  const stores: Statement[] = []
  const copies = copiesOf(axes, at, "", false)
  const values = copies.map((c) => substitute(store.value, c))
  emitCopies(store, copies, values, scope, stores, lowerer, parts)
  const keep = apply("and", inside, apply("eq", scope.lanes!.index, literal(0)))
  scope.out.push({ kind: "if", condition: keep, body: stores, otherwise: [] })
}

/** Each copy as an element of its own: what is computed goes to the scope, the stores to `into`. */
function emitCopies(
  store: Store,
  copies: readonly ReadonlyMap<string, Expression>[],
  values: readonly Expression[],
  scope: Scope,
  into: Statement[],
  lowerer: Lowerer,
  parts: Build,
): void {
  const offsets = offsetsOf(store, copies, lowerer)
  const lowered = lowerValues([...values, ...offsets], scope, lowerer)
  const elements = offsets.map((at, i) => ({ at, offset: lowered[copies.length + i]!, value: lowered[i]! }))
  into.push(...storeElements(store.buffer, elements, parts))
}

function offsetsOf(
  store: Store,
  copies: readonly ReadonlyMap<string, Expression>[],
  lowerer: Lowerer,
): readonly Expression[] {
  const shape = lowerer.shape(store.buffer)
  return copies.map((c) =>
    flatten(
      store.index.map((i) => substitute(i, c)),
      shape,
    ),
  )
}

/** A register tile: the fast body when the whole tile lies inside, else one element after the other. */
function emitTile(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const unsure = axes.filter((a) => !always(a))
  const fast: Statement[] = []
  emitFast(store, axes, firsts, { ...scope, out: fast }, lowerer, parts)
  if (unsure.length === 0) {
    scope.out.push(...fast)
    return
  }
  const whole = unsure
    .map((a) => apply("le", add(firsts.get(a.axis.name)!, literal(a.step)), a.axis.extent))
    .reduce((a, b) => apply("and", a, b))
  const slow: Statement[] = []
  const partial = axes.some((a) => a.step > 1 && !neverPartial(a))
  if (partial) emitSlow(store, axes, firsts, { ...scope, out: slow }, lowerer, parts)
  scope.out.push({ kind: "if", condition: whole, body: fast, otherwise: slow })
}

function emitFast(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
  spread = false,
): void {
  const vectored = axes.find((a) => (a.tile.vector ?? 1) > 1)
  const width = vectored?.tile.vector ?? 1
  const laneName = parts.fresh("lane")
  const copies = copiesOf(axes, firsts, laneName, spread)
  const values = spread ? copies.map((c) => substitute(store.value, c)) : valuesAt(store.value, axes, firsts, copies)
  if (vectored === undefined) {
    emitCopies(store, copies, values, { ...scope, vector: undefined }, scope.out, lowerer, parts)
    return
  }
  // The lane variable runs over 0 … width − 1; the base is aligned to the width.
  const vector = { name: laneName, base: literal(0), width }
  const inner: Scope = { ...scope, vector, bound: new Set(scope.bound).add(laneName) }
  const lowered = lowerValues(values, inner, lowerer)
  for (const [i, offset] of offsetsOf(store, copies, lowerer).entries())
    scope.out.push(...storeVector(store.buffer, offset, lowered[i]!, vector, inner, lowerer))
}

/** A vector in one store where its lanes lie side by side, else lane by lane. `at` is the offset over the lane variable. */
export function storeVector(
  array: string,
  at: Expression,
  value: Expression,
  vector: VectorAxis,
  scope: Scope,
  lowerer: Lowerer,
): readonly Statement[] {
  const out: Statement[] = []
  const plain: Scope = { ...scope, out, vector: undefined }
  const start = wideOffset(at, vector)
  if (start !== undefined) {
    const [offset] = lowerValues([start], plain, lowerer)
    const wide = value.width === vector.width ? value : splat(value, vector.width)
    out.push({ kind: "store", array, offset: offset!, value: wide })
    return out
  }
  for (let j = 0; j < vector.width; j++) {
    const [offset] = lowerValues([substitute(at, new Map([[vector.name, literal(j)]]))], plain, lowerer)
    out.push({ kind: "store", array, offset: offset!, value: value.width === 1 ? value : lane(value, j) })
  }
  return out
}

/** Boundary tiles: loops over what is left of the axes that may end within a tile; along the others the tile stays as it is. */
function emitSlow(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const loops: { readonly name: string; readonly extent: Expression }[] = []
  const at = new Map<string, Expression>()
  const bound = new Set(scope.bound)
  const conditions: Expression[] = []
  const inner = axes.map((a): BlockAxis => {
    const first = firsts.get(a.axis.name)!
    at.set(a.axis.name, first)
    if (always(a)) return a
    if (neverPartial(a)) {
      conditions.push(apply("lt", first, a.axis.extent))
      return a
    }
    const name = parts.fresh(a.axis.name)
    const left = apply("max", literal(0), apply("min", literal(a.step), apply("sub", a.axis.extent, first)))
    loops.push({ name, extent: left })
    at.set(a.axis.name, add(first, variable(name)))
    bound.add(name)
    return { ...a, tile: { block: 1 }, step: 1 }
  })
  const body: Statement[] = []
  emitFast(store, inner, at, { ...scope, out: body, bound }, lowerer, parts)
  const nest = loops.reduceRight<readonly Statement[]>(
    (inside, l) => [{ kind: "for", variable: l.name, extent: l.extent, bind: "serial", body: inside }],
    body,
  )
  if (conditions.length === 0) scope.out.push(...nest)
  else
    scope.out.push({
      kind: "if",
      condition: conditions.reduce((a, b) => apply("and", a, b)),
      body: nest,
      otherwise: [],
    })
}
