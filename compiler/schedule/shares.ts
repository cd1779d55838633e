/**
 * How a number of elements is dealt out to axes: blocks, the last axes first, and registers of what a block has.
 *
 *   spread([s, o], 128) with o of 32 elements   →   { o: 32, s: 4 }
 *   registers({ o: 32, s: 4 }, 8)               →   { o: 8, s: 1 }
 */

import { hinted, literalExtent, maximum } from "../ir/dim.js"
import type { Load, LocalRead } from "../ir/nodes.js"
import type { StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"

/** A schedule with the threads that it is made for. */
export interface Chunked {
  readonly threads: number
  readonly schedule: StoreSchedule
}

const size = (a: Axis) => Math.max(1, hinted(a.extent))
/** Elements of some axes at the hints. */
export const volume = (axes: readonly Axis[]) => axes.reduce((n, a) => n * size(a), 1)
/** The same where sizes are at their largest: that is what takes time. */
export const volumeAtMost = (axes: readonly Axis[]) => axes.reduce((n, a) => n * Math.max(1, maximum(a.extent)), 1)
/** The largest power of two up to n. */
export const power = (n: number) => 2 ** Math.floor(Math.log2(Math.max(1, n)))

/** The axis along which a load is consecutive in memory. */
export function consecutiveAxis(l: Load | LocalRead): string | undefined {
  const last = l.index.at(-1)
  return last?.kind === "variable" ? last.name : undefined
}

/** Elements by axis. */
export type Shares = ReadonlyMap<string, number>

/** Gives `count` elements to the last axes first; an axis that is larger than what is left gets a power of two. */
export function spread(axes: readonly Axis[], count: number): Shares {
  const shares = new Map<string, number>()
  let left = count
  for (const a of [...axes].reverse()) {
    const extent = literalExtent(a.extent)
    const share = extent !== undefined && extent <= left ? extent : Math.min(power(left), power(size(a)))
    shares.set(a.name, Math.max(1, share))
    left = Math.max(1, Math.floor(left / Math.max(1, share)))
  }
  return shares
}

export const product = (shares: Shares) => [...shares.values()].reduce((a, b) => a * b, 1)

/** The largest of 8, 4, 2, 1 that divides n and is at most `limit`. */
export const divisor = (n: number, limit: number) => [8, 4, 2, 1].find((d) => d <= limit && n % d === 0)!

/** Registers along some axes, the last first, at most `count` in all. */
export function registers(shares: Shares, count: number): Shares {
  const made = new Map<string, number>()
  let left = count
  for (const [name, share] of shares) {
    const take = divisor(share, left)
    made.set(name, take)
    left = Math.floor(left / take)
  }
  return made
}
