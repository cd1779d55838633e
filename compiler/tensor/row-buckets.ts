/**
 * Groups: rows sorted by the value of their index, in blocks of which each has one value.
 *
 *   index       2 0 2 1 2 0 2 2      8 rows, blocks of 2
 *   block       0  1  2  3  4        owner  0  1  2  2  2        ⌊(8 + 3 · 1) / 2⌋ blocks at most
 *   source      1 5  3 –  0 2  4 6  7 –    the row at each place; at a place of none, some row
 *
 * A counting sort in the tensor language, as folds only: nothing is scattered. The rows are cut into parts, and the rows of each value before
 * each part are counted: what is before a row is that and a count within its part, and the row at a place is found by its part first. With
 * parts of √(rows · values) that is about rows · (values + 3 parts) comparisons: little beside any contraction.
 *
 * Places after the last row of a value, and blocks after the last, are computed from rows that exist and read by nobody.
 */
import { type Dim, hinted, literalExtent } from "../ir/dim.js"
import { add, apply, identity, literal, mul, sub, variable } from "../ir/expression.js"
import { max, sum } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import type { Operation } from "../ir/operations.js"
import { type Axis, axisOf, gather, iota, map, reduce, reindex, scan, type Tensor } from "../ir/tensor.js"

export interface Groups {
  readonly index: Tensor
  readonly values: Dim
  /** The axes of the index, in the order in which they are one list of rows. */
  readonly rows: readonly Axis[]
  readonly block: Axis
  readonly place: Axis
  /** The index value of a block. */
  readonly owner: Tensor
  /** For each axis of the rows, where the row at (block, place) stands along it. */
  readonly source: ReadonlyMap<string, Tensor>
  /** For each row, its block and its place there. */
  readonly blockOf: Tensor
  readonly placeOf: Tensor
}

const argument = (n: number) => variable(`$${n}`)
const one = literal(1)
const zero = literal(0)

/** A map of i32 tensors: each argument of the body is a tensor. */
const over = (body: (...args: Expression[]) => Expression, ...args: Tensor[]) =>
  map(body(...args.map((_, i) => argument(i))), args)
const apart = (name: Operation) => (x: Expression, y: Expression) => apply(name, x, y)
const countIf = (x: Expression) => apply("select", x, one, zero)

const rename = (t: Tensor, from: string, to: Axis) =>
  reindex(
    t,
    t.axes.map((a) => (a.name === from ? to : a)),
    new Map(t.axes.map((a) => [a.name, variable(a.name === from ? to.name : a.name)])),
  )

/** The rows of an index as one list: their axes with the strides, the one of unknown extent the slowest. None when there are two such axes. */
export interface RowList {
  readonly axes: readonly Axis[]
  readonly strides: readonly number[]
  readonly count: Dim
}

export function rowList(index: Tensor): RowList | undefined {
  const known = index.axes.filter((a) => literalExtent(a.extent) !== undefined)
  const axes = [...index.axes.filter((a) => !known.includes(a)), ...known]
  if (axes.length === 0 || axes.length > known.length + 1) return undefined
  if (known.some((a) => literalExtent(a.extent) === 0)) return undefined
  const strides = axes.map((_, i) => axes.slice(i + 1).reduce((n, a) => n * literalExtent(a.extent)!, 1))
  return { axes, strides, count: mul(axes[0]!.extent, literal(strides[0]!)) }
}

/** A counting sort of rows in parts: its axes. */
interface Sorting {
  readonly rows: RowList
  /** Rows of a block, and of a part. */
  readonly size: number
  readonly length: number
  readonly part: Axis
  readonly member: Axis
  readonly row: Axis
  readonly other: Axis
  readonly value: Axis
  /** The parts, and the end. */
  readonly edge: Axis
  readonly block: Axis
  readonly place: Axis
}

const divided = (x: Expression, by: number) => apply("floordiv", x, literal(by))

/** Where row number `at` stands along each axis. */
const position = ({ axes, strides }: RowList, at: Expression) =>
  axes.map((a, i) => {
    const along = divided(at, strides[i]!)
    return [a.name, i === 0 ? along : apply("floormod", along, a.extent)] as const
  })

/** Groups of the rows of `index` into blocks of `size` rows, for values 0 ≤ value < `values`; others count as the nearest of these. */
export function groupRows(index: Tensor, rows: RowList, values: Dim, size: number): Groups {
  const sorting = sortingOf(index, rows, values, size)
  const { length, part, member, row, value, block, place } = sorting
  const last = sub(values, one)
  const clamped = over((x) => apply("max", zero, apply("min", x, last)), index)
  const number = add(mul(variable(part.name), literal(length)), variable(member.name))
  const inside = apply("lt", number, rows.count)
  /** −1 is nobody's value: the rows that the last part lacks. */
  const parted = reindex(clamped, [part, member], new Map(position(rows, number)), inside, -1)
  const listed = reindex(clamped, [row], new Map(position(rows, variable(row.name))))

  const upto = countBefore(sorting, listed)
  const total = atEdge(sorting, upto, [], part.extent)
  const blocks = over((x) => divided(add(x, literal(size - 1)), size), total)
  const end = scan(sum, value.name, blocks)
  const first = over(apart("sub"), end, blocks)

  const placed = placeRows(sorting, parted, upto, first)
  const mine = rows.axes.reduce<Expression>((n, a, i) => add(n, mul(variable(a.name), literal(rows.strides[i]!))), zero)
  const inPart = new Map([
    [part.name, divided(mine, length)],
    [member.name, apply("floormod", mine, literal(length))],
  ])
  const own = reindex(placed, rows.axes, inPart)
  const blockOf = over((k) => divided(k, size), own)
  const placeOf = over((k) => apply("floormod", k, literal(size)), own)

  const ended = over((e, b) => countIf(apply("le", e, b)), end, iota(block, zero))
  const owner = over((x) => apply("min", x, last), reduce(sum, value.name, [ended]))
  const source = findRows(sorting, placed, upto, first, owner)
  return { index, values, rows: rows.axes, block, place, owner, source, blockOf, placeOf }
}

function sortingOf(index: Tensor, rows: RowList, values: Dim, size: number): Sorting {
  const axis = (name: string, extent: Dim): Axis => ({ name: `${name}.${identity(index)}.${identity(values)}`, extent })
  const { count } = rows
  // Counting before parts takes rows · parts · values steps, counting within them rows · length.
  const length = 2 ** Math.max(2, Math.round(Math.log2(hinted(count) * hinted(values)) / 2))
  const part = axis("part", divided(add(count, literal(length - 1)), length))
  return {
    rows,
    size,
    length,
    part,
    member: axis("member", literal(length)),
    row: axis("row", count),
    other: axis("other", literal(length)),
    value: axis("value", values),
    edge: axis("edge", add(part.extent, one)),
    block: axis("block", divided(add(count, mul(apply("min", count, values), literal(size - 1))), size)),
    place: axis("place", literal(size)),
  }
}

/** The rows of each value before each part, and before the end. */
function countBefore({ length, row, value, edge }: Sorting, listed: Tensor): Tensor {
  const counted = over(
    (x, v, r, p) => countIf(apply("and", apply("eq", x, v), apply("lt", r, mul(p, literal(length))))),
    listed,
    iota(value, zero),
    iota(row, zero),
    iota(edge, zero),
  )
  return reduce(sum, row.name, [counted])
}

const atEdge = ({ value, edge }: Sorting, upto: Tensor, axes: readonly Axis[], at: Expression) =>
  reindex(
    upto,
    [value, ...axes],
    new Map([
      [value.name, variable(value.name)],
      [edge.name, at],
    ]),
  )

/** The place of each row among all, block after block; `first` is the first block of each value. */
function placeRows(sorting: Sorting, parted: Tensor, upto: Tensor, first: Tensor): Tensor {
  const { size, part, member, other, value } = sorting
  const earlier = over(
    (x, y, i, j) => countIf(apply("and", apply("eq", x, y), apply("lt", i, j))),
    rename(parted, member.name, other),
    parted,
    iota(other, zero),
    iota(member, zero),
  )
  return over(
    (x, f, n, k) => apply("select", apply("lt", x, zero), x, add(mul(f, literal(size)), add(n, k))),
    parted,
    gather(first, value.name, parted),
    gather(atEdge(sorting, upto, [part], variable(part.name)), value.name, parted),
    reduce(sum, other.name, [earlier]),
  )
}

/** Where the row at each place stands along each of the rows' axes. */
function findRows(
  { rows, size, length, part, member, value, edge, block, place }: Sorting,
  placed: Tensor,
  upto: Tensor,
  first: Tensor,
  owner: Tensor,
): Groups["source"] {
  // The last part before which there are no more rows of the value than before the place: none is before the first part.
  const begun = over(
    (n, b, f, r) => countIf(apply("le", n, add(mul(sub(b, f), literal(size)), r))),
    gather(upto, value.name, owner),
    iota(block, zero),
    gather(first, value.name, owner),
    iota(place, zero),
  )
  const home = over((n) => sub(n, one), reduce(sum, edge.name, [begun]))
  const found = over(
    (k, b, r, j) => apply("select", apply("eq", k, add(mul(b, literal(size)), r)), j, zero),
    gather(placed, part.name, home),
    iota(block, zero),
    iota(place, zero),
    iota(member, zero),
  )
  const inside = reduce(max, member.name, [found])
  const source = position(rows, add(mul(argument(0), literal(length)), argument(1))).map(
    ([name, at]) => [name, over(() => at, home, inside)] as const,
  )
  return new Map(source)
}

/** What stands at each place, from what belongs to the rows. */
export function toPlaces(t: Tensor, groups: Groups): Tensor {
  return groups.rows.reduce((x, a) => (axisOf(x, a.name) ? gather(x, a.name, groups.source.get(a.name)!) : x), t)
}

/** What belongs to each row, from what stands at the places; its axes in the order of `axes`. */
export function toRows(t: Tensor, groups: Groups, axes: readonly Axis[]): Tensor {
  const { block, place, blockOf, placeOf } = groups
  const found = gather(gather(t, block.name, blockOf), place.name, placeOf)
  return reindex(found, axes, new Map(found.axes.map((a) => [a.name, variable(a.name)])))
}
