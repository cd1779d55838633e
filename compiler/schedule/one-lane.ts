/**
 * Registers of one lane: how many rows and columns of a fold it accumulates at once.
 *
 *   y[s, o] = sum_{k}(x[s, k] · w[o, k])   with 8 accumulators   →   { s: 4, o: 2 }   8 vectors of products for 6 that are loaded
 *   y[o]    = sum_{k}(x[k] · w[o, k])      with 8 accumulators   →   {}               each row of w alone, in the order of memory
 *
 * One lane has no neighbours to share what it loads with, so that loads for each product are what counts, from wherever they come. Axes are
 * doubled one after the other, that which saves most first, while accumulators are left and it saves a tenth of the loads. The first is one along
 * which much of memory need not be read again: without such, rows side by side would only spoil the order of a single stream.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables, substitute, variable, walk } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { Expression, Load, Reduce } from "../ir/nodes.js"
import { leavesOf, localsIn, nodesOf } from "../ir/query.js"
import type { AxisTile, StagedTile, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { alignLocals } from "../tile/staging/homes.js"
import { factorsOf } from "../tile/staging/operands.js"
import { laneRules } from "./rules.js"

/** What has to be loaded for one product, by the axes of the store that it depends on. */
interface Operand {
  readonly axes: ReadonlySet<string>
  /** Instructions for a vector of it. */
  readonly cost: number
}

/**
 * Registers by axis: 1 where an axis is not named. `steps` are the elements that a register along an axis has, `lanes` those of them whose products
 * are vectors of their own.
 */
export function registerTile(
  folds: readonly Reduce[],
  axes: readonly Axis[],
  steps: ReadonlyMap<string, number>,
  kernel: Kernel,
  accumulators: number,
  saves: (axis: Axis) => boolean,
  lanes: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, number> {
  const leaves = leavesOf(folds)
  const operands = operandsOf(leaves, axes, kernel)
  const taken = new Map<string, number>()
  const loads = (more: ReadonlyMap<string, number>) => {
    const held = (axis: string) => (more.get(axis) ?? 1) * (lanes.get(axis) ?? 1)
    const product = axes.reduce((n, a) => n * held(a.name), 1)
    const cost = operands.reduce((n, o) => n + o.cost * [...o.axes].reduce((m, a) => m * held(a), 1), 0)
    return cost / product
  }
  for (let used = leaves.length; 2 * used <= accumulators; used *= 2) {
    const now = loads(taken)
    let best: ReadonlyMap<string, number> | undefined
    for (const a of axes) {
      if (taken.size === 0 && !saves(a)) continue
      if (!leaves.some((r) => freeVariables(r).has(a.name)) || !allows(a, 2 * (taken.get(a.name) ?? 1), steps)) continue
      const more = new Map(taken).set(a.name, 2 * (taken.get(a.name) ?? 1))
      if (loads(more) <= (best === undefined ? laneRules.loadsLeft * now : loads(best))) best = more
    }
    if (best === undefined) break
    for (const [name, count] of best) taken.set(name, count)
  }
  return taken
}

/** An axis is long enough for the registers, and ends with a whole number of them where its end is known. */
function allows(axis: Axis, registers: number, steps: ReadonlyMap<string, number>): boolean {
  const count = registers * (steps.get(axis.name) ?? 1)
  const extent = literalExtent(axis.extent)
  return extent === undefined ? hinted(axis.extent) >= count : extent % count === 0
}

function operandsOf(leaves: readonly Reduce[], axes: readonly Axis[], kernel: Kernel): readonly Operand[] {
  const seen = new Set<Expression>()
  const found: Operand[] = []
  // Folds of one extent share their loop and what they load at the same place.
  const along = (r: Reduce) => new Map([[r.axis, variable(leaves.find((o) => o.extent === r.extent)!.axis)]])
  for (const r of leaves)
    for (const l of r.lift.map((x) => substitute(x, along(r))))
      walk(l, (x) => {
        if ((x.kind !== "load" && x.kind !== "localRead") || seen.has(x)) return
        seen.add(x)
        if (![...along(r).values()].some((v) => freeVariables(x).has(v.name))) return
        const own = axes.filter((a) => freeVariables(x).has(a.name)).map((a) => a.name)
        const half = x.kind === "load" && packed(bufferOf(kernel, x.buffer).storage)
        found.push({ axes: new Set(own), cost: half ? laneRules.loadOfHalves : 1 })
      })
  return found
}

/**
 * Operands that are worth making once for all of a block, rather than in every product: those that are more than one load of f32, and those of
 * vectors as long as a load of halves, for which the elements of several loads are put in order. They do not depend on some axis of the store
 * that the block owns many elements of.
 */
export function stagedRows(
  folds: readonly Reduce[],
  { tile, reduce }: StoreSchedule,
  store: Store,
  kernel: Kernel,
  vector: number,
): Readonly<Record<string, StagedTile>> {
  const staged: Record<string, StagedTile> = {}
  const folded = new Map(folds.map((r) => [r.axis, r.extent]))
  const size = (v: string) => {
    const extent = folded.get(v)
    if (extent !== undefined) return literalExtent(extent) ?? Number.POSITIVE_INFINITY
    return owned(
      tile[v],
      store.axes.find((a) => a.name === v),
    )
  }
  // A fold that is one vector in each lane of another is over before anything is read again.
  const isInside = (r: Reduce) =>
    folds.some((o) => reduce[o.axis] !== undefined && nodesOf(o.lift, "reduce").includes(r))
  for (const r of leavesOf(folds).filter((leaf) => !isInside(leaf))) {
    const factors = factorsOf(r.lift[0]!)
    const length = literalExtent(r.extent)
    const wide = reduce[r.axis]?.vector ?? vector
    if (r.monoid.kind !== "sum" || length === undefined || length % wide !== 0) continue
    // The load of the most axes that many points share: the other factors go along with it.
    const rows = factors
      .flatMap((f) => nodesOf([f], "load"))
      .filter((l) => freeVariables(l).has(r.axis) && shared(l, tile, store) >= laneRules.readsOfStaged)
    const [row] = rows.sort((a, b) => freeVariables(b).size - freeVariables(a).size)
    if (row === undefined) continue
    const within = (x: Expression) => [...freeVariables(x)].every((v) => freeVariables(row).has(v))
    const operand = factors.filter(within)
    const simple = operand.length === 1 && operand[0] === row && !packed(bufferOf(kernel, row.buffer).storage)
    if (simple && wide <= vector) continue
    if ([...freeVariables(row)].reduce((n, v) => n * size(v), 1) <= laneRules.stagedElements)
      staged[row.buffer] = { tile: { [r.axis]: { vector: wide } } }
  }
  return staged
}

/** Locals that a block stages whole rows of are made a vector at a time, unless there is a fold in each of their elements. */
export function stagedLocals(
  store: Store,
  kernel: Kernel,
  vectors: readonly number[],
): Readonly<Record<string, StagedTile>> {
  const locals = kernel.items.filter((i) => i.kind === "local")
  const values = [store.value, ...store.index]
  const needed = localsIn(values, new Map(locals.map((l) => [l.name, l])))
  const along = alignLocals(
    values,
    needed,
    store.axes.map((a) => a.name),
  )
  const staged: Record<string, StagedTile> = {}
  for (const { name, axes, value } of needed) {
    const last = axes.at(-1)
    const extent = last === undefined ? undefined : literalExtent(last.extent)
    const vector = extent === undefined ? undefined : vectors.find((n) => extent % n === 0)
    if (last === undefined || vector === undefined) continue
    if (along.get(name)?.at(-1) !== undefined || foldsAlong(value, last.name)) continue
    staged[name] = { tile: { [last.name]: { vector } } }
  }
  return staged
}

function foldsAlong(value: Expression, axis: string): boolean {
  let found = false
  walk(value, (x) => {
    if ((x.kind === "reduce" || x.kind === "scan") && freeVariables(x).has(axis)) found = true
  })
  return found
}

/** Elements of a block that read the same of a load. */
function shared(l: Load, tile: Readonly<Record<string, AxisTile>>, store: Store): number {
  return store.axes.reduce((n, a) => (freeVariables(l).has(a.name) ? n : n * owned(tile[a.name], a)), 1)
}

const owned = (tile: AxisTile | undefined, axis: Axis | undefined): number => {
  const extent = axis === undefined ? undefined : literalExtent(axis.extent)
  if (tile?.block === "all") return extent ?? Number.POSITIVE_INFINITY
  return Math.min(tile?.block ?? Number.POSITIVE_INFINITY, extent ?? Number.POSITIVE_INFINITY)
}
