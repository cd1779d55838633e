/**
 * Fills: the threads of a workgroup compute what it stages, as if it were a store into the workgroup's own memory.
 *
 *   w[o, k] of the block's 64 o and a chunk of 16 k   →   for i { staged[o · 20 + k] = w[64·block + o, 16·chunk + k] }
 *
 * Places beyond the end of an axis are filled from its last element; nobody reads them.
 */

import { add, apply, literal, substitute, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import { type BlockAxis, type Build, blockAxis, type Fences, laneGroup, Refused } from "../block.js"
import { emitIterations } from "../iterations.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { placeOf, type StagedArray } from "./staged.js"

/** Emits the fill of an array with `value`, which is over the axes' own names. */
export function emitFill(
  { local, array, axes, half }: StagedArray,
  value: Expression,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const at = new Map<string, Expression>()
  const places = axes.map((a): BlockAxis => {
    const place = variable(a.axis.name)
    const element = a.size === 1 ? a.base : add(a.base, place)
    at.set(a.axis.name, a.end === undefined ? element : apply("min", element, apply("sub", a.end, literal(1))))
    const tile = { block: "all", ...local.tile.tile[a.axis.name] } as const
    const all = blockAxis({ name: a.axis.name, extent: literal(a.size) }, tile, parts.fresh)
    if (a.size % all.step !== 0)
      throw new Refused("tile/indivisible", `${a.size} places of '${a.axis.name}' are no multiple of ${all.step}`)
    return all
  })
  const store: Store = {
    kind: "store",
    buffer: array,
    axes: places.map((a) => a.axis),
    index: [...(half === undefined ? [] : [half]), ...axes.map((a) => placeOf(a, variable(a.axis.name)))],
    value: substitute(value, at),
  }
  const together = Math.max(1, ...nodesOf([value], "reduce").map((r) => lowerer.folding(r.axis).group ?? 1))
  const sharing = { together, spread: together === 1 }
  emitIterations([store], places, sharing, { ...scope, lanes: laneGroup(together, parts) }, lowerer)
}

/** The array as a chunk fills it that ends before the axis does. */
export const inWholeChunk = (to: StagedArray): StagedArray => ({
  ...to,
  axes: to.axes.map((a) => (a.chunked ? { ...a, end: undefined } : a)),
})

/** The array as another chunk fills it: `at` says what becomes of the open one's number. */
export const inChunk = (to: StagedArray, at: ReadonlyMap<string, Expression>): StagedArray => ({
  ...to,
  axes: to.axes.map((a) => ({ ...a, base: substitute(a.base, at) })),
  half: to.half && substitute(to.half, at),
})

export function createFences({ schedule }: Build): Fences {
  const [written, read] = [new Set<string>(), new Set<string>()]
  const barrier = (out: Statement[]) => {
    if (schedule.threads > 1) out.push({ kind: "barrier" })
    written.clear()
    read.clear()
  }
  return {
    barrier,
    settle: (out) => {
      if (written.size > 0) barrier(out)
    },
    before: (name, value, out) => {
      const reads = nodesOf([value], "localRead").map((x) => x.local)
      const taken = name !== undefined && (written.has(name) || read.has(name))
      if (taken || reads.some((r) => written.has(r))) barrier(out)
      for (const r of reads) read.add(r)
      if (name !== undefined) written.add(name)
    },
  }
}
