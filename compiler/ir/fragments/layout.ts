/**
 * Layouts: which element of a tile a register of a lane holds, as bits. Each bit of the lane's number, and of the register's, is one bit of the row
 * or of the column:
 *
 *   16 × 8, lane c1 c2 r0 r1 r2, register c0 r3      lane 5 = 00101 is column 2 and row 1, register 2 = 10 is row 8: it holds row 9, column 2
 *
 * What a tile is made of stands beside each other as further bits: of the register where a lane holds more, of the lane where other lanes do. So the
 * accumulators of a workgroup are one layout. No layout holds an element twice.
 */
import { add, apply, isLiteral, literal, mul } from "../expression.js"
import type { Expression } from "../nodes.js"

export type TileAxis = "row" | "column"

/** A bit of a row or a column. */
export interface Bit {
  readonly axis: TileAxis
  readonly bit: number
}

export interface Layout {
  readonly rows: number
  readonly columns: number
  /** What the bits of the lane are, the lowest first; and those of the register. */
  readonly lane: readonly Bit[]
  readonly register: readonly Bit[]
}

/** A layout from words like "c1 r0", the lowest bits first. */
export function layout(lane: string, register: string): Layout {
  const bits = (text: string): readonly Bit[] =>
    text.split(" ").map((word) => ({ axis: word[0] === "r" ? "row" : "column", bit: Number(word.slice(1)) }))
  const made = { lane: bits(lane), register: bits(register) }
  const extent = (axis: TileAxis) => 2 ** [...made.lane, ...made.register].filter((b) => b.axis === axis).length
  return { rows: extent("row"), columns: extent("column"), ...made }
}

/** Elements that a lane holds. */
export const registers = ({ register }: Layout): number => 2 ** register.length
export const lanes = ({ lane }: Layout): number => 2 ** lane.length

export const same = (a: Layout, b: Layout): boolean => spelled(a) === spelled(b)
const spelled = ({ lane, register }: Layout): string =>
  [lane, register].map((bits) => bits.map(({ axis, bit }) => `${axis} ${bit}`).join(" ")).join(" | ")

/** Where an element lies in its tile. */
export interface Coordinates<T> {
  readonly row: T
  readonly column: T
}

/** The coordinates of what a register of a lane holds; of the lane's number only the layout's bits count. */
export function at(l: Layout, lane: Expression, register: Expression | number): Coordinates<Expression> {
  const held = typeof register === "number" ? literal(register) : register
  const along = (axis: TileAxis) => add(gathered(l.lane, lane, axis), gathered(l.register, held, axis))
  return { row: along("row"), column: along("column") }
}

/** The bits of `x` that belong to an axis, put where they belong: bits that stay side by side move together. */
function gathered(bits: readonly Bit[], x: Expression, axis: TileAxis): Expression {
  let sum: Expression = literal(0)
  for (let i = 0; i < bits.length; ) {
    const { axis: own, bit } = bits[i]!
    let count = 1
    while (bits[i + count]?.axis === own && bits[i + count]?.bit === bit + count) count++
    if (own === axis) sum = add(sum, mul(part(x, 2 ** i, 2 ** count), literal(2 ** bit)))
    i += count
  }
  return sum
}

const part = (x: Expression, by: number, count: number): Expression =>
  isLiteral(x)
    ? literal(Math.floor(x.value / by) % count)
    : apply("floormod", apply("floordiv", x, literal(by)), literal(count))

/** The same in numbers. */
export function coordinatesOf(l: Layout, lane: number, register: number): Coordinates<number> {
  const place = { row: 0, column: 0 }
  for (const [bits, x] of [
    [l.lane, lane],
    [l.register, register],
  ] as const)
    for (const [i, { axis, bit }] of bits.entries()) place[axis] += ((x >> i) & 1) << bit
  return place
}

/** A layout `times` (a power of two) beside itself along an axis, held by further registers or by further lanes. */
export function beside(l: Layout, axis: TileAxis, times: number, held: "lane" | "register"): Layout {
  const first = Math.log2(axis === "row" ? l.rows : l.columns)
  const more = Array.from({ length: Math.log2(times) }, (_, i): Bit => ({ axis, bit: first + i }))
  const wider = axis === "row" ? { rows: l.rows * times } : { columns: l.columns * times }
  return { ...l, ...wider, [held]: [...l[held], ...more] }
}

/** How lanes fold what they hold along an axis. */
export interface LayoutFold {
  /** Registers of a lane that are folded together: one list for each place along the other axis that the lane holds. */
  readonly registers: readonly (readonly number[])[]
  /** Masks of exchanges within a subgroup. */
  readonly masks: readonly number[]
  /** Distances of lanes beyond the subgroup: what they hold has to go through memory. */
  readonly beyond: readonly number[]
}

/** Lanes that exchange directly. */
const subgroup = 32

/** The fold of a tile over an axis: first each lane its registers, then lanes across each mask, then subgroups. */
export function foldOf(l: Layout, axis: TileAxis): LayoutFold {
  const kept = new Map<number, number[]>()
  const mask = l.register.reduce((m, b, i) => (b.axis === axis ? m : m | (1 << i)), 0)
  for (let register = 0; register < registers(l); register++)
    kept.set(register & mask, [...(kept.get(register & mask) ?? []), register])
  const distances = l.lane.flatMap((b, i) => (b.axis === axis ? [1 << i] : []))
  return {
    registers: [...kept.values()],
    masks: distances.filter((d) => d < subgroup),
    beyond: distances.filter((d) => d >= subgroup),
  }
}
