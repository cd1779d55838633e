/**
 * The bytes that a kernel has to move: every element that it touches, once per launch.
 *
 *   store y[o] over o < 256 = sum_{k < 64}(x[k] · w[o, k])           reads 64 of x and 16,384 of w, writes 256 of y
 *   store y[e] over e < 64 = table[index[0], e]                      reads one row of the table, whichever it is
 *   store s[past + i, c] over i < 1, c < 8 = …                       writes one row of the state
 *   sum_{key < length}(select(key > past − 16, v[key], 0))           reads the 16 rows for which the condition holds
 *
 * Found from the index expressions alone, so it holds for any program. An element that several workgroups read counts once: what they read
 * again is a matter of caches. Where an index comes from data, as many rows count as there are indices, and never more than there are rows.
 */

import { operands } from "../ir/expression.js"
import { bufferOf, type Item, type Kernel } from "../ir/kernel.js"
import { storageBytes } from "../ir/loop.js"
import type { Expression, Load, LocalRead, Reduce } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import { maskOfLift } from "../ir/verify/masks.js"
import { between, narrow, placesOf, pointsOf, type Range, type Ranges, rangeOf } from "./ranges.js"

export interface BufferTraffic {
  readonly buffer: string
  /** Elements. */
  readonly read: number
  readonly written: number
  readonly bytes: number
}

/** What a kernel touches of each of its buffers when the size symbols have these values. */
export function trafficOf(kernel: Kernel, sizes: ReadonlyMap<string, number>): readonly BufferTraffic[] {
  const reads = new Map<string, Box[]>()
  const writes = new Map<string, Box[]>()
  const note = (into: Map<string, Box[]>, buffer: string, index: readonly Expression[], ranges: Ranges) => {
    const box = boxOf(index, bufferOf(kernel, buffer).shape, ranges)
    into.set(buffer, [...(into.get(buffer) ?? []), box])
  }
  for (const item of kernel.items) {
    const ranges = axesOf(item, sizes)
    if (ranges === undefined) continue
    const load = (x: Load | LocalRead, at: Ranges) => {
      if (x.kind === "load") note(reads, x.buffer, x.index, at)
    }
    for (const at of placesOf(extentsIn([item.value]), ranges)) visitReads(item.value, at, load)
    if (item.kind === "local") continue
    for (const i of item.index) visitReads(i, ranges, load)
    note(writes, item.buffer, item.index, ranges)
  }
  return kernel.buffers.map(({ name, storage, shape }) => {
    const read = elements(reads.get(name) ?? [], shape)
    const written = elements(writes.get(name) ?? [], shape)
    return { buffer: name, read, written, bytes: (read + written) * storageBytes(storage) }
  })
}

/** The extents of the folds of some values. */
export const extentsIn = (values: readonly Expression[]): readonly Expression[] =>
  nodesOf(values, "reduce").map((r) => r.extent)

/** The ranges of an item's axes; undefined when there is no point. */
function axesOf(item: Item, sizes: ReadonlyMap<string, number>): Ranges | undefined {
  const variables = new Map<string, Range>()
  for (const { name, extent } of item.axes) {
    const { high } = rangeOf(extent, { sizes, variables })
    if (high < 1) return undefined
    variables.set(name, between(0, high - 1))
  }
  return { sizes, variables }
}

/** Calls `see` for everything that is read below `root`, with the ranges that the conditions and folds around it leave. */
export function visitReads(root: Expression, ranges: Ranges, see: (x: Load | LocalRead, ranges: Ranges) => void): void {
  const seen = new Map<Ranges, Set<Expression>>()
  const visit = (x: Expression, here: Ranges): void => {
    const known = seen.get(here) ?? new Set()
    seen.set(here, known)
    if (known.has(x)) return
    known.add(x)
    if (x.kind === "operation" && x.operation === "select") {
      const [condition, a, b] = x.args
      visit(condition!, here)
      const [when, otherwise] = [narrow(condition!, true, here), narrow(condition!, false, here)]
      if (when !== undefined) visit(a!, when)
      if (otherwise !== undefined) visit(b!, otherwise)
      return
    }
    if (x.kind === "load" || x.kind === "localRead") see(x, here)
    if (x.kind === "reduce" || x.kind === "scan") {
      const bound = x.kind === "reduce" ? rangeOf(x.extent, here).high - 1 : rangeOf(x.at, here).high
      visit(x.kind === "reduce" ? x.extent : x.at, here)
      if (bound < 0) return
      const inner = { ...here, variables: new Map(here.variables).set(x.axis, between(0, bound)) }
      // What an online fold would weigh with elements that do not count is not read.
      const counts = x.kind === "reduce" && x.monoid.kind === "online" ? conditionOf(x) : undefined
      const counting = counts === undefined ? inner : narrow(counts, true, inner)
      for (const [i, lift] of x.lift.entries()) {
        const at = i === 0 ? inner : counting
        if (at !== undefined) visit(lift, at)
      }
      return
    }
    for (const o of operands(x)) visit(o, here)
  }
  visit(root, ranges)
}

/** The condition under which an element of an online fold counts, where its score has one. */
function conditionOf(fold: Reduce): Expression | undefined {
  const [score] = fold.lift as [Expression]
  return maskOfLift(fold) === undefined || score.kind !== "operation" ? undefined : score.args[0]
}

/** Elements of a buffer: at most `count` within the ranges of the axes. */
interface Box {
  readonly axes: readonly Range[]
  readonly count: number
}

function boxOf(index: readonly Expression[], shape: readonly number[], ranges: Ranges): Box {
  const axes = index.map((x, i) => {
    const { low, high, count } = rangeOf(x, ranges)
    return between(Math.max(0, low), Math.min(shape[i]! - 1, high), count)
  })
  const inside = axes.reduce((n, { count }) => n * count, 1)
  return { axes, count: Math.min(inside, pointsOf(index, ranges)) }
}

const volume = (axes: readonly Range[]): number => axes.reduce((n, a) => n * (a.high - a.low + 1), 1)

/** Elements in the union of boxes: exact for boxes without holes, and at most the sum for the others. */
function elements(boxes: readonly Box[], shape: readonly number[]): number {
  const distinct = [...new Map(boxes.map((b) => [JSON.stringify(b), b] as const)).values()].filter((b) => b.count > 0)
  const whole = distinct.filter((b) => b.count === volume(b.axes))
  const holed = distinct.filter((b) => b.count < volume(b.axes) && !whole.some((w) => contains(w, b)))
  const total = unionOf(whole) + holed.reduce((n, b) => n + b.count, 0)
  return Math.min(
    total,
    shape.reduce((n, s) => n * s, 1),
  )
}

const contains = (outer: Box, inner: Box): boolean =>
  outer.axes.every((a, i) => a.low <= inner.axes[i]!.low && a.high >= inner.axes[i]!.high)

/** The volume of a union, along one axis after the other: between two neighbouring ends the same boxes are cut. */
function unionOf(boxes: readonly Box[], axis = 0): number {
  const [first] = boxes
  if (first === undefined) return 0
  if (axis === first.axes.length) return 1
  const ends = [...new Set(boxes.flatMap(({ axes }) => [axes[axis]!.low, axes[axis]!.high + 1]))].sort((a, b) => a - b)
  let sum = 0
  for (const [i, from] of ends.slice(0, -1).entries()) {
    const cut = boxes.filter(({ axes }) => axes[axis]!.low <= from && axes[axis]!.high >= from)
    sum += (ends[i + 1]! - from) * unionOf(cut, axis + 1)
  }
  return sum
}
