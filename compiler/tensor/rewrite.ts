/**
 * Rewriting tensor programs bottom up, with what the program knows of its nodes.
 *
 *   rewritten(roots, (facts) => (t) => …)   →   the roots over rewritten sources; units are rewritten once, each as a program of its own
 *
 * A rule sees a node whose sources are rewritten already. `uses` answers for such a node with the consumers of what it has been.
 */

import { memoized } from "../ir/memoized.js"
import { rebuild, sources, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"

export interface Facts {
  /** The consumers before the pass of a node, and of those that have become it; undefined for new nodes and for results. */
  uses(t: ir.Tensor): readonly ir.Tensor[] | undefined
  /** What a node has been before the pass: several that have become equal, itself, or nothing where it is new. */
  was(t: ir.Tensor): readonly ir.Tensor[]
}

/** `before` is the node with the sources that it had. */
export type Rule = (facts: Facts) => (t: ir.Tensor, before: ir.Tensor) => ir.Tensor
export type Units = Map<ir.Unit, ir.Unit>

export function rewritten(roots: readonly ir.Tensor[], rule: Rule, units: Units = new Map()): readonly ir.Tensor[] {
  const order = topological(roots)
  const consumers = new Map<ir.Tensor, ir.Tensor[]>()
  for (const t of order) for (const s of new Set(sources(t))) consumers.set(s, [...(consumers.get(s) ?? []), t])
  const known = new Set(order)
  const results = new Set(roots)
  const before = new Map<ir.Tensor, ir.Tensor[]>()
  const was = (t: ir.Tensor) => [...new Set([...(before.get(t) ?? []), ...(known.has(t) ? [t] : [])])]
  const uses = (t: ir.Tensor) => {
    const been = was(t)
    return been.length === 0 || been.some((b) => results.has(b))
      ? undefined
      : been.flatMap((b) => consumers.get(b) ?? [])
  }
  const apply = rule({ uses, was })
  const memo = new Map<ir.Tensor, ir.Tensor>()
  const become = (t: ir.Tensor, made: ir.Tensor) => {
    before.set(made, [...(before.get(made) ?? []), t])
    ir.mark(made, ir.spansOf(t))
  }
  for (const t of order) {
    const now = sources(t).map((s) => memo.get(s)!)
    const rebuilt = t.kind === "call" ? ir.call(unitOf(t.unit, rule, units), now, t.result) : rebuild(t, now)
    ir.mark(rebuilt, ir.spansOf(t))
    const made = apply(rebuilt, t)
    become(t, made)
    memo.set(t, made)
  }
  return roots.map((t) => memo.get(t)!)
}

const unitOf = (unit: ir.Unit, rule: Rule, units: Units): ir.Unit =>
  memoized((u: ir.Unit) => ir.unit(u.name, u.inputs, rewritten(u.results, rule, units)), units)(unit)
