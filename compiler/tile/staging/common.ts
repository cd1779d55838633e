/**
 * Which locals are the same for all blocks of a store: those that follow none of its axes that are cut.
 *
 *   y[s, o] over s < 1, o < 4096 in blocks of 16 = sum_k(row{s, k} · w[o, k])   →   row, and what row is made of
 */
import { literalExtent } from "../../ir/dim.js"
import type { Kernel, Local, Store } from "../../ir/kernel.js"
import type { Expression } from "../../ir/nodes.js"
import { localsIn, nodesOf } from "../../ir/query.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import { alignLocals } from "./homes.js"

/**
 * The locals that `values` over a store's axes read, if they are the same for all of its blocks, and the others. `isCut`: whether an axis may have
 * several blocks.
 */
export function commonLocals(
  values: readonly Expression[],
  store: Store,
  kernel: Kernel,
  isCut: (axis: string) => boolean,
): { readonly common: readonly Local[]; readonly own: readonly Local[] } {
  const locals = kernel.items.filter((i) => i.kind === "local")
  const wanted = localsIn(values, new Map(locals.map((l) => [l.name, l])))
  const axes = store.axes.map((a) => a.name)
  const along = alignLocals(values, wanted, axes)
  const common: Local[] = []
  for (const l of wanted) {
    const reads = nodesOf([l.value], "localRead")
    const follows = along.get(l.name)!.some((a) => a !== undefined && axes.includes(a) && isCut(a))
    if (!follows && reads.every((x) => common.some((c) => c.name === x.local))) common.push(l)
  }
  return { common, own: wanted.filter((l) => !common.includes(l)) }
}

/** Whether an axis of a store has several blocks. */
export const cutBy =
  (store: Store, { tile }: StoreSchedule) =>
  (axis: string): boolean => {
    const { block } = tile[axis] ?? { block: 1 }
    const extent = literalExtent(store.axes.find((a) => a.name === axis)!.extent)
    return block !== "all" && (extent === undefined || extent > block)
  }
