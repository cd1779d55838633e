/**
 * Operands of products for matrix units: what many blocks of a product read for their rows has memory, rounded to what the units multiply.
 *
 *   n[s, k] = g[k] · x[s, k];  r[s] = 1 / √(Σ_k x[s, k]²);  Σ_k n · w[o, k] · r  over 4096 o   →   n and r have memory: 32 blocks of 128 o copy them
 */
import { maximum } from "../ir/dim.js"
import type { Axis, Tensor } from "../ir/tensor.js"
import { cutRules } from "./rules.js"

/** Whether some axes have rows enough for matrix units. */
export const hasRows = (axes: readonly Axis[]): boolean =>
  axes.reduce((n, a) => n * Math.max(1, maximum(a.extent)), 1) >= cutRules.rowsOfUnits

/** Whether all that becomes of a tensor are sums of products with it, over many of its rows. */
export function isOperandOfRows(t: Tensor, consumers: (t: Tensor) => readonly Tensor[]): boolean {
  const folded = foldedOf(t, consumers)
  return folded !== undefined && hasRows(t.axes.filter((a) => !folded.has(a.name)))
}

/** The axes that products with a tensor are summed up over; undefined where anything else becomes of it. */
function foldedOf(t: Tensor, consumers: (t: Tensor) => readonly Tensor[]): ReadonlySet<string> | undefined {
  const found = new Set<string>()
  for (const o of consumers(t)) {
    if (o.kind === "reindex") {
      const inner = foldedOf(o, consumers)
      if (inner === undefined) return undefined
      for (const name of inner) found.add(name)
    } else {
      const readers = o.kind === "map" ? consumers(o) : []
      if (readers.length === 0) return undefined
      for (const r of readers) {
        if (r.kind !== "reduce" || r.monoid.kind !== "sum") return undefined
        found.add(r.axis)
      }
    }
  }
  return found
}
