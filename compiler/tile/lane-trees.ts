/**
 * Lane trees: the accumulators of lanes that share folds become one, which all of them hold afterwards.
 *
 *   32 lanes of a subgroup    →   a += that of lane ^ 16, ^ 8, ^ 4, ^ 2, ^ 1
 *   256 lanes, subgroups of 32    →   the same in each subgroup; the first lane of each stores its own; all read the 8 and fold them by pairs
 *
 * Folds that stand side by side exchange together: two barriers for as many as there is room for. Lists of a subgroup are merged rank by rank.
 */

import { add, apply, fetch, literal, reduce, variable } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import { argmax, top } from "../ir/monoid.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { assign, type LaneGroup, type Naming } from "./accumulators.js"
import { combine, identityOf, isComponentwise } from "./fold.js"

/** Subgroups of which every lane reads all: more halve their number first, and so do all where merging is long. A barrier costs several reads. */
const readByAll = 8

interface Shared {
  /** As one lane does it. */
  readonly fold: Reduce
  readonly accumulator: readonly Expression[]
  /** Ranks of the whole fold, where it is a list. */
  readonly ranks?: number | undefined
}

/**
 * Folds the accumulators of a lane group; afterwards every lane of the group holds the results.
 *
 * @returns the results; those of a fold of several ranks are its list, which may be longer than that of a lane
 */
export function laneTrees(
  folds: readonly Shared[],
  lanes: LaneGroup,
  out: Statement[],
  naming: Naming,
): readonly (readonly Expression[])[] {
  const { count, subgroup } = lanes
  const near = Math.min(count, subgroup)
  const trees = folds.filter(({ ranks }) => ranks === undefined || near === 1)
  const cheap = trees.every(({ fold: { monoid } }) => isComponentwise(monoid) || monoid.kind === "argmax")
  const last = cheap ? Math.min(readByAll, Math.max(1, count / subgroup)) : 1
  const merge = ({ fold, accumulator }: Shared, others: readonly Expression[]) =>
    assign(accumulator, combine(fold.monoid, accumulator, others), false, out, naming)
  const far = (which: readonly Shared[], least: number) => {
    for (let mask = count / 2; mask >= least; mask /= 2)
      for (const f of which) merge(f, exchanged(f.accumulator, mask, lanes, out, naming))
  }
  far(trees, last * subgroup)
  for (const f of trees)
    for (let mask = near / 2; mask >= 1; mask /= 2) merge(f, shuffled(f.accumulator, mask, out, naming))
  if (last > 1) acrossSubgroups(trees, last, lanes, out, naming)
  return folds.map((f) => {
    if (trees.includes(f)) return f.accumulator
    far([f], subgroup)
    return listOfLanes(f, near, out, naming)
  })
}

/** The ranks of a fold that has several, of whose elements no two lanes have the same: they are told apart by where they are. */
export const ranksOf = ({ monoid, lift, axis }: Reduce): number | undefined =>
  monoid.kind === "top" && monoid.k > 1 && lift[1] === variable(axis) ? monoid.k : undefined

/**
 * A fold as one lane does it: of several ranks no more than it has elements, where lists are merged rank by rank. `most`: the elements of all
 * lanes at most; `together`: those that a lane takes in one turn at most, before the next lane has any.
 */
export function ofLane(r: Reduce, most: number, together: number, { count, subgroup }: LaneGroup): Reduce {
  const ranks = ranksOf(r)
  if (ranks === undefined || count > subgroup) return r
  const each = Math.max(1, Math.ceil(most / (count * together)) * together)
  return each < ranks ? (reduce(r.axis, r.extent, top(each), r.lift) as Reduce) : r
}

/**
 * The first of all lanes, rank by rank: that of their first ones, which leaves its lane's list. Merging lists by pairs takes as many steps for
 * each element of a list as this takes for a rank.
 */
function listOfLanes(
  { fold, accumulator: list, ranks = 1 }: Shared,
  lanes: number,
  out: Statement[],
  naming: Naming,
): readonly Expression[] {
  const length = list.length / 2
  const [value, index] = [list.slice(0, length), list.slice(length)]
  const none = identityOf(top(1), [value[0]!.dtype], 1)
  const firsts = Array.from({ length: ranks }, (_, rank) => {
    const best = [value[0]!, index[0]!].map((of): Expression => {
      const name = naming.fresh(`${fold.axis}_first`)
      out.push({ kind: "let", name, value: of, mutable: true })
      return variable(name, of.dtype)
    })
    for (let mask = lanes / 2; mask >= 1; mask /= 2)
      assign(best, combine(argmax, best, shuffled(best, mask, out, naming)), false, out, naming)
    const left = Math.min(length, ranks - 1 - rank)
    if (left === 0) return best
    const name = naming.fresh(`${fold.axis}_taken`)
    out.push({ kind: "let", name, value: apply("eq", index[0]!, best[1]!), mutable: false })
    const moved = (of: readonly Expression[], rest: Expression) =>
      of.slice(0, left).map((x, i) => apply("select", variable(name, "bool"), of[i + 1] ?? rest, x))
    const next = [...moved(value, none[0]!), ...moved(index, none[1]!)]
    assign([...value.slice(0, left), ...index.slice(0, left)], next, true, out, naming)
    return best
  })
  return [...firsts.map((f) => f[0]!), ...firsts.map((f) => f[1]!)]
}

/** The accumulator of the lane whose number differs in `mask`, within a subgroup. */
export const shuffled = (accumulator: readonly Expression[], mask: number, out: Statement[], naming: Naming) =>
  accumulator.map((value): Expression => {
    const name = naming.fresh("other")
    out.push({ kind: "shuffle", name, value, mask })
    return variable(name, value.dtype, value.width)
  })

/** The same through shared memory. One array per dtype serves all components, one after the other. */
const exchanged = (
  accumulator: readonly Expression[],
  mask: number,
  { lane, array }: LaneGroup,
  out: Statement[],
  naming: Naming,
) =>
  accumulator.map((value): Expression => {
    const name = naming.fresh("other")
    const partner = apply("bitxor", lane, literal(mask))
    out.push(
      { kind: "barrier" },
      { kind: "store", array: array(value.dtype), offset: lane, value },
      { kind: "barrier" },
    )
    out.push({ kind: "let", name, value: fetch(array(value.dtype), partner, value.dtype), mutable: false })
    return variable(name, value.dtype)
  })

/** `last` subgroups of equal lanes each, through shared memory: one place for each subgroup and component. */
function acrossSubgroups(folds: readonly Shared[], last: number, lanes: LaneGroup, out: Statement[], naming: Naming) {
  const { lane, subgroup, threads, array } = lanes
  const subgroups = threads / subgroup
  const within = last * subgroup
  const start =
    within === threads
      ? literal(0)
      : apply("floordiv", apply("sub", lane, apply("bitand", lane, literal(within - 1))), literal(subgroup))
  // As many at once as an array of one element for each lane has room for.
  let waiting = folds.flatMap(({ accumulator }) => accumulator)
  const found = new Map<Expression, readonly Expression[]>()
  while (waiting.length > 0) {
    const places = new Map<string, number>()
    const now = waiting.filter((value) => {
      const at = places.get(value.dtype) ?? 0
      if (at < subgroup) places.set(value.dtype, at + 1)
      return at < subgroup
    })
    waiting = waiting.filter((value) => !now.includes(value))
    const at = new Map<string, number>()
    const own = apply("floordiv", lane, literal(subgroup))
    const stores: Statement[] = []
    const reads: Statement[] = []
    for (const value of now) {
      const { dtype } = value
      const place = literal(subgroups * (at.get(dtype) ?? 0))
      at.set(dtype, (at.get(dtype) ?? 0) + 1)
      stores.push({ kind: "store", array: array(dtype), offset: add(own, place), value })
      const others = Array.from({ length: last }, (_, k) => {
        const name = naming.fresh("other")
        const from = fetch(array(dtype), add(start, add(place, literal(k))), dtype)
        reads.push({ kind: "let", name, value: from, mutable: false })
        return variable(name, dtype)
      })
      found.set(value, others)
    }
    const first = apply("eq", apply("bitand", lane, literal(subgroup - 1)), literal(0))
    out.push({ kind: "barrier" })
    if (subgroup === 1) out.push(...stores)
    else out.push({ kind: "if", condition: first, body: stores, otherwise: [] })
    out.push({ kind: "barrier" }, ...reads)
  }
  for (const { fold, accumulator } of folds) {
    let parts = Array.from({ length: last }, (_, k) => accumulator.map((value) => found.get(value)![k]!))
    while (parts.length > 1)
      parts = Array.from({ length: parts.length / 2 }, (_, i) => {
        const [left, right] = [parts[2 * i]!, parts[2 * i + 1]!]
        return [...combine(fold.monoid, left, right)]
      })
    assign(accumulator, parts[0]!, false, out, naming)
  }
}
