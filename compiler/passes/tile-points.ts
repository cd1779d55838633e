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
import { always, type BlockAxis, type Build, neverPartial, Refused, workersOf } from "./tile-block.js"
import { type Lowerer, lowerValues, type Scope } from "./tile-values.js"
import { flatten, wideOffset } from "./tile-vector.js"

/** The loop over a block's points, shared out over the lanes. */
export function emitPoints(
  store: Store,
  axes: readonly BlockAxis[],
  together: number,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const { workers, worker } = workersOf(together, parts)
  const points = axes.reduce<Dim>((n, a) => mul(n, a.points), literal(1))
  const turnName = parts.fresh("point")
  const turns = apply("floordiv", add(points, literal(workers - 1)), literal(workers))
  const once = literalExtent(turns) === 1
  const point = add(mul(once ? literal(0) : variable(turnName), literal(workers)), worker)
  const spare = literalExtent(points) === undefined || literalExtent(points)! % workers !== 0
  const body: Statement[] = []
  // The point's number along each axis. Lanes that share a reduction take part in one that exists, also where no point is left for them.
  const firsts = new Map<string, Expression>()
  let rest: Expression = spare && together > 1 ? apply("min", point, apply("sub", points, literal(1))) : point
  for (const [i, a] of [...axes].reverse().entries()) {
    const slowest = i === axes.length - 1
    const single = literalExtent(a.points) === 1
    const number = single ? literal(0) : slowest ? rest : apply("rem", rest, a.points)
    if (!single && !slowest) rest = apply("div", rest, a.points)
    if (number.kind === "literal" || number.kind === "variable") {
      firsts.set(a.axis.name, add(a.base, mul(number, literal(a.step))))
      continue
    }
    const name = parts.fresh(`${a.axis.name}_point`)
    body.push({ kind: "let", name, value: number, mutable: false })
    firsts.set(a.axis.name, add(a.base, mul(variable(name), literal(a.step))))
  }
  const bound = new Set([...scope.bound, turnName])
  for (const f of firsts.values()) for (const n of freeVariables(f)) bound.add(n)
  const inner: Scope = { ...scope, out: body, bound }
  if (together > 1)
    emitShared(store, axes, firsts, spare ? apply("lt", point, points) : literal(1, "bool"), inner, lowerer)
  else {
    const emitted: Statement[] = []
    emitTile(store, axes, firsts, { ...inner, out: emitted }, lowerer, parts)
    body.push(
      ...(spare
        ? [{ kind: "if", condition: apply("lt", point, points), body: emitted, otherwise: [] } as const]
        : emitted),
    )
  }
  if (once) scope.out.push(...body)
  else scope.out.push({ kind: "for", variable: turnName, extent: turns, bind: "serial", body })
}

/** Lanes share a reduction, so all of them go the same way: coordinates are kept inside, and only valid points are stored. */
function emitShared(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  valid: Expression,
  scope: Scope,
  lowerer: Lowerer,
): void {
  if (axes.some((a) => a.step > 1))
    throw new Refused(
      "reduce/lanes",
      "lanes that share a reduction take one element at a time, no registers or vectors",
    )
  let inside = valid
  const at = new Map<string, Expression>()
  for (const a of axes) {
    const first = firsts.get(a.axis.name)!
    if (always(a)) at.set(a.axis.name, first)
    else {
      inside = apply("and", inside, apply("lt", first, a.axis.extent))
      at.set(a.axis.name, apply("min", first, apply("sub", a.axis.extent, literal(1))))
    }
  }
  const [value, ...index] = lowerValues(
    [store.value, ...store.index].map((x) => substitute(x, at)),
    scope,
    lowerer,
  )
  const shape = lowerer.shape(store.buffer)
  const keep = apply("and", inside, apply("eq", scope.lanes!.index, literal(0)))
  scope.out.push({
    kind: "if",
    condition: keep,
    body: [{ kind: "store", array: store.buffer, offset: flatten(index, shape), value: value! }],
    otherwise: [],
  })
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
): void {
  const vectored = axes.find((a) => (a.tile.vector ?? 1) > 1)
  const width = vectored?.tile.vector ?? 1
  const laneName = parts.fresh("lane")
  let copies: ReadonlyMap<string, Expression>[] = [new Map()]
  for (const a of axes) {
    const registers = a.tile.register ?? 1
    const span = a === vectored ? width : 1
    copies = copies.flatMap((c) =>
      Array.from({ length: registers }, (_, r) => {
        const first = add(firsts.get(a.axis.name)!, literal(r * span))
        return new Map(c).set(a.axis.name, a === vectored ? add(first, variable(laneName)) : first)
      }),
    )
  }
  // With a vector axis each copy is `first + lane` where the lane variable runs over 0 … width − 1; its base is aligned to the width.
  const vector = vectored === undefined ? undefined : { name: laneName, base: literal(0), width }
  const inner: Scope = {
    ...scope,
    vector,
    bound: vector === undefined ? scope.bound : new Set(scope.bound).add(laneName),
  }
  const shape = lowerer.shape(store.buffer)
  const values = copies.map((c) => substitute(store.value, c))
  const offsets = copies.map((c) =>
    flatten(
      store.index.map((i) => substitute(i, c)),
      shape,
    ),
  )
  const lowered = lowerValues([...values, ...(vector === undefined ? offsets : [])], inner, lowerer)
  for (const [i] of copies.entries()) {
    const value = lowered[i]!
    if (vector === undefined) {
      scope.out.push({ kind: "store", array: store.buffer, offset: lowered[copies.length + i]!, value })
      continue
    }
    const start = wideOffset(offsets[i]!, vector)
    if (start !== undefined) {
      const [offset] = lowerValues([start], { ...inner, vector: undefined }, lowerer)
      scope.out.push({
        kind: "store",
        array: store.buffer,
        offset: offset!,
        value: value.width === width ? value : splat(value, width),
      })
    } else
      for (let j = 0; j < width; j++) {
        const at = substitute(offsets[i]!, new Map([[laneName, literal(j)]]))
        const [offset] = lowerValues([at], { ...inner, vector: undefined }, lowerer)
        scope.out.push({
          kind: "store",
          array: store.buffer,
          offset: offset!,
          value: value.width === 1 ? value : lane(value, j),
        })
      }
  }
}

/** Boundary tiles: loops over what is left of each axis. */
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
  for (const a of axes) {
    const first = firsts.get(a.axis.name)!
    if (a.step === 1 && always(a)) {
      at.set(a.axis.name, first)
      continue
    }
    const name = parts.fresh(a.axis.name)
    const left = apply("max", literal(0), apply("min", literal(a.step), apply("sub", a.axis.extent, first)))
    loops.push({ name, extent: left })
    at.set(a.axis.name, add(first, variable(name)))
    bound.add(name)
  }
  const body: Statement[] = []
  const [value, ...index] = lowerValues(
    [store.value, ...store.index].map((x) => substitute(x, at)),
    { ...scope, out: body, bound },
    lowerer,
  )
  body.push({ kind: "store", array: store.buffer, offset: flatten(index, lowerer.shape(store.buffer)), value: value! })
  const nest = loops.reduceRight<readonly Statement[]>(
    (inner, l) => [{ kind: "for", variable: l.name, extent: l.extent, bind: "serial", body: inner }],
    body,
  )
  scope.out.push(...nest)
}
