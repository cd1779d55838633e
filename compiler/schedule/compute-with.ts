/**
 * Stores that are made along with another one: their folds are among its own, over some of its axes; or they fold nothing but what it reads.
 *
 *   o[r, d] = online_{key}(s[r, key], 1, v[key, d]).2   l[r'] = online_{key}(s[r', key], 1).1     →   l goes along with o, r' stands for r
 *   m[p] = max_{i}(x[p, i])   n[p'] = sum_{i}(exp(x[p', i]))                                      →   n goes along with m: one pass over x
 */

import { hinted } from "../ir/dim.js"
import { freeVariables, identity, substitute, variable } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { nodesOf, outermostFolds } from "../ir/query.js"
import type { StoreSchedule } from "../ir/schedule.js"
import { everywhere } from "../tile/block.js"
import { storeRules } from "./rules.js"

type Along = StoreSchedule["computeWith"]

/** Per store: the one whose folds it has. */
export const sharedFolds = (stores: readonly Store[]): readonly Along[] => hosts(stores, axesIn)

/** Per store of a kernel that takes no chunks: the one whose folds it has, or whose reads. */
export function sharedReads(
  stores: readonly Store[],
  kernel: Kernel,
  { singleHalves = false }: Pick<ScheduleTarget, "singleHalves">,
): readonly Along[] {
  const halves = (s: Store) => packed(bufferOf(kernel, s.buffer).storage)
  const last = (s: Store, axes: Readonly<Record<string, string>> = {}) => {
    const x = s.index.at(-1)
    return x?.kind === "variable" ? (axes[x.name] ?? x.name) : undefined
  }
  return hosts(stores, (s, h) => {
    if (nodesOf([s.value, h.value], "scan").length > 0) return undefined
    const axes = axesIn(s, h) ?? axesOfReads(s, h)
    // Who stores two elements to a word holds both.
    const whole = singleHalves || !halves(s) || (halves(h) && last(s, axes) === last(h))
    return whole ? axes : undefined
  })
}

function hosts(
  stores: readonly Store[],
  axesOf: (store: Store, host: Store) => Readonly<Record<string, string>> | undefined,
): readonly Along[] {
  const found: Along[] = []
  for (const [j, s] of stores.entries()) {
    const isHost = found.some((f) => f?.store === j)
    // Of two that could each go along with the other, the first is the host. A later one that reads more pays where memory is read a second time.
    const host = stores.findIndex(
      (h, i) =>
        h !== s &&
        !isHost &&
        found[i] === undefined &&
        axesOf(s, h) !== undefined &&
        (h.axes.length > s.axes.length || i < j || (axesOf(h, s) === undefined && readOf(s) >= storeRules.readTwice)),
    )
    found.push(host < 0 ? undefined : { store: host, axes: axesOf(s, stores[host]!)! })
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

/** The axes of the host one by one, when what the folds of a store read along their axes the host's read as well: then one pass has all. */
function axesOfReads(store: Store, host: Store): Readonly<Record<string, string>> | undefined {
  const { axes } = host
  if (store.axes.length !== axes.length || store.axes.some((a, i) => a.extent !== axes[i]!.extent)) return undefined
  const own = new Map(store.axes.map((a, i) => [a.name, variable(axes[i]!.name)] as const))
  const [mine, theirs] = [readsOfFolds(store, own), readsOfFolds(host, new Map())]
  const all = mine.size > 0 && [...mine].every((x) => theirs.has(x))
  return all ? Object.fromEntries(store.axes.map((a, i) => [a.name, axes[i]!.name])) : undefined
}

/** Elements that the folds of a store read of what changes along their axes, at the hints. */
function readOf(store: Store): number {
  const folds = nodesOf([store.value], "reduce")
  const extents = new Map([
    ...store.axes.map((a) => [a.name, a.extent] as const),
    ...folds.map((r) => [r.axis, r.extent] as const),
  ])
  const volume = (x: Expression) =>
    [...freeVariables(x)].reduce((n, v) => n * (extents.has(v) ? hinted(extents.get(v)!) : 1), 1)
  return Math.max(
    0,
    ...folds.flatMap((r) =>
      nodesOf(r.lift, "load")
        .filter((x) => freeVariables(x).has(r.axis))
        .map(volume),
    ),
  )
}

/** What changes along the axes of a store's folds; axes of one extent, which share a loop, have one name. */
function readsOfFolds(store: Store, names: ReadonlyMap<string, Expression>): ReadonlySet<Expression> {
  const folds = nodesOf([store.value], "reduce")
  const axes = new Map(names)
  for (const r of folds) axes.set(r.axis, variable(`fold ${identity(substitute(r.extent, names))}`))
  const reads = folds.flatMap((r) => nodesOf(r.lift, "load", "localRead").filter((x) => freeVariables(x).has(r.axis)))
  return new Set(reads.map((x) => substitute(x, axes)))
}
