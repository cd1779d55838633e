/**
 * Stores that are made along with another one: their folds are among its own, over some of its axes.
 *
 *   o[r, d] = online_{key}(s[r, key], 1, v[key, d]).2   l[r'] = online_{key}(s[r', key], 1).1     →   l goes along with o, r' stands for r
 */

import { freeVariables, substitute, variable } from "../ir/expression.js"
import type { Store } from "../ir/kernel.js"
import type { Reduce } from "../ir/nodes.js"
import { outermostFolds } from "../ir/query.js"
import type { StoreSchedule } from "../ir/schedule.js"
import { everywhere } from "../tile/block.js"

/** Per store: the one that it goes along with. */
export function sharedFolds(stores: readonly Store[]): readonly StoreSchedule["computeWith"][] {
  const found: StoreSchedule["computeWith"][] = []
  for (const [j, s] of stores.entries()) {
    const host = stores.findIndex(
      (h, i) =>
        h !== s && found[i] === undefined && axesIn(s, h) !== undefined && (h.axes.length > s.axes.length || i < j),
    )
    found.push(host < 0 ? undefined : { store: host, axes: axesIn(s, stores[host]!)! })
  }
  return found
}

/** Which axes of the host the axes of a store stand for, when its folds are among the host's. */
function axesIn(store: Store, host: Store): Readonly<Record<string, string>> | undefined {
  const axes: Record<string, string> = {}
  let next = 0
  for (const a of store.axes) {
    const at = host.axes.findIndex((h, i) => i >= next && h.extent === a.extent)
    if (at < 0) return undefined
    axes[a.name] = host.axes[at]!.name
    next = at + 1
  }
  const renamed = substitute(
    store.value,
    new Map(Object.entries(axes).map(([from, to]) => [from, variable(to)] as const)),
  )
  const theirs = outermostFolds(host.value)
  const mine = outermostFolds(renamed)
  const index = store.index.every((i) => [...freeVariables(i)].every((v) => axes[v] !== undefined))
  const stands = index && everywhere(host.axes, Object.values(axes))
  return stands && mine.length > 0 && mine.every((r) => theirs.some((t) => within(r, t))) ? axes : undefined
}

/** Whether a fold is another one, or over the same scores: then the other's weights are its own, whatever its channels are. */
function within(r: Reduce, t: Reduce): boolean {
  if (r === t) return true
  if (r.monoid.kind !== "online" || t.monoid.kind !== "online" || r.monoid.recipe !== t.monoid.recipe) return false
  return r.axis === t.axis && r.extent === t.extent && r.lift[0] === t.lift[0]
}
