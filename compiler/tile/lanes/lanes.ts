/**
 * Online folds whose lanes hold the channels: a group of lanes has all channels of some rows in registers, and each group of the workgroup folds
 * other elements.
 *
 *   y[r, d] = online_{key}(Σ_{e}(q[r, e] · k[key, e]), v[key, d])   with   { tile: { r: { block: 4, perThread: 4 }, d: { vector: 8, lanes: 16 } } }
 *   →  q in registers;  for turn { v, products with k, a tree of 16 lanes per score; pivots, sums and channels of 4 rows }
 *      merge the groups of a subgroup by exchange, subgroups through memory; the first groups store
 *
 * What is loaded of an element serves all rows of the block, each lane loads its part once, and lanes meet in the trees of the scores alone: where
 * subgroups have them, no lane waits at a barrier before the end. Merging is the recipe's own.
 */

import { literalExtent } from "../../ir/dim.js"
import { add, apply, freeVariables, literal, mul, substitute, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { nodesOf, outermostFolds } from "../../ir/query.js"
import type { ReductionTile, StoreSchedule } from "../../ir/schedule.js"
import { contributingAny, type Masked, maskOf } from "../../ir/verify/masks.js"
import { type BlockAxis, type Build, Refused } from "../block.js"
import { copiesOf, firstPlaces, type Iterations } from "../iterations.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { spanOf } from "../pipeline.js"
import { emitStores } from "../store-copies.js"
import { lowerValues } from "../values.js"
import { type Groups, groupsOf } from "./groups.js"
import { mergeGroups } from "./merge.js"
import { type Counted, openRows, rowsOf } from "./rows.js"
import { emitTurns } from "./turns.js"

/** The axis that lanes hold, if the schedule names one. */
export const laneAxis = (axes: readonly BlockAxis[]): BlockAxis | undefined => axes.find((a) => (a.tile.lanes ?? 1) > 1)

/** Emits a store, and those made along with it, whose channels lie over lanes. */
export function emitOverLanes(
  stores: readonly Store[],
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  lowerer: Lowerer,
  start: Scope,
  parts: Build,
): void {
  const along = laneAxis(axes)!
  const groups = groupsOf(along, parts)
  const { axis, extent } = foldedAxis(stores)
  const folding = foldingOf(schedule, axis)
  const held = copiesOfLanes(axes, along, groups, start, lowerer)
  const { vector } = held
  const bound = new Set([...start.bound, "lane", ...(vector === undefined ? [] : [vector.name])])
  const scope: Scope = { ...start, bound, vector }
  const counted = range(stores, axes, axis, extent, scope, lowerer)
  const rows = rowsOf(stores, held, axis, along.axis.name)
  const open = openRows(rows, scope.out, lowerer)
  emitTurns({ rows, open, axis, counted, groups, folding }, scope, lowerer)
  const merged = mergeGroups(rows, open, groups, scope, lowerer, parts)
  const shares = stores.flatMap((store) => {
    const own = store === stores[0] ? held : firstPlaces(held, store)
    return own.copies.map((copy, i) => ({
      store,
      copies: { ...own, copies: [copy] },
      at: copy.at,
      group: i % groups.count,
    }))
  })
  for (const group of new Set(shares.map((s) => s.group))) {
    const here = shares.filter((s) => s.group === group)
    const body: Statement[] = []
    const folds = here.flatMap(({ store, at }) => outermostFolds(store.value).map((r) => substitute(r, at) as Reduce))
    const solved = new Map([...scope.solved, ...merged([...new Set(folds)], body)])
    for (const { store, copies } of here) emitStores(store, copies, { ...scope, out: body, solved }, lowerer)
    if (groups.count === 1) scope.out.push({ kind: "block", body })
    else scope.out.push({ kind: "if", condition: apply("eq", groups.number, literal(group)), body, otherwise: [] })
  }
}

/** What is said of the folded axis. */
function foldingOf({ reduce }: StoreSchedule, axis: string): ReductionTile {
  const own = reduce[axis] ?? {}
  if (own.chunk !== undefined || own.stages !== undefined || own.vector !== undefined || own.accumulators !== undefined)
    throw new Refused("reduce/chunk", `'${axis}' is folded by groups of lanes, element by element`)
  return own
}

/** The axis that all folds of the stores are along. */
function foldedAxis(stores: readonly Store[]): Pick<Reduce, "axis" | "extent"> {
  const [first] = stores.flatMap((s) => outermostFolds(s.value))
  if (first === undefined)
    throw new Refused("reduce/group", "lanes hold the channels of online folds, and there is none")
  const { axis, extent } = first
  for (const r of stores.flatMap((s) => outermostFolds(s.value)))
    if (r.monoid.kind !== "online" || r.axis !== axis || r.extent !== extent)
      throw new Refused("reduce/group", "lanes hold the channels of online folds along one axis")
  if (nodesOf([extent], "load", "localRead", "reduce", "scan").length > 0)
    throw new Refused("reduce/group", `how long '${axis}' is hangs on data; all lanes have to go the same way`)
  return { axis, extent }
}

/** Every lane has one register tile, the vectors of its channels side by side with those of its group. */
function copiesOfLanes(axes: readonly BlockAxis[], along: BlockAxis, groups: Groups, scope: Scope, lowerer: Lowerer) {
  const firsts = new Map<string, Expression>()
  for (const a of axes) {
    if (a !== along && (literalExtent(a.points) !== 1 || (a.tile.vector ?? 1) > 1))
      throw new Refused("tile/indivisible", `a block has one register tile along '${a.axis.name}', and no vector`)
    firsts.set(a.axis.name, a === along ? add(a.base, mul(groups.index, literal(a.tile.vector ?? 1))) : a.base)
  }
  const one: Iterations = {
    axes,
    together: groups.size,
    spread: true,
    uniform: true,
    count: literal(1),
    name: lowerer.fresh("iteration"),
    before: [],
    firsts,
    exists: literal(1, "bool"),
    bound: scope.bound,
  }
  return copiesOf(one, lowerer)
}

/** The elements that can count for the block. */
function range(
  stores: readonly Store[],
  axes: readonly BlockAxis[],
  axis: string,
  extent: Expression,
  scope: Scope,
  lowerer: Lowerer,
): Counted {
  for (const a of axes)
    if (freeVariables(extent).has(a.axis.name) && a.owned !== 1)
      throw new Refused("reduce/group", `the extent of '${axis}' differs from point to point`)
  const bases = new Map(axes.map((a) => [a.axis.name, a.base] as const))
  const found = stores.flatMap((s) =>
    outermostFolds(s.value).map((r) =>
      maskOf(
        r,
        axes.map((a) => a.axis),
      ),
    ),
  )
  const masks = found.every((m) => m !== undefined) ? (found as readonly Masked[]) : []
  const spans = new Map(axes.map((a) => [a.axis.name, spanOf(a)] as const))
  const { first, end } = contributingAny(masks, axis, spans)
  const whole = substitute(extent, bases)
  const named = (stem: string, value: Expression): Expression => {
    const [lowered] = lowerValues([value], { ...scope, vector: undefined }, lowerer)
    if (lowered!.kind === "literal") return lowered!
    const name = lowerer.fresh(`${axis}_${stem}`)
    scope.out.push({ kind: "let", name, value: lowered!, mutable: false })
    return variable(name)
  }
  const from = first === undefined ? literal(0) : named("from", apply("max", literal(0), first))
  const last = named("end", end === undefined ? whole : apply("min", whole, end))
  const count = named("count", apply("max", literal(0), apply("sub", last, from)))
  return { from, end: last, count }
}
