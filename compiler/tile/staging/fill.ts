/**
 * Fills: the lanes of a workgroup compute what it keeps of a local, as if it were a store into the workgroup's own memory.
 *
 *   w[o, k] of the block's 64 o and a chunk of 16 k   →   for i { staged[o · 20 + k] = w[64·block + o, 16·chunk + k] }
 *
 * An axis is staged along a block (its part of a store's axis), along a chunk (of a folded axis), at one place (of a loop that is open), or
 * whole. Places beyond the end of an axis are filled from its last element; nobody reads them.
 */

import { add, apply, literal, mul, substitute, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import { difference, divided } from "../../ir/linear.js"
import type { Half, Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import type { StagedTile } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { type BlockAxis, type Build, exchangeOf, laneGroup, Refused } from "../block.js"
import { emitIterations } from "../iterations.js"
import type { Lowerer, Scope } from "../lowerer.js"

export interface StagedAxis {
  readonly axis: Axis
  /** Elements in memory. */
  readonly size: number
  /** The element that the first place holds. */
  readonly base: Expression
  /** The end of the axis, where the places may reach beyond it. */
  readonly end: Expression | undefined
  /** Whether the even places come before the odd ones. */
  readonly interleaved: boolean
}

/** Where a place of an axis lies. */
function placeOf({ size, interleaved }: StagedAxis, place: Expression): Expression {
  if (size === 1) return literal(0)
  if (!interleaved) return place
  const known = divided(place, 2)
  if (known !== undefined) return add(known.quotient, literal((known.rest * size) / 2))
  const two = literal(2)
  return add(mul(apply("floormod", place, two), literal(size / 2)), apply("floordiv", place, two))
}

/** The layout of what is staged: row-major, the last axis padded. */
export const stagedShape = (staged: readonly StagedAxis[], pad: number): readonly number[] =>
  staged.map((h, i) => (i === staged.length - 1 ? h.size + pad : h.size))

/** The flat offset of an index of what is staged. */
export const stagedOffset =
  (staged: readonly StagedAxis[], shape: readonly number[]) =>
  (index: readonly Expression[]): Expression =>
    staged.reduce<Expression>(
      (flat, h, i) => add(mul(flat, literal(shape[i]!)), placeOf(h, difference(index[i]!, h.base))),
      literal(0),
    )

/** Emits the fill of `array` with `value`, which is over the axes' own names; `half`: which part of an array that holds two chunks. */
export function emitFill(
  array: string,
  staged: readonly StagedAxis[],
  value: Expression,
  tile: StagedTile["tile"],
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
  half: readonly Expression[] = [],
): void {
  const at = new Map<string, Expression>()
  const axes = staged.map((h): BlockAxis => {
    const place = variable(h.axis.name)
    const element = h.size === 1 ? h.base : add(h.base, place)
    at.set(h.axis.name, h.end === undefined ? element : apply("min", element, apply("sub", h.end, literal(1))))
    return placeAxis(h, tile[h.axis.name] ?? {})
  })
  const index = [...half, ...staged.map((h) => placeOf(h, variable(h.axis.name)))]
  const store: Store = {
    kind: "store",
    buffer: array,
    axes: axes.map((a) => a.axis),
    index,
    value: substitute(value, at),
  }
  const together = Math.max(1, ...nodesOf([value], "reduce").map((r) => lowerer.folding(r.axis).group ?? 1))
  const sharing = { together, spread: together === 1 }
  emitIterations(store, axes, sharing, { ...scope, lanes: laneGroup(together, parts) }, lowerer)
}

/** The places of a staged axis, all of them the block's. */
export function placeAxis(h: StagedAxis, tile: { readonly perThread?: number; readonly vector?: number }): BlockAxis {
  const step = (tile.perThread ?? 1) * (tile.vector ?? 1)
  if (h.size % step !== 0)
    throw new Refused("tile/indivisible", `${h.size} places of '${h.axis.name}' are no multiple of ${step}`)
  return {
    axis: { name: h.axis.name, extent: literal(h.size) },
    tile: { block: "all", ...tile },
    step,
    cells: literal(1),
    points: literal(h.size / step),
    owned: h.size,
    cell: undefined,
    base: literal(0),
  }
}

/**
 * Memory of the workgroup: shared when there are several lanes, and then shared with the other stores of the kernel, too, of which a block
 * runs one only.
 */
export function allocate(
  stem: string,
  dtype: Expression["dtype"],
  size: number,
  parts: Build,
  out: Statement[],
  storage?: Half,
): string {
  const kind = { dtype, size, ...(storage === undefined ? {} : { storage }) }
  if (size > 65536) throw new Refused("local/size", `'${stem}' has ${size} elements in a block`)
  if (parts.schedule.threads === 1) {
    const array = parts.fresh(stem)
    out.push({ kind: "alloc", name: array, ...kind, space: "register" })
    return array
  }
  const free = [...parts.shared].find(
    ([name, a]) =>
      !parts.taken.has(name) &&
      name !== exchangeOf(dtype) &&
      a.dtype === dtype &&
      a.size === size &&
      a.storage === storage,
  )
  const array = free === undefined ? parts.fresh(stem) : free[0]
  parts.shared.set(array, kind)
  parts.taken.add(array)
  return array
}
