/**
 * Prefixes that a lane takes in turn: a perThread tile that is a whole block of a scan folds each element once.
 *
 *   y[n] = sum_{i <= n mod 4}(x[(n // 4) · 4 + i])    with  { n: { perThread: 4 } },  from n = first on
 *   →  p0 = x[first]   p1 = p0 + x[first + 1]   q = x[first + 2]   p2 = p1 + q   p3 = p1 + (q + x[first + 3])
 *
 * A tile of as many elements as a block has starts at a multiple of it, so that along the tile `n // 4` is what it is at the first element
 * and `n mod 4` is the number of the copy. The prefixes are those of halves, the first half's last one added to the second's: no element
 * passes through more additions than log2 of the block. A scan over the whole of a short axis is a block, too. Elsewhere (a boundary, a
 * tile of another length) each place folds what is before it.
 */

import { literalExtent } from "../ir/dim.js"
import { add, apply, freeVariables, literal, mul, rewrite, substitute, variable } from "../ir/expression.js"
import type { Expression, Scan } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import type { AxisTile } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import type { BlockAxis } from "./block.js"
import { combine, identityOf } from "./fold.js"

/** Elements of the longest whole axis that a lane takes in one tile. */
const longestTile = 32

/** Places of the blocks in which a value's scans run along an axis, when there are such scans. */
export function blockAlong(value: Expression, axis: Axis): number | undefined {
  const blocks = nodesOf([value], "scan").map((x) => {
    const { at } = x
    const block =
      at.kind === "operation" && at.operation === "floormod" ? literalExtent(at.args[1]!) : literalExtent(axis.extent)
    const short = block !== undefined && block > 1 && block <= longestTile
    return short && runsAlong(x, axis, block) ? block : undefined
  })
  return blocks.findLast((block) => block !== undefined)
}

/** Whether a perThread tile along an axis takes a scan in turn. */
export const isInTurn = (x: Scan, axis: Axis, tile: AxisTile | undefined): boolean =>
  (tile?.perThread ?? 1) > 1 && (tile?.vector ?? 1) === 1 && runsAlong(x, axis, tile!.perThread!)

/** Whether a scan folds, at each place of an axis, what stands before it in the place's block. */
function runsAlong(x: Scan, axis: Axis, block: number): boolean {
  const place = variable(axis.name)
  const whole = x.at === place && literalExtent(axis.extent) === block
  if (!whole && x.at !== apply("floormod", place, literal(block))) return false
  return x.lift.every((l) => !freeVariables(atFirst(l, axis.name, block)).has(axis.name))
}

/** The first element of a tile along an axis, as a name. */
const firstOf = (axis: string) => `${axis}'first`

/** A value in which what is the same in a whole block along an axis is spelled over the block's first element. */
function atFirst(value: Expression, axis: string, block: number): Expression {
  const number = apply("floordiv", variable(axis), literal(block))
  const start = mul(number, literal(block))
  const first = variable(firstOf(axis))
  return rewrite(value, (x) =>
    x === start ? first : x === number ? apply("floordiv", first, literal(block)) : undefined,
  )
}

/**
 * The values of a store at the copies of a perThread tile, side by side in memory. `copies` number the tile's elements with the last axis the
 * fastest, as `copiesOf` gives them.
 */
export function valuesAt(
  value: Expression,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  copies: readonly ReadonlyMap<string, Expression>[],
): readonly Expression[] {
  const along = axes.find((a) => {
    const perThread = a.tile.perThread ?? 1
    return perThread > 1 && (a.tile.vector ?? 1) === 1 && blockAlong(value, a.axis) === perThread
  })
  if (along === undefined) return copies.map((c) => substitute(value, c))
  const { name } = along.axis
  const block = along.tile.perThread!
  const stride = axes.slice(axes.indexOf(along) + 1).reduce((n, a) => n * (a.tile.perThread ?? 1), 1)
  const first = firsts.get(name)!
  const inBlock = atFirst(value, name, block)
  const scans = nodesOf([inBlock], "scan").filter((s) => runsAlong(s, { name, extent: along.axis.extent }, block))
  const prefixes = new Map(scans.map((s) => [s, prefixesOf(s, block)] as const))
  return copies.map((copy, i) => {
    const number = Math.floor(i / stride) % block
    const here = rewrite(inBlock, (x) =>
      x.kind === "scan" && prefixes.has(x)
        ? prefixes.get(x)![number]
        : x === apply("floormod", variable(name), literal(block))
          ? literal(number)
          : undefined,
    )
    return substitute(here, new Map([...copy, [name, add(first, literal(number))], [firstOf(name), first]]))
  })
}

/** Combinations that the prefixes of a block take, the identity's included. */
export function prefixSteps(block: number): number {
  const halved = (n: number): number =>
    n === 1 ? 0 : halved(Math.ceil(n / 2)) + halved(Math.floor(n / 2)) + Math.floor(n / 2)
  return 1 + halved(block)
}

/** The prefixes of a block: of each half its own, and on the second half's what the first half holds. */
function prefixesOf(x: Scan, block: number): readonly Expression[] {
  const types = x.lift.map((l) => l.dtype)
  const elements = Array.from({ length: block }, (_, i) =>
    x.lift.map((l) => substitute(l, new Map([[x.axis, literal(i)]]))),
  )
  elements[0] = [...combine(x.monoid, identityOf(x.monoid, types, 1), elements[0]!)]
  const halved = (of: readonly (readonly Expression[])[]): readonly (readonly Expression[])[] => {
    if (of.length === 1) return of
    const left = halved(of.slice(0, Math.ceil(of.length / 2)))
    const right = halved(of.slice(Math.ceil(of.length / 2)))
    return [...left, ...right.map((r) => combine(x.monoid, left.at(-1)!, r))]
  }
  return halved(elements).map(([value]) => value!)
}
