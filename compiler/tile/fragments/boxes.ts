/**
 * Operands as boxes of matrices, which the copy engine brings.
 *
 *   x[m, k] of 128 rows and 64 k at (128 · block, 64 · turn)      →   one box of 128 × 64
 *   w[k, n] of 64 k and 128 columns                                →   two of 64 × 64, panels beside one another
 *   w[owner[block], n, k]                                          →   rows of all owners are those of one matrix
 *
 * The place of an element has to be a sum over axes: the one along a row by ones, the other by rows, all others by whole rows, or within a row
 * so that no row is left. What is beyond the fold becomes zeros where the matrix ends there; of what is beyond the side nothing is stored.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, freeVariables, literal, mul, substitute, variable } from "../../ir/expression.js"
import { type Linear, linear } from "../../ir/linear.js"
import type { Expression, Load } from "../../ir/nodes.js"
import type { Lowerer } from "../lowerer.js"
import type { Side } from "./places.js"

/** A matrix, and where boxes of it lie: over axes of the store and of the fold. */
export interface BoxedOperand {
  readonly array: string
  readonly rows: number
  readonly columns: number
  readonly stride: number
  /** Of the first element of a block's chunk. */
  readonly row: Linear
  readonly column: Linear
  /** Whether zeros come of what is beyond the end of the fold; else anything does. */
  readonly ends: boolean
}

/** Rows of a box at most. */
export const mostRows = 256
/** Bytes of which rows of a matrix have a multiple. */
const aligned = 16

/** The innermost folded axis, and whether no chunk reaches beyond its end. */
interface FoldedAxis {
  readonly axis: string
  readonly extent: Expression
  readonly whole: boolean
}

/** What boxes are asked for. */
export interface BoxesAsked {
  /** The extents of the folded axes, and of all others that the place of an element may follow. */
  readonly extents: ReadonlyMap<string, Expression>
  /** Whether anything may come of what is beyond the end of the fold. */
  readonly anything?: true
}

/** An operand as boxes; undefined where it is none. */
export function boxedOperand(
  value: Load,
  side: Side,
  inner: "fold" | "side",
  fold: FoldedAxis,
  { extents: known, anything }: BoxesAsked,
  lowerer: Lowerer,
): BoxedOperand | undefined {
  const varying = side.axes.filter((a) => a.owned! > 1)
  const across = varying.at(-1) ?? side.axes.at(-1)
  if (across === undefined) return undefined
  const { array, offset } = lowerer.place(value)
  const { terms, constant } = linear(offset)
  const factorOf = (axis: string) => [...terms].find(([x]) => x.kind === "variable" && x.name === axis)?.[1]
  // Several axes of which the block has more than one place are one axis where they lie in memory as one.
  for (const [i, { axis, owned }] of varying.entries()) {
    const outer = varying[i - 1]
    if (outer === undefined) continue
    const whole = literalExtent(axis.extent) === owned
    if (!whole || factorOf(outer.axis.name) !== owned! * (factorOf(axis.name) ?? 0)) return undefined
  }
  const [along, by] = inner === "fold" ? [fold.axis, across.axis.name] : [across.axis.name, fold.axis]
  const stride = factorOf(by)
  if (factorOf(along) !== 1 || stride === undefined || stride <= 1 || (2 * stride) % aligned !== 0) return undefined
  const extents = new Map([...known, ...side.axes.map((a) => [a.axis.name, a.axis.extent] as const)])
  const found = partsOf({ terms, constant }, stride, along, by, extents)
  if (found === undefined || found.last >= stride) return undefined
  const size = lowerer.shape(array).reduce((n, s) => n * s, 1)
  const extent = literalExtent(fold.extent)
  const alone = { row: found.row.terms.size === 1, column: found.column.terms.size === 1 }
  // Where chunks reach over the end, that is where the matrix ends.
  const mayEnd = extent !== undefined && (inner === "fold" ? alone.column : alone.row)
  if (!fold.whole && !mayEnd && anything !== true) return undefined
  const ends = fold.whole || !mayEnd ? undefined : extent + (inner === "fold" ? found.column : found.row).constant
  const rows = inner === "side" && ends !== undefined ? ends : Math.floor(size / stride)
  const columns = inner === "fold" && ends !== undefined ? ends : stride
  return { array, rows, columns, stride, row: found.row, column: found.column, ends: fold.whole || mayEnd }
}

/** Which terms of an offset count rows, which columns, and the last column that there may be; undefined where that is not seen. */
function partsOf(
  { terms, constant }: Linear,
  stride: number,
  along: string,
  by: string,
  extents: ReadonlyMap<string, Expression>,
): { readonly row: Linear; readonly column: Linear; readonly last: number } | undefined {
  const [row, column] = [new Map<Expression, number>(), new Map<Expression, number>()]
  const rest = ((constant % stride) + stride) % stride
  let last = rest
  for (const [term, factor] of terms) {
    const name = term.kind === "variable" ? term.name : undefined
    if (name !== along && factor % stride === 0) {
      // Only the axis itself, or what does not follow the two.
      if (name !== by && [along, by].some((axis) => freeVariables(term).has(axis))) return undefined
      row.set(term, factor / stride)
      continue
    }
    const extent = name === undefined ? undefined : literalExtent(extents.get(name) ?? variable(name))
    if (extent === undefined || factor < 0 || name === by) return undefined
    column.set(term, factor)
    last += factor * (extent - 1)
  }
  return {
    row: { terms: row, constant: (constant - rest) / stride },
    column: { terms: column, constant: rest },
    last,
  }
}

/** A linear form at places of axes. */
export function placed({ terms, constant }: Linear, at: ReadonlyMap<string, Expression>): Expression {
  const moved = [...terms].map(([x, factor]) => mul(substitute(x, at), literal(factor)))
  return moved.reduce(add, literal(constant))
}
