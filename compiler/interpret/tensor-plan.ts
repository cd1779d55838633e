/**
 * What the tensor interpreter keeps in memory and what it evaluates on the fly.
 *
 *   %2 = map $0 * $1 of x[seq, embed], w[embed, out]      never in memory: evaluated inside the loop of its only consumer
 *   %3 = reduce sum over embed of %2                      in memory
 *
 * Reductions, scans, updates, calls and roots are in memory. A map, reindex, gather or iota is evaluated on the fly when its consumers visit each
 * of its elements about once; one that several consumers read, or that is broadcast, is computed once and kept, unless it is very large.
 * Extents are counted at the symbols' hints: the plan of a program serves all lengths.
 */

import { type Dim, hinted } from "../ir/dim.js"
import { identity } from "../ir/expression.js"
import { monoidKey } from "../ir/monoid.js"
import { sources, topological } from "../ir/tensor/walk.js"
import type { Axis, Call, Reduce, Tensor } from "../ir/tensor.js"

/** A step computes tensors: one nest of loops for nodes of one domain, or a call. */
export type Step =
  | { readonly kind: "nest"; readonly tensors: readonly Tensor[] }
  | { readonly kind: "call"; readonly calls: readonly Call[] }

export interface Plan {
  readonly steps: readonly Step[]
  readonly kept: ReadonlySet<Tensor>
}

/** Elements from which a broadcast map is recomputed rather than kept. */
const large = 1 << 20

const count = (extents: readonly Dim[]): number => extents.reduce((n, d) => n * Math.max(1, hinted(d)), 1)
const sizeOf = (t: Tensor): number => count(t.axes.map((a) => a.extent))

/** How many points a node visits: its axes, and the axis that it folds. */
function domainOf(t: Tensor): number {
  if (t.kind !== "reduce") return sizeOf(t)
  const axes = new Map<string, Axis>(t.args.flatMap((x) => x.axes.map((a) => [a.name, a])))
  return count([...axes.values()].map((a) => a.extent))
}

export function planTensors(roots: readonly Tensor[]): Plan {
  const order = topological(roots)
  const visits = new Map<Tensor, number>()
  const kept = new Set<Tensor>(roots)
  for (const t of [...order].reverse()) {
    const seen = visits.get(t) ?? 0
    if (!kept.has(t) && !flies(t, seen)) kept.add(t)
    const each = kept.has(t) ? domainOf(t) : seen
    for (const s of new Set(sources(t))) visits.set(s, (visits.get(s) ?? 0) + each)
    if (t.kind === "call") for (const s of t.args) kept.add(s)
  }
  return { steps: group(order.filter((t) => kept.has(t))), kept }
}

function flies(t: Tensor, visits: number): boolean {
  if (t.kind === "iota") return true
  if (t.kind !== "map" && t.kind !== "reindex" && t.kind !== "gather") return false
  const size = sizeOf(t)
  return visits <= size || (size > large && visits <= 4 * size)
}

/** Calls of one application and components of one reduction are computed together. */
function group(order: readonly Tensor[]): readonly Step[] {
  const steps: Step[] = []
  const groups = new Map<string, Tensor[]>()
  for (const t of order) {
    if (t.kind === "input" || t.kind === "constant") continue
    const key = groupKey(t)
    const known = groups.get(key)
    if (known !== undefined) {
      known.push(t)
      continue
    }
    const members = [t]
    groups.set(key, members)
    steps.push(t.kind === "call" ? { kind: "call", calls: members as Call[] } : { kind: "nest", tensors: members })
  }
  return steps
}

const list = (xs: readonly object[]) => xs.map(identity).join(" ")

function groupKey(t: Tensor): string {
  if (t.kind === "call") return `call ${identity(t.unit)} ${list(t.args)}`
  return t.kind === "reduce" ? foldKey(t) : `one ${identity(t)}`
}

const foldKey = (t: Reduce) => `fold ${monoidKey(t.monoid)} ${t.axis} ${t.slot ?? ""} ${list(t.args)}`
