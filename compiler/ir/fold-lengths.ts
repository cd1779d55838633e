/** How many elements folds have at most: what is read off a kernel before anything is laid out. */

import { operands, variable } from "./expression.js"
import type { Kernel } from "./kernel.js"
import type { Expression, Reduce, Scan } from "./nodes.js"
import { chainOf } from "./query.js"
import { rangeOf } from "./ranges.js"

/** Elements that a fold may have at most to be one loop: as many as have been measured to be harmless in models. */
export const longestLoop = 4096

/**
 * Elements of an axis at most, by the memory that a fold reads along it in any case: what does not fit in there cannot be folded.
 *
 *   sum_{key < past + seq}(p[key] · v[key, dim]) with v of 4,096 × 128   →   4,096, whatever the largest past and the largest seq are
 */
export function capacityAlong({ axis, lift }: Reduce, { buffers }: Pick<Kernel, "buffers">): number {
  const along = variable(axis)
  let most = Number.POSITIVE_INFINITY
  const seen = new Set<Expression>()
  const visit = (x: Expression): void => {
    if (seen.has(x)) return
    seen.add(x)
    if (x.kind === "load") {
      const at = x.index.indexOf(along)
      const found = at < 0 ? undefined : buffers.find((b) => b.name === x.buffer)?.shape[at]
      if (found !== undefined) most = Math.min(most, found)
    }
    // A branch may not be taken, and a fold may have nothing to fold: what stands in there may lie beyond the end.
    if (x.kind === "reduce" || x.kind === "scan") return
    for (const o of x.kind === "operation" && x.operation === "select" ? x.args.slice(0, 1) : operands(x)) visit(o)
  }
  for (const x of lift) visit(x)
  return most
}

/** How long the folds of a kernel are. */
export interface FoldLengths {
  /** Elements of each folded axis at most. */
  readonly longest: ReadonlyMap<string, number>
  /** Axes that are part of a longer fold than one loop may be: of one over several axes, or of one that was split. */
  readonly long: ReadonlySet<string>
}

/** The lengths of folds by the ranges of symbols and axes; those of data and of what is not known are without a bound. */
export function foldLengths(kernel: Kernel): FoldLengths {
  const ranges = new Map<string, { readonly low: number; readonly high: number }>()
  const longest = new Map<string, number>()
  const bound = (axis: string, extent: Expression, more: number, capacity: number) => {
    const most = Math.max(0, Math.min(capacity, rangeOf(extent, ranges).high + more), longest.get(axis) ?? 0)
    ranges.set(axis, { low: 0, high: Math.max(0, most - 1) })
    longest.set(axis, most)
  }
  const seen = new Set<Expression>()
  const visit = (x: Expression): void => {
    if (seen.has(x)) return
    seen.add(x)
    if (x.kind === "reduce" || x.kind === "scan") foldBound(x)
    for (const o of operands(x)) visit(o)
  }
  const foldBound = (x: Reduce | Scan) => {
    if (x.kind === "reduce") bound(x.axis, x.extent, 0, capacityAlong(x, kernel))
    else bound(x.axis, x.at, 1, Number.POSITIVE_INFINITY)
  }
  // Twice: folds that share an axis may have different extents, and others may depend on it.
  for (let pass = 0; pass < 2; pass++) {
    seen.clear()
    for (const item of kernel.items) {
      for (const a of item.axes) ranges.set(a.name, { low: 0, high: Math.max(0, rangeOf(a.extent, ranges).high - 1) })
      visit(item.value)
      if (item.kind === "store") for (const i of item.index) visit(i)
    }
  }
  // A sum of sums is one sum, whichever of its axes are taken together.
  const long = new Set(kernel.long)
  for (const x of seen) {
    if (x.kind !== "reduce") continue
    const chain = chainOf(x).map((r) => r.axis)
    const whole = chain.reduce((n, axis) => n * longest.get(axis)!, 1)
    if (chain.length > 1 && (whole > longestLoop || chain.some((axis) => long.has(axis))))
      for (const axis of chain) long.add(axis)
  }
  return { longest, long }
}

/** Elements that the folds of a chain inside of each element of some folds have at most. */
export const elementsInside = (group: readonly Reduce[], longest: (axis: string) => number): number =>
  Math.max(
    1,
    ...group.map((r) =>
      chainOf(r)
        .slice(1)
        .reduce((n, inner) => n * longest(inner.axis), 1),
    ),
  )
