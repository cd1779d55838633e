/**
 * Extents: integer expressions over literals and size symbols, never silently a number.
 *
 *   seq            a symbol with a maximum and a hint
 *   length + seq   the number of keys after a step
 */
import { evaluate, isLiteral, literal, rewrite, symbol, walk } from "./expression.js"
import { memoized } from "./memoized.js"
import type { Expression } from "./nodes.js"

export type Dim = Expression

export const dim = (x: number | Dim): Dim => (typeof x === "number" ? literal(x) : x)
export { symbol as sizeSymbol }

/** The value of a literal extent, else undefined. */
export const literalExtent = (d: Dim): number | undefined => (isLiteral(d) ? d.value : undefined)

/** An upper bound over all values of the symbols. Exact for sums, products and divisions of non-negative terms. */
export const maximum: (d: Dim) => number = memoized((d) => substituted(d, (s) => s.max), new WeakMap())

/** The value at the symbols' hints, and at the first place of axes that it depends on: what schedules and cost estimates assume. */
export const hinted: (d: Dim) => number = memoized((d) => substituted(d, (s) => s.hint), new WeakMap())

function substituted(d: Dim, choose: (s: { max: number; hint: number }) => number): number {
  if (isLiteral(d)) return d.value
  return evaluate(
    rewrite(d, (x) => (x.kind === "symbol" ? literal(choose(x)) : x.kind === "variable" ? literal(0) : undefined)),
    new Map(),
  )
}

/** The symbols that an extent depends on, by name. */
export function symbolsOf(d: Dim, into: Set<string> = new Set()): Set<string> {
  walk(d, (x) => {
    if (x.kind === "symbol") into.add(x.name)
  })
  return into
}

/** The value under a binding of the symbols. */
export const extentAt = (d: Dim, symbols: ReadonlyMap<string, number>): number => evaluate(d, symbols)
