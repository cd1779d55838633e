/**
 * snapshot: tensor → tensor. A state that is replaced as a whole and still read as it was is copied first.
 *
 *   new = update s by x;  y = s + new      →   old = map $0 (s);  new = update s by x;  y = old + new
 *
 * States change in place, and a kernel that reads the old value would otherwise have to run before the one that writes the new. Only what the
 * new value is made of surely does. What is appended needs no copy: nobody reads there.
 */

import { variable } from "../ir/expression.js"
import type { Storage } from "../ir/loop.js"
import { homeOf, rebuild, sources, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"

export interface Snapshot {
  /** The same results, reading copies. */
  readonly results: readonly ir.Tensor[]
  /** The copies: to be stored before anything else, as the states lie in memory. A unit that is given one knows no other form. */
  readonly copies: ReadonlyMap<ir.Tensor, Storage>
}

export function snapshot(results: readonly ir.Tensor[]): Snapshot {
  const order = topological(results)
  const writers = new Map<ir.Input, ir.Tensor[]>()
  for (const t of order) {
    const state = replaced(t)
    if (state !== undefined) writers.set(state, [...(writers.get(state) ?? []), t])
  }
  const memo = new Map<ir.Tensor, ir.Tensor>()
  for (const [state, ts] of writers)
    if (isReadLate(state, ts, order)) memo.set(state, ir.map(variable("$0", state.dtype), [state]))
  const copies = new Map([...writers.keys()].flatMap((s) => (memo.has(s) ? [[memo.get(s)!, s.storage] as const] : [])))
  if (copies.size === 0) return { results, copies }
  for (const t of order) {
    if (t.kind === "input" || t.kind === "constant" || t.kind === "iota") continue
    const written = writesOf(t)
    const now = sources(t).map((s) => (written.has(s) ? s : (memo.get(s) ?? s)))
    memo.set(t, rebuild(t, now))
  }
  return { results: results.map((t) => (t.kind === "input" ? t : (memo.get(t) ?? t))), copies }
}

/** The state that a node replaces as a whole, itself or through a unit. */
function replaced(t: ir.Tensor): ir.Input | undefined {
  if (t.kind === "update") return t.axis === undefined ? t.state : undefined
  return t.kind === "call" && replaced(t.unit.results[t.result]!) !== undefined ? homeOf(t) : undefined
}

/** The states that a node is given to write, not to read. */
function writesOf(t: ir.Tensor): ReadonlySet<ir.Tensor> {
  if (t.kind === "update") return new Set([t.state])
  if (t.kind !== "call") return new Set()
  return new Set(t.unit.results.flatMap((_, result) => replaced({ ...t, result }) ?? []))
}

/** Whether something that the writers do not depend on is made of the state as it was. */
function isReadLate(state: ir.Input, writers: readonly ir.Tensor[], order: readonly ir.Tensor[]): boolean {
  const before = new Set(topological(writers))
  const made = new Set<ir.Tensor>([state])
  for (const t of order) {
    const written = writesOf(t)
    const reads = sources(t).some((s) => made.has(s) && !(s === state && written.has(s)))
    if (!reads) continue
    if (!before.has(t)) return true
    // What a writer makes is the new value.
    if (!written.has(state)) made.add(t)
  }
  return false
}
