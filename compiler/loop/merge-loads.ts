/**
 * merge-loads: loop → loop. Four fetches side by side become one.
 *
 *   let a = x[4·i]; let b = x[4·i + 1]; …   →   let w = x[4·i : 4]; let a = w.0; let b = w.1; …
 *
 * Only within statements that follow one another without a store to the array or a barrier between, and only where the form of the offset
 * shows that the first one is a multiple of four.
 */
import { fetch, identity, lane, rewriter, variable, walk } from "../ir/expression.js"
import { fromLinear, linear } from "../ir/linear.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { expressionsOf, freshNames, mapExpressions, storesOf, withBodies } from "../ir/loop-visit.js"
import type { Expression, Fetch } from "../ir/nodes.js"

const width = 4

export function mergeLoads(kernel: LoopKernel): LoopKernel {
  return { ...kernel, body: visit(kernel.body, freshNames(kernel.body, "wide_")) }
}

function visit(body: readonly Statement[], fresh: () => string): readonly Statement[] {
  const out: Statement[] = []
  let run: Statement[] = []
  const flush = () => {
    out.push(...merge(run, fresh))
    run = []
  }
  for (const s of body) {
    if (s.kind === "for" || s.kind === "block" || s.kind === "if" || s.kind === "barrier") {
      flush()
      out.push(withBodies(s, (inner) => visit(inner, fresh)))
      continue
    }
    run.push(s)
    if (s.kind === "wait" || s.kind === "arrived" || storesOf(s).length > 0) flush()
  }
  flush()
  return out
}

/** A fetch as one of four. */
interface Slot {
  readonly key: string
  readonly base: Expression
  readonly at: number
}

function slotOf(x: Fetch): Slot | undefined {
  const { terms, constant } = linear(x.offset)
  if ([...terms.values()].some((c) => c % width !== 0)) return undefined
  const at = ((constant % width) + width) % width
  const base = fromLinear({ terms, constant: constant - at })
  return { key: `${x.array} ${identity(base)}`, base, at }
}

function merge(run: readonly Statement[], fresh: () => string): readonly Statement[] {
  const slots = new Map<Fetch, Slot>()
  const full = new Map<string, Set<number>>()
  const seen = new Set<Expression>()
  const changed = new Set(run.flatMap((s) => (s.kind === "assign" ? [s.name] : [])))
  for (const s of run)
    for (const e of expressionsOf(s))
      walk(
        e,
        (x) => {
          if (x.kind !== "fetch" || x.width !== 1) return
          const slot = slotOf(x)
          if (slot === undefined) return
          slots.set(x, slot)
          full.set(slot.key, (full.get(slot.key) ?? new Set()).add(slot.at))
        },
        seen,
      )
  const wanted = new Set([...full].filter(([, at]) => at.size === width).map(([key]) => key))
  if (wanted.size === 0 || changed.size === run.length) return run
  const names = new Map<string, Expression>()
  const out: Statement[] = []
  const replace = rewriter((x) => {
    const slot = x.kind === "fetch" ? slots.get(x) : undefined
    if (x.kind !== "fetch" || slot === undefined || !wanted.has(slot.key)) return undefined
    let name = names.get(slot.key)
    if (name === undefined) {
      const spelled = fresh()
      out.push({ kind: "let", name: spelled, value: fetch(x.array, slot.base, x.dtype, width), mutable: false })
      name = variable(spelled, x.dtype, width)
      names.set(slot.key, name)
    }
    return lane(name, slot.at)
  })
  for (const s of run) out.push(mapExpressions(s, replace))
  return out
}
