/**
 * Places: the axes of one side of a product as one axis, the last the fastest.
 *
 *   rows of a block of 4 b × 32 s   →   place 37 = b 1, s 5
 *
 * A side has as many places as fill its fragments; those beyond the block's own belong to nobody.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, freeVariables, literal, variable } from "../../ir/expression.js"
import type { Atom } from "../../ir/fragments/atoms.js"
import { bufferOf, type Store } from "../../ir/kernel.js"
import type { Expression } from "../../ir/nodes.js"
import { always, type BlockAxis, type Build, Refused } from "../block.js"
import { multipleOf } from "../vector.js"

export interface Side {
  readonly axes: readonly BlockAxis[]
  /** Elements of a block. */
  readonly count: number
  /** With those that fill the last fragments. */
  readonly places: number
}

export function sideOf(axes: readonly BlockAxis[], multiple: number): Side {
  const count = axes.reduce((n, a) => n * ownedOf(a), 1)
  return { axes, count, places: placesFor(count, multiple) }
}

/** So many elements, with those that fill the last fragments. */
export const placesFor = (count: number, multiple: number): number => Math.ceil(count / multiple) * multiple

/** Columns that groups hold at once: narrow fragments are loaded in pairs. */
export const columnsHeld = ({ n }: Atom): number => Math.max(16, n)

function ownedOf({ owned, axis }: BlockAxis): number {
  if (owned === undefined) throw new Refused("atom/tile", `a block of matrix units has a known part of '${axis.name}'`)
  return owned
}

/**
 * Axes that are on neither side: where the block's one place of each is.
 *
 * @throws Refused where the block has several, and where a schedule says which places of an axis a lane has
 */
export function fixedOf(axes: readonly BlockAxis[], ...sides: readonly BlockAxis[][]): ReadonlyMap<string, Expression> {
  for (const { axis, tile, step } of axes)
    if (step > 1 || (tile.lanes ?? 1) > 1)
      throw new Refused("atom/tile", `which places of '${axis.name}' a lane has is for the atom to say`)
  const others = axes.filter((a) => !sides.some((side) => side.includes(a)))
  for (const { axis, owned } of others)
    if (owned !== 1)
      throw new Refused("atom/axes", `a block has several places of '${axis.name}', which is neither rows nor columns`)
  return new Map(others.map((a) => [a.axis.name, a.base] as const))
}

/** Where a place lies, and whether it is one of the block's. */
export interface Place {
  readonly at: ReadonlyMap<string, Expression>
  readonly inside: Expression
}

/** A place as it is, for what is inside only. */
export function placeAt(side: Side, place: Expression): Place {
  const at = new Map<string, Expression>()
  let inside: Expression = isFull(side) ? literal(1, "bool") : apply("lt", place, literal(side.count))
  for (const { a, element } of elementsAt(side, place)) {
    at.set(a.axis.name, element)
    if (!always(a)) inside = apply("and", inside, apply("lt", element, a.axis.extent))
  }
  return { at, inside }
}

/** Neighbours along the last axis that are read together: `lane` runs over `width` of them from a place on. */
export interface Neighbours {
  readonly lane: string
  readonly width: number
}

/** A place that may be read: beyond the end it is the last one there is. Neighbours stay together where none of them may be beyond the end alone. */
export function readableAt(side: Side, place: Expression, along?: Neighbours): ReadonlyMap<string, Expression> {
  const at = new Map<string, Expression>()
  const last = side.axes.at(-1)
  const together = along !== undefined && last !== undefined && staysTogether(last, along.width)
  const from = along === undefined || together ? place : add(place, variable(along.lane))
  for (const { a, element } of elementsAt(side, from)) {
    const width = together && a === last ? along.width : 1
    const sure = always(a) && isFull(side)
    const clamped = sure ? element : apply("min", element, add(a.axis.extent, literal(-width)))
    at.set(a.axis.name, width > 1 ? add(clamped, variable(along!.lane)) : clamped)
  }
  return at
}

const isFull = ({ count, places }: Side): boolean => count === places

function staysTogether(a: BlockAxis, width: number): boolean {
  const extent = literalExtent(a.axis.extent)
  return ownedOf(a) % width === 0 && extent !== undefined && extent % width === 0
}

/** The element of each axis at a place. */
function elementsAt(
  { axes }: Side,
  place: Expression,
): readonly { readonly a: BlockAxis; readonly element: Expression }[] {
  const found: { readonly a: BlockAxis; readonly element: Expression }[] = []
  let rest = place
  const slowest = axes.findIndex((a) => ownedOf(a) > 1)
  for (const [i, a] of [...axes.entries()].reverse()) {
    const owned = literal(ownedOf(a))
    const number = owned.value === 1 ? literal(0) : i === slowest ? rest : apply("floormod", rest, owned)
    if (owned.value > 1 && i !== slowest) rest = apply("floordiv", rest, owned)
    found.push({ a, element: add(a.base, number) })
  }
  return found
}

/** Whether neighbours among the columns are neighbours in memory, both inside or both outside. */
export function inPairs(
  { stores }: { readonly stores: readonly Store[] },
  columns: readonly BlockAxis[],
  parts: Build,
): boolean {
  const last = columns.at(-1)
  if (last === undefined) return false
  const { axis, owned } = last
  const extent = literalExtent(axis.extent)
  if (extent === undefined || extent % 2 !== 0 || owned! % 2 !== 0) return false
  const [store] = stores
  const { shape } = bufferOf(parts.kernel, store!.buffer)
  const end = store!.index.at(-1)
  return (
    end !== undefined &&
    freeVariables(end).has(axis.name) &&
    (shape.length === 1 || multipleOf(literal(shape.at(-1)!), 2))
  )
}
