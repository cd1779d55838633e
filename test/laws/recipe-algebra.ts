/**
 * Recipes on numbers, for the laws: what the compiler makes of a recipe's terms, compiled to float64 functions, and the two passes written out.
 *
 *   const a = algebraOf(recipes.exp, 2)
 *   a.merge(a.append(a.identity, [3, 1, 5]), a.append(a.identity, [4, 1, 7]))   →   [4, e^−1 + 1, 5e^−1 + 7]
 */
import { compileScalar } from "../../compiler/interpret/scalar.js"
import { variable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Recipe, RecipeName } from "../../compiler/ir/recipes.js"
import { onlineAppend, onlineIdentity, onlineMerge } from "../../compiler/tile/online-step.js"

type Element = readonly number[]

export interface Algebra {
  readonly identity: Element
  readonly append: (element: Element, tuple: readonly number[]) => Element
  readonly merge: (left: Element, right: Element) => Element
}

const named = (stem: string, n: number) => Array.from({ length: n }, (_, i) => variable(`${stem}${i}`, "f32"))

function compiled(results: readonly Expression[], parameters: readonly Expression[]) {
  const names = parameters.map((p) => (p.kind === "variable" ? p.name : ""))
  const functions = results.map((r) => compileScalar(r, names, "float64"))
  return (...values: number[]): Element => functions.map((f) => f(...values))
}

/** How elements are made, as the compiler does it; faults do it otherwise. */
export interface Terms {
  readonly identity: typeof onlineIdentity
  readonly append: typeof onlineAppend
  readonly merge: typeof onlineMerge
}
export const rightTerms: Terms = { identity: onlineIdentity, append: onlineAppend, merge: onlineMerge }

export function algebraOf(recipe: Recipe, channels: number, terms: Terms = rightTerms): Algebra {
  const identity = terms.identity(recipe, channels, 1)
  const [a, b] = [named("a", identity.length), named("b", identity.length)]
  const tuple = named("x", 1 + channels)
  const append = compiled(terms.append(recipe, a, tuple), [...a, ...tuple])
  const merge = compiled(terms.merge(recipe, a, b), [...a, ...b])
  return {
    identity: compiled(identity, [])(),
    append: (e, x) => append(...e, ...x),
    merge: (l, r) => merge(...l, ...r),
  }
}

/** Score and the values of the channels, per element. */
export type Row = readonly (readonly number[])[]

/** What an element must be, and in units of what it may be off. */
interface Expected {
  readonly value: number
  readonly scale: number
}

const total = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0)
const exact = (value: number): Expected => ({ value, scale: Math.abs(value) })

/** The two passes of each recipe, in plain numbers. */
export const inTwoPasses: Readonly<Record<RecipeName, (row: Row, channels: number) => readonly Expected[]>> = {
  exp: (row, channels) => {
    const pivot = row.reduce((m, [s]) => Math.max(m, s!), Number.NEGATIVE_INFINITY)
    const sums = Array.from({ length: channels }, (_, i) => {
      const terms = row.map(([s, ...x]) => (s === Number.NEGATIVE_INFINITY ? 0 : Math.exp(s! - pivot)) * x[i]!)
      return { value: total(terms), scale: total(terms.map(Math.abs)) }
    })
    return [exact(pivot), ...sums]
  },
  moments: (row) => {
    const scores = row.map(([s]) => s!)
    const sum = total(scores)
    const squares = total(scores.map((s) => s * s))
    const moment = total(scores.map((s) => (s - sum / row.length) ** 2))
    // An update by means has the condition √(Σs² / moment) (Chan, Golub and LeVeque 1979).
    const scale = moment + 1e-2 * Math.sqrt(moment * squares) + 1e-16 * squares
    return [exact(row.length), { value: sum, scale: total(scores.map(Math.abs)) }, { value: moment, scale }]
  },
}

/** Below this float64 underflows. */
const smallest = 1e-300

/** What is wrong with an online element, to 1e-12 of the scale. */
export function wrongElement(found: Element, expected: readonly Expected[]): string | undefined {
  for (const [i, { value, scale }] of expected.entries())
    if (found[i] !== value && !(Math.abs(found[i]! - value) <= 1e-12 * scale + smallest))
      return `component ${i}: ${found[i]}, not ${value} ± 1e-12 · ${scale}`
  return undefined
}
