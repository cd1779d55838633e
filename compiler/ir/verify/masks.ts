/**
 * Masks: what the predicate of a fold's lift says of the elements that count.
 *
 *   online_{key}(select(key <= past + s && key > past + s - 16, …, lowest))   →   past + s − key and key − past − s + 15 are at least 0;
 *   for the rows 64·b ≤ s < 64·b + 64                                         →   keys from past + 64·b - 15 up to past + 64·b + 63
 *
 * A predicate is a conjunction of comparisons that are linear in the axes. An element whose predicate fails adds the identity, so it may be left
 * out; in an online fold this is done only where every row has some element that counts, so that no block is left without any.
 */
import { add, apply, freeVariables, literal, mul, substitute } from "../expression.js"
import { fromLinear, type Linear, linear } from "../linear.js"
import { identityValue } from "../monoid.js"
import type { Expression, Reduce } from "../nodes.js"
import { recipeOf } from "../recipes.js"
import type { Axis } from "../tensor.js"

/** Where a variable lies: from `low` up to `high`, both inclusive. */
export interface Span {
  readonly low: Expression
  readonly high: Expression
}

/** A lift that is `value` where all of `bounds` are at least 0, else the identity. */
export interface Masked {
  readonly bounds: readonly Linear[]
  readonly value: Expression
}

/** The parts of a lift that adds the identity of `fold` where its predicate fails. */
export function maskedLift(lift: Expression, fold: "max" | "min" | "sum"): Masked | undefined {
  if (lift.kind !== "operation" || lift.operation !== "select") return undefined
  const [condition, value, otherwise] = lift.args as [Expression, Expression, Expression]
  if (otherwise.kind !== "literal" || otherwise.value !== identityValue(fold, lift.dtype)) return undefined
  const bounds = boundsOf(condition)
  return bounds && { bounds, value }
}

/** The predicate of a fold's lift, where elements that fail it may be left out. */
export function maskOf(r: Reduce, rows: readonly Axis[]): Masked | undefined {
  const mask = maskOfLift(r)
  if (mask === undefined || r.monoid.kind !== "online") return mask
  return everyRowCounts(mask, { name: r.axis, extent: r.extent }, rows) ? mask : undefined
}

/** The predicate of a fold's lift: an element that fails it adds nothing where others count. */
export function maskOfLift(r: Reduce): Masked | undefined {
  const { kind } = r.monoid
  if (kind === "sum" || kind === "max" || kind === "min") return maskedLift(r.lift[0]!, kind)
  if (kind !== "online") return undefined
  const [pivot] = recipeOf(r.monoid.recipe).pivots
  return pivot?.of === "$0" ? maskedLift(r.lift[0]!, pivot.fold) : undefined
}

/** What is at least 0 where a conjunction of linear comparisons holds, and nowhere else; undefined where it is none. */
export function boundsOf(condition: Expression): readonly Linear[] | undefined {
  const bounds = conjuncts(condition).map(boundOf)
  return bounds.every((b) => b !== undefined) ? (bounds as readonly Linear[]) : undefined
}

function conjuncts(x: Expression): readonly Expression[] {
  return x.kind === "operation" && x.operation === "and" ? x.args.flatMap(conjuncts) : [x]
}

/** A comparison of integers as a sum that is at least 0. */
function boundOf(x: Expression): Linear | undefined {
  if (x.kind !== "operation" || x.args[0]?.dtype !== "i32" || x.args.length !== 2) return undefined
  const [a, b] = x.args as [Expression, Expression]
  const minus = (p: Expression, q: Expression, less: number) => linear(add(apply("sub", p, q), literal(-less)))
  switch (x.operation) {
    case "le":
      return minus(b, a, 0)
    case "lt":
      return minus(b, a, 1)
    case "ge":
      return minus(a, b, 0)
    case "gt":
      return minus(a, b, 1)
    default:
      return undefined
  }
}

/** The form without an axis. */
export const without = ({ terms, constant }: Linear, axis: string): Linear => ({
  terms: new Map([...terms].filter(([e]) => !(e.kind === "variable" && e.name === axis))),
  constant,
})

export const coefficient = ({ terms }: Linear, axis: string): number => {
  for (const [e, c] of terms) if (e.kind === "variable" && e.name === axis) return c
  return 0
}

/**
 * The linear form with variables at the ends of their spans where it is largest (or smallest); undefined where a term is no multiple of such a
 * variable, which could be anything.
 */
export function extreme(x: Linear, spans: ReadonlyMap<string, Span>, largest: boolean): Expression | undefined {
  let sum: Expression = literal(x.constant)
  for (const [e, c] of x.terms) {
    const span = e.kind === "variable" ? spans.get(e.name) : undefined
    const value = span === undefined ? fixed(e, spans) : c > 0 === largest ? span.high : span.low
    if (value === undefined) return undefined
    sum = add(mul(value, literal(c)), sum)
  }
  return fromLinear(linear(sum))
}

/** A term whose variables have one place each. */
function fixed(term: Expression, spans: ReadonlyMap<string, Span>): Expression | undefined {
  const at = new Map<string, Expression>()
  for (const name of freeVariables(term)) {
    const span = spans.get(name)
    if (span !== undefined && span.low !== span.high) return undefined
    if (span !== undefined) at.set(name, span.low)
  }
  return substitute(term, at)
}

/** The first and the end of the elements of `axis` that count for some row; undefined: no bound. */
function contributing(
  { bounds }: Masked,
  axis: string,
  rows: ReadonlyMap<string, Span>,
): { readonly first: Expression | undefined; readonly end: Expression | undefined } {
  let first: Expression | undefined
  let end: Expression | undefined
  for (const b of bounds) {
    const c = coefficient(b, axis)
    if (Math.abs(c) !== 1) continue
    const rest = without(b, axis)
    if ([...rest.terms.keys()].some((e) => freeVariables(e).has(axis))) continue
    // c = −1: axis ≤ rest for some row, so axis ≤ max rest. c = 1: axis ≥ −rest, so axis ≥ −max rest.
    const most = extreme(rest, rows, true)
    if (most === undefined) continue
    if (c < 0) end = end === undefined ? add(most, literal(1)) : apply("min", end, add(most, literal(1)))
    else {
      const least = apply("sub", literal(0), most)
      first = first === undefined ? least : apply("max", first, least)
    }
  }
  return { first, end }
}

/** The first and the end of the elements that count for some row of some of the predicates; undefined: no bound, as without a predicate. */
export function contributingAny(
  masks: readonly Masked[],
  axis: string,
  rows: ReadonlyMap<string, Span>,
): { readonly first: Expression | undefined; readonly end: Expression | undefined } {
  const bounds = masks.map((m) => contributing(m, axis, rows))
  const all = (xs: readonly (Expression | undefined)[], join: "min" | "max") =>
    xs.length === 0 || xs.some((x) => x === undefined)
      ? undefined
      : (xs as readonly Expression[]).reduce((a, b) => apply(join, a, b))
  return {
    first: all(
      bounds.map((b) => b.first),
      "min",
    ),
    end: all(
      bounds.map((b) => b.end),
      "max",
    ),
  }
}

/** Whether every row has an element that counts: one at the place where an upper bound ends, or the first. */
function everyRowCounts({ bounds }: Masked, axis: Axis, rows: readonly Axis[]): boolean {
  const candidates: Expression[] = [literal(0)]
  for (const b of bounds) if (coefficient(b, axis.name) === -1) candidates.push(fromLinear(without(b, axis.name)))
  return candidates.some((at) => {
    const inDomain = [linear(at), linear(apply("sub", add(axis.extent, literal(-1)), at))]
    const held = bounds.map((b) => {
      const rest = fromLinear(without(b, axis.name))
      return linear(add(rest, mul(at, literal(coefficient(b, axis.name)))))
    })
    return [...inDomain, ...held].every((x) => neverNegative(x, rows))
  })
}

/** Proves a sum of rows and symbols to be at least 0, whatever they are; a row lies in its axis, a symbol is at least 0. */
export function neverNegative(x: Linear, rows: readonly Axis[]): boolean {
  const spans = new Map(rows.map((a) => [a.name, { low: literal(0), high: add(a.extent, literal(-1)) }] as const))
  const least = extreme(x, spans, false)
  if (least === undefined) return false
  const { terms, constant } = linear(least)
  return constant >= 0 && [...terms].every(([e, c]) => c >= 0 && e.kind === "symbol")
}
