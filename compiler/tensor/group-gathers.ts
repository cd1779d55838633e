/**
 * gather: tensor → tensor. A contraction with an operand that data chooses for each row, for blocks of rows that chose alike.
 *
 *   y = Σ_in x[row, in] · w[index[row], out, in]
 *   →   g = Σ_in x[source[block, place], in] · w[owner[block], out, in];   y = g[blockOf[row], placeOf[row]]
 *
 * A block has one index (row-buckets.ts), so what is chosen is read once for all its places, by a register tile along `place`. What is made of such
 * results row by row, and contracted with an operand of the same index again, stays in groups: only what needs the rows in their order takes
 * them back. Maps and statistics of rows are computed for the places that read them rather than fetched, since kernels hold them as locals.
 *
 * With few rows for each value of the index the rows stay as they are: each operand is read about once anyway.
 */

import { type Dim, hinted } from "../ir/dim.js"
import { identity, walk } from "../ir/expression.js"
import type { GatherLimits } from "../ir/machine.js"
import type { Operation } from "../ir/operations.js"
import { rebuild, sources } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { rewritten, type Units } from "./rewrite.js"
import { type Groups, groupRows, type RowList, rowList, toPlaces, toRows } from "./row-buckets.js"

const defaultGatherLimits: GatherLimits = { rows: 4, block: 4 }

/** What has been taken back to the order of its rows, and what it was in groups. */
interface Grouped {
  readonly groups: Groups
  readonly tensor: ir.Tensor
}

/** Equal programs with the same inputs; `units` serves several roots. */
export const groupGathers = (
  roots: readonly ir.Tensor[],
  limits: GatherLimits = defaultGatherLimits,
  units: Units = new Map(),
): readonly ir.Tensor[] =>
  rewritten(
    roots,
    () => {
      const grouping: Grouping = { limits, taken: new Map(), known: new Map(), moved: new Map() }
      return (t) => (t.kind === "reduce" ? grouped(grouping, t) : t)
    },
    units,
  )

interface Grouping {
  readonly limits: GatherLimits
  readonly taken: Map<ir.Tensor, Grouped>
  /** Groups by index and number of values. */
  readonly known: Map<string, Groups>
  /** Tensors at the places of groups. */
  readonly moved: Map<string, ir.Tensor>
}

/** A fold in groups, taken back to the order of its rows, where that is worth it. */
function grouped(grouping: Grouping, t: ir.Reduce): ir.Tensor {
  const groups = contracted(grouping, t) ?? foldOfGroups(grouping, t)
  if (groups === undefined) return t
  const tensor = rebuild(
    t,
    t.args.map((a) => regroup(grouping, a, groups)),
  )
  // What is the same for all rows of a block has nothing to share.
  if (ir.axisOf(tensor, groups.place.name) === undefined) return t
  ir.mark(tensor, ir.spansOf(t))
  const made = toRows(tensor, groups, t.axes)
  grouping.taken.set(made, { groups, tensor })
  return made
}

function groupsOf(grouping: Grouping, g: ir.Gather, rows: RowList): Groups {
  const values = extentOf(g.arg, g.axis)
  const key = `${identity(g.index)} ${identity(values)}`
  const made = grouping.known.get(key) ?? groupRows(g.index, rows, values, grouping.limits.block)
  grouping.known.set(key, made)
  return made
}

/** `t` with the block and the place in place of its rows. */
function regroup(grouping: Grouping, t: ir.Tensor, groups: Groups): ir.Tensor {
  const key = `${identity(t)} ${identity(groups)}`
  const made = grouping.moved.get(key) ?? moveToPlaces(grouping, t, groups)
  grouping.moved.set(key, made)
  ir.mark(made, ir.spansOf(t))
  return made
}

function moveToPlaces(grouping: Grouping, t: ir.Tensor, groups: Groups): ir.Tensor {
  const already = grouping.taken.get(t)
  if (already?.groups === groups) return already.tensor
  if (!hasRows(t, groups)) return t
  if (t.kind === "gather" && isChosen(t, groups)) return ir.gather(t.arg, t.axis, groups.owner)
  if (!stays(grouping, t, groups)) return toPlaces(t, groups)
  return rebuild(
    t,
    sources(t).map((s) => regroup(grouping, s, groups)),
  )
}

/** Whether `t` is computed row by row at the places, rather than fetched for them. */
function stays(grouping: Grouping, t: ir.Tensor, groups: Groups): boolean {
  if (t.kind === "map") return t.args.some((a) => follows(grouping, a, groups)) || isLight(t)
  return isFoldOfRows(t, groups) && (t.args.some((a) => follows(grouping, a, groups)) || t.args.every(isWhole))
}

/** Whether something in groups is below `t`, row by row. */
function follows(grouping: Grouping, t: ir.Tensor, groups: Groups): boolean {
  if (grouping.taken.get(t)?.groups === groups) return true
  if (t.kind === "gather") return isChosen(t, groups)
  return (t.kind === "map" || isFoldOfRows(t, groups)) && t.args.some((a) => follows(grouping, a, groups))
}

/** The groups of a contraction with an operand that is worth sharing among rows. */
function contracted(grouping: Grouping, t: ir.Reduce): Groups | undefined {
  for (const g of gathersBelow(grouping, t.args)) {
    const rows = rowList(g.index)
    const inner = g.arg.axes.filter((a) => a.name !== g.axis && a.name !== t.axis)
    if (rows === undefined) continue
    const fits =
      rows.axes.every((r) => ir.axisOf(t, r.name) && !ir.axisOf(g.arg, r.name)) &&
      ir.axisOf(g.arg, t.axis) !== undefined &&
      g.axis !== t.axis &&
      inner.some((a) => ir.axisOf(t, a.name))
    if (fits && hinted(rows.count) >= grouping.limits.rows * hinted(extentOf(g.arg, g.axis)))
      return groupsOf(grouping, g, rows)
  }
  return undefined
}

/** A fold of what is in groups already, not along its rows: one more axis of the same contraction. */
function foldOfGroups(grouping: Grouping, t: ir.Reduce): Groups | undefined {
  const [arg] = t.args
  const found = t.args.length === 1 ? grouping.taken.get(arg!)?.groups : undefined
  return found?.rows.some((r) => r.name === t.axis) ? undefined : found
}

/** Gathers that are operands of a fold, through maps and folds inside of it; each tensor is looked at once, however many read it. */
function gathersBelow(
  grouping: Grouping,
  args: readonly ir.Tensor[],
  seen: Set<ir.Tensor> = new Set(),
): readonly ir.Gather[] {
  return args.flatMap((a) => {
    if (grouping.taken.has(a) || seen.has(a)) return []
    seen.add(a)
    if (a.kind === "gather") return [a]
    return a.kind === "map" || a.kind === "reduce" ? gathersBelow(grouping, a.args, seen) : []
  })
}

const extentOf = (t: ir.Tensor, axis: string): Dim => ir.axisOf(t, axis)!.extent

const hasRows = (t: ir.Tensor, groups: Groups): boolean => groups.rows.some((r) => ir.axisOf(t, r.name) !== undefined)

/** Whether `t` is an operand that is the same for all places of a block. */
const isChosen = (t: ir.Gather, groups: Groups): boolean =>
  t.index === groups.index && groups.values === extentOf(t.arg, t.axis) && !hasRows(t.arg, groups)

/** A fold of each row by itself. */
const isFoldOfRows = (t: ir.Tensor, { rows }: Groups): t is ir.Reduce =>
  t.kind === "reduce" && !rows.some((r) => r.name === t.axis || r.name === t.slot)

const heavy: ReadonlySet<Operation> = new Set(["exp", "log", "sin", "cos", "tanh", "pow"])

/** A map that is cheaper to compute at each place than to store: little arithmetic, on nothing that is contracted for it. */
function isLight(t: ir.Map): boolean {
  let light = true
  walk(t.body, (x) => {
    if (x.kind === "operation" && heavy.has(x.operation)) light = false
  })
  return light && t.args.every((a) => a.kind !== "reduce" || a.args.every(isWhole))
}

/** Whether some tensor that is read has all axes of `t`: folding it reads no more than that. A product of two smaller ones is not whole. */
function isWhole(t: ir.Tensor): boolean {
  if (t.kind === "map") return t.args.some((a) => a.axes.length === t.axes.length && isWhole(a))
  return t.kind === "reduce" ? t.args.every(isWhole) : true
}
