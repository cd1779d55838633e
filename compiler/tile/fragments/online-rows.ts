/**
 * The rows of an online fold by matrix units: which registers of a lane hold what of them.
 *
 *   registers 0 1 4 5 of row 3, registers 2 3 6 7 of row 11     →   a pivot, and sums, for each of both rows; loops over the registers of either
 *
 * All lanes that hold a row have its pivots, and each its part of sums.
 */
import { add, apply, literal, mul, variable } from "../../ir/expression.js"
import { type Atom, fragmentSize } from "../../ir/fragments/atoms.js"
import { at as placeIn } from "../../ir/fragments/layout.js"
import type { Statement } from "../../ir/loop.js"
import { identityValue } from "../../ir/monoid.js"
import type { Expression, Variable } from "../../ir/nodes.js"
import { laneVariable, Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { lowerValues } from "../values.js"
import type { OnlineBlock } from "./online-block.js"
import { readableAt } from "./places.js"
import type { Groups } from "./registers.js"

/** How the registers of a fragment are those of rows: `outer` times `each` neighbours of each of `rows` rows. */
export interface RegisterRows {
  readonly rows: number
  readonly each: number
  readonly outer: number
}

function registerRows({ c, m, n, lanes, name }: Atom): RegisterRows {
  const bits = c.layout!.register
  const first = bits.findIndex((b) => b.axis === "row")
  const count = bits.filter((b) => b.axis === "row").length
  if (bits.slice(first, first + count).some((b) => b.axis !== "row"))
    throw new Refused("atom/fold", `the rows of '${name}' do not lie in order in its registers`)
  const [rows, each] = [2 ** count, 2 ** first]
  return { rows, each, outer: (m * n) / lanes / rows / each }
}

/** A row that a lane holds registers of: in fragments `down` of its group, the one of number `row` in each. */
export interface HeldRow {
  readonly down: number
  readonly row: number
  /** Its place among the block's rows. */
  readonly place: Expression
  /** Where it may be read. */
  readonly at: ReadonlyMap<string, Expression>
  readonly pivots: readonly Expression[]
  /** Of the channels that are added up, of the registers of this lane; undefined for those that are multiplied. */
  readonly sums: readonly (Variable | undefined)[]
}

/** Variables for the rows of a lane. */
export function openRows(block: OnlineBlock, scope: Scope, lowerer: Lowerer): readonly HeldRow[] {
  const { of, scores, rows, fixed } = block
  const { atom, down, row: start } = scores
  const held = registerRows(atom)
  const open = (stem: string, value: Expression, mutable = true): Variable => {
    const name = lowerer.fresh(stem)
    scope.out.push({ kind: "let", name, value, mutable })
    return variable(name, value.dtype)
  }
  return Array.from({ length: down * held.rows }, (_, n): HeldRow => {
    const [i, row] = [Math.floor(n / held.rows), n % held.rows]
    const within = placeIn(atom.c.layout!, laneVariable, row * held.each).row
    const [lowered] = lowerValues([add(add(start, literal(i * atom.m)), within)], scope, lowerer)
    const place = open("row", lowered!, false)
    // What the block holds of its rows ends where they do.
    const own = rows.count < rows.places ? apply("min", place, literal(rows.count - 1)) : place
    return {
      down: i,
      row,
      place,
      at: new Map([...fixed, ...readableAt(rows, own)]),
      pivots: of.recipe.pivots.map((p) => open("pivot", literal(identityValue(p.fold, "f32"), "f32"))),
      sums: of.channels.map((c) => (c.kind === "sum" ? open("sum", literal(0, "f32")) : undefined)),
    }
  })
}

/** A register of a row, where it stands in loops over those of a group. */
export interface RegisterAt {
  /** Of all that the lane has. */
  readonly register: Expression
  /** The column that it holds. */
  readonly column: Expression
}

/** Emits statements for the registers of a row, neighbours side by side. */
export function eachRegister(
  { atom, across, column }: Groups,
  { down, row }: Pick<HeldRow, "down" | "row">,
  scope: Scope,
  lowerer: Lowerer,
  emit: (registers: readonly RegisterAt[], inside: Scope) => void,
): void {
  const { rows, each, outer } = registerRows(atom)
  const size = fragmentSize(atom, "c")
  const [j, part] = [lowerer.fresh("across"), lowerer.fresh("part")]
  const first = mul(variable(part), literal(rows * each))
  const beyond = placeIn(atom.c.layout!, literal(0), first).column
  const fragment = add(mul(variable(j), literal(size)), literal(down * across * size + row * each))
  const body: Statement[] = []
  const registers = Array.from({ length: each }, (_, x): RegisterAt => {
    const own = placeIn(atom.c.layout!, laneVariable, x).column
    return {
      register: add(add(fragment, first), literal(x)),
      column: add(add(add(column, mul(variable(j), literal(atom.n))), beyond), own),
    }
  })
  emit(registers, { ...scope, out: body, bound: new Set([...scope.bound, j, part]) })
  const inner: Statement = { kind: "for", variable: part, extent: literal(outer), bind: "unroll", body }
  scope.out.push({ kind: "for", variable: j, extent: literal(across), bind: "unroll", body: [inner] })
}
