/**
 * Ranges of integer expressions: which values an index takes when its variables run over theirs.
 *
 *   past + i            with i in 0 … 2, past = 10      →   10 … 12, three values
 *   (j + 64) mod 128    with j in 0 … 127               →   0 … 127
 *   table[i]            with i in 0 … 2                 →   anything, but three values at most
 *   key ≤ past          with key in 0 … 40959           →   key in 0 … past, where the condition holds
 *
 * `count` bounds the number of values; a range whose count is its length has all of them. Sizes are numbers here, not symbols.
 */
import { freeVariables } from "../ir/expression.js"
import { type Linear, linear } from "../ir/linear.js"
import type { Expression } from "../ir/nodes.js"

export interface Range {
  readonly low: number
  readonly high: number
  /** Distinct values at most. */
  readonly count: number
}

/** The values of the size symbols, and what the variables run over. */
export interface Ranges {
  readonly sizes: ReadonlyMap<string, number>
  readonly variables: ReadonlyMap<string, Range>
}

export const between = (low: number, high: number, count = high - low + 1): Range => ({
  low,
  high,
  count: Math.max(0, Math.min(count, high - low + 1)),
})

/** Points that the variables of expressions span together. */
export function pointsOf(xs: readonly Expression[], { variables }: Ranges): number {
  const names = new Set(xs.flatMap((x) => [...freeVariables(x)]))
  return [...names].reduce((n, name) => n * (variables.get(name)?.count ?? 1), 1)
}

export function rangeOf(x: Expression, ranges: Ranges): Range {
  const count = pointsOf([x], ranges)
  const unknown: Range = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, count }
  const inner = (i: number) => rangeOf(operation.args[i]!, ranges)
  if (x.kind === "literal") return between(x.value, x.value)
  if (x.kind === "variable") return ranges.variables.get(x.name) ?? unknown
  if (x.kind === "symbol") {
    const value = ranges.sizes.get(x.name)
    return value === undefined ? unknown : between(value, value)
  }
  if (x.kind !== "operation") return unknown
  const operation = x
  switch (x.operation) {
    case "add":
    case "sub":
    case "neg":
      return sumOf(linear(x), ranges, count)
    case "mul": {
      const [p, q] = [inner(0), inner(1)]
      const ends = [p.low * q.low, p.low * q.high, p.high * q.low, p.high * q.high]
      return between(Math.min(...ends), Math.max(...ends), Math.min(count, p.count * q.count))
    }
    case "min":
    case "max": {
      const [p, q] = [inner(0), inner(1)]
      const choose = Math[x.operation]
      return between(choose(p.low, q.low), choose(p.high, q.high), Math.min(count, p.count * q.count))
    }
    case "floordiv":
    case "div": {
      const [p, by] = [inner(0), inner(1)]
      if (by.low !== by.high || by.low <= 0 || (x.operation === "div" && p.low < 0)) return unknown
      return between(Math.floor(p.low / by.low), Math.floor(p.high / by.low), count)
    }
    case "floormod":
    case "rem": {
      const [p, by] = [inner(0), inner(1)]
      if (by.low !== by.high || by.low <= 0 || (x.operation === "rem" && p.low < 0)) return unknown
      const turns = Math.floor(p.low / by.low)
      const wraps = turns !== Math.floor(p.high / by.low)
      return wraps ? between(0, by.low - 1, count) : between(p.low - turns * by.low, p.high - turns * by.low, p.count)
    }
    case "select": {
      const [when, otherwise] = [narrow(x.args[0]!, true, ranges), narrow(x.args[0]!, false, ranges)]
      const [p, q] = [when && rangeOf(x.args[1]!, when), otherwise && rangeOf(x.args[2]!, otherwise)]
      if (p === undefined || q === undefined) return p ?? q ?? between(0, -1)
      return between(Math.min(p.low, q.low), Math.max(p.high, q.high), p.count + q.count)
    }
    default:
      return unknown
  }
}

function sumOf({ terms, constant }: Linear, ranges: Ranges, points: number): Range {
  let [low, high, count] = [constant, constant, 1]
  for (const [atom, factor] of terms) {
    const range = rangeOf(atom, ranges)
    low += Math.min(factor * range.low, factor * range.high)
    high += Math.max(factor * range.low, factor * range.high)
    count *= range.count
  }
  return between(low, high, Math.min(points, count))
}

/** The ranges where `condition` is `truth`; undefined where it never is. What a condition does not tell of a variable stays as it was. */
export function narrow(condition: Expression, truth: boolean, ranges: Ranges): Ranges | undefined {
  if (condition.kind === "literal") return (condition.value !== 0) === truth ? ranges : undefined
  if (condition.kind !== "operation") return ranges
  const [a, b] = condition.args
  if (condition.operation === "not") return narrow(a!, !truth, ranges)
  if (condition.operation === (truth ? "and" : "or")) {
    const first = narrow(a!, truth, ranges)
    return first && narrow(b!, truth, first)
  }
  if (a?.dtype !== "i32" || b === undefined) return ranges
  const atMost = (x: Expression, y: Expression, less: number, here: Ranges) =>
    notPositive(difference(linear(x), linear(y), less), here)
  switch (truth ? condition.operation : opposite[condition.operation]) {
    case "le":
      return atMost(a, b, 0, ranges)
    case "lt":
      return atMost(a, b, 1, ranges)
    case "ge":
      return atMost(b, a, 0, ranges)
    case "gt":
      return atMost(b, a, 1, ranges)
    case "eq": {
      const below = atMost(a, b, 0, ranges)
      return below && atMost(b, a, 0, below)
    }
    default:
      return ranges
  }
}

const opposite: Readonly<Record<string, string>> = { le: "gt", lt: "ge", ge: "lt", gt: "le", ne: "eq" }

function difference(a: Linear, b: Linear, plus: number): Linear {
  const terms = new Map(a.terms)
  for (const [atom, factor] of b.terms) terms.set(atom, (terms.get(atom) ?? 0) - factor)
  return { terms, constant: a.constant - b.constant + plus }
}

/** The ranges where a sum is 0 at most: each variable in it is bounded by the least that the others can be. */
function notPositive({ terms, constant }: Linear, ranges: Ranges): Ranges | undefined {
  const variables = new Map(ranges.variables)
  for (const [atom, factor] of terms) {
    if (factor === 0) continue
    let rest = constant
    for (const [other, by] of terms) {
      const range = rangeOf(other, ranges)
      if (other !== atom && by !== 0) rest += Math.min(by * range.low, by * range.high)
    }
    const own = rangeOf(atom, ranges)
    if (rest + Math.min(factor * own.low, factor * own.high) > 0) return undefined
    if (atom.kind !== "variable" || !Number.isFinite(rest) || !variables.has(atom.name)) continue
    const low = factor < 0 ? Math.max(own.low, Math.ceil(rest / -factor)) : own.low
    const high = factor > 0 ? Math.min(own.high, Math.floor(-rest / factor)) : own.high
    variables.set(atom.name, between(low, high, own.count))
  }
  if (terms.size === 0 && constant > 0) return undefined
  return { ...ranges, variables }
}

/** Places that the axes of an extent have at most, for them to be looked at one by one. */
const fewPlaces = 1024

/**
 * The ranges with the axes that an extent depends on at each of their places: the parts of an axis are folds of different lengths. As they are
 * when the extent depends on none, or on too many places.
 */
export function placesOf(extents: readonly Expression[], ranges: Ranges): readonly Ranges[] {
  const names = [...new Set(extents.flatMap((x) => [...freeVariables(x)]))].filter((n) => ranges.variables.has(n))
  const places = names.reduce((n, name) => n * ranges.variables.get(name)!.count, 1)
  if (names.length === 0 || !(places <= fewPlaces)) return [ranges]
  return names.reduce<readonly Ranges[]>(
    (all, name) =>
      all.flatMap((r) => {
        const { low, high } = r.variables.get(name)!
        return Array.from({ length: high - low + 1 }, (_, i) => ({
          ...r,
          variables: new Map(r.variables).set(name, between(low + i, low + i)),
        }))
      }),
    [ranges],
  )
}
