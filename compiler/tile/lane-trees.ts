/**
 * Lane trees: the accumulators of lanes that share folds become one, which all of them hold afterwards.
 *
 *   32 lanes of a subgroup    →   a += that of lane ^ 16, ^ 8, ^ 4, ^ 2, ^ 1
 *   256 lanes, subgroups of 32    →   the same in each subgroup; the first lane of each stores its own; all read the 8 and fold them by pairs
 *
 * Folds that stand side by side exchange together: two barriers for as many as there is room for.
 */

import { add, apply, fetch, literal, variable } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { assign, type LaneGroup, type Naming } from "./accumulators.js"
import { combine, isComponentwise } from "./fold.js"

/** Subgroups of which every lane reads all: more halve their number first, and so do all where merging is long. A barrier costs several reads. */
const readByAll = 8

interface Shared {
  readonly fold: Reduce
  readonly accumulator: readonly Expression[]
}

/** Folds the accumulators of a lane group; afterwards every lane of the group holds the results. */
export function laneTrees(folds: readonly Shared[], lanes: LaneGroup, out: Statement[], naming: Naming): void {
  const { count, subgroup } = lanes
  const cheap = folds.every(({ fold: { monoid } }) => isComponentwise(monoid) || monoid.kind === "argmax")
  const last = cheap ? Math.min(readByAll, Math.max(1, count / subgroup)) : 1
  for (let mask = count / 2; mask >= last * subgroup; mask /= 2)
    for (const { fold, accumulator } of folds)
      assign(
        accumulator,
        combine(fold.monoid, accumulator, exchanged(accumulator, mask, lanes, out, naming)),
        false,
        out,
        naming,
      )
  for (const { fold, accumulator } of folds)
    for (let mask = Math.min(count, subgroup) / 2; mask >= 1; mask /= 2)
      assign(
        accumulator,
        combine(fold.monoid, accumulator, shuffled(accumulator, mask, out, naming)),
        false,
        out,
        naming,
      )
  if (last > 1) acrossSubgroups(folds, last, lanes, out, naming)
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
