/**
 * The folds of the monoids: identity, one step, and the combination of two elements.
 *
 *   append(top(2), ["f32", "i32"], [[5, 3], [0, 7]], [5, 1])   →   [[5, 5], [0, 1]]      5 at 7 has made room for 5 at 1
 *
 * An element holds, per component, its ranks: one number, or k for `top`. A lifted tuple holds one number per component, so that (value, index) is
 * lifted for `argmax` and `top`. Ties go to the lowest index, and
 * NaN comes before every number. A sum of f32 is kept in float64 and rounded once by whoever reads it: the interpreters are
 * the more accurate side of every comparison. `stepText` is the one place that says what a step does; interpreters print it into their loops.
 */
import { fault } from "../../runtime/errors.js"
import { identityValue, type Monoid, type MonoidPart, monoidParts, noIndex } from "../ir/monoid.js"
import type { DType } from "../ir/operations.js"
import { contestBound } from "./scalar-bounds.js"
import { roundText } from "./scalar-operations.js"

/** What is folded one tuple at a time; online monoids are spelled as the two passes that they stand for (online.ts). */
export type PlainPart = Exclude<MonoidPart, { kind: "online" }>

/** The parts of a monoid none of which is online, with the offsets of their first components. */
export const plainParts = (monoid: Monoid): readonly { readonly monoid: PlainPart; readonly at: number }[] =>
  monoidParts(monoid).map(({ monoid: part, at }) => {
    if (part.kind === "online") throw fault("an online monoid is not folded by the interpreters")
    return { monoid: part, at }
  })

/** Per component its ranks. */
export type Element = readonly (readonly number[])[]

/** What a step reads and writes, as text: state variables (arrays for `top`), the lifted tuple, and their bounds where bounds are kept. */
export interface StepNames {
  readonly state: readonly string[]
  readonly tuple: readonly string[]
  readonly bound?: { readonly state: string; readonly tuple: string } | undefined
}

/** The values that a text of `stepText` refers to. */
export const stepFunctions = { precedes, insertRanked, contestBound }

/** The statement that takes one lifted tuple into the state of a monoid that is no product. */
export function stepText(part: PlainPart, dtype: DType, { state, tuple, bound }: StepNames): string {
  const [s, at] = state
  const [x, index] = tuple
  switch (part.kind) {
    case "sum": {
      const total = dtype === "f32" ? `${s} + ${x}` : dtype === "bool" ? `${s} | ${x}` : roundText(dtype, `${s} + ${x}`)
      return `${s} = ${total};${bound ? ` ${bound.state} += ${bound.tuple};` : ""}`
    }
    case "max":
    case "min": {
      const contest = bound && `contestBound(Math.${part.kind}(${s}, ${x}), ${s}, ${bound.state}, ${x}, ${bound.tuple})`
      return `${contest ? `${bound.state} = ${contest}; ` : ""}${s} = Math.${part.kind}(${s}, ${x});`
    }
    case "argmax": {
      const follow = bound ? ` ${bound.state} = ${bound.tuple};` : ""
      return `if (precedes(${x}, ${index}, ${s}, ${at})) { ${s} = ${x}; ${at} = ${index};${follow} }`
    }
    case "top":
      return bound
        ? `insertRanked(${s}, ${at}, ${x}, ${index}, ${bound.state}, ${bound.tuple});`
        : `insertRanked(${s}, ${at}, ${x}, ${index});`
    default:
      return part satisfies never
  }
}

/** Whether (x, i) comes before (y, j): NaN first, then the larger, and the lower index where they are equal. */
function precedes(x: number, i: number, y: number, j: number): boolean {
  if (Number.isNaN(x)) return !Number.isNaN(y) || i < j
  return x > y || (x === y && i < j)
}

type Ranks = number[] | Float64Array

/** Puts a pair in its place among ordered pairs and drops the last; an attribute of each pair may travel along. */
function insertRanked(values: Ranks, indices: Ranks, value: number, index: number, along?: Ranks, attribute = 0): void {
  const before = (i: number) => precedes(value, index, values[i]!, indices[i]!)
  let at = values.length
  while (at > 0 && before(at - 1)) at--
  if (at === values.length) return
  for (let i = values.length - 1; i > at; i--) {
    values[i] = values[i - 1]!
    indices[i] = indices[i - 1]!
    if (along !== undefined) along[i] = along[i - 1]!
  }
  values[at] = value
  indices[at] = index
  if (along !== undefined) along[at] = attribute
}

/** The identity of each component of a monoid that is no product. */
export function identityNumbers(part: PlainPart, dtype: DType): readonly number[] {
  return part.kind === "argmax" || part.kind === "top"
    ? [identityValue("max", dtype), noIndex]
    : [identityValue(part.kind, dtype)]
}

/** @param types the dtypes of the lifted tuple */
export function identityElement(monoid: Monoid, types: readonly DType[]): Element {
  return plainParts(monoid).flatMap(({ monoid: part, at }) =>
    identityNumbers(part, types[at]!).map((x) => new Array<number>(part.kind === "top" ? part.k : 1).fill(x)),
  )
}

/** The element after one more lifted tuple. */
export function append(monoid: Monoid, types: readonly DType[], element: Element, tuple: readonly number[]): Element {
  const made = element.map((ranks) => [...ranks])
  for (const { monoid: part, at } of plainParts(monoid)) step(part, types[at]!)(made.slice(at), tuple.slice(at))
  return made
}

/** The element of two folds side by side, `a` before `b`. */
export function combine(monoid: Monoid, types: readonly DType[], a: Element, b: Element): Element {
  const made = a.map((ranks) => [...ranks])
  for (const { monoid: part, at } of plainParts(monoid)) {
    const components = identityNumbers(part, types[at]!).length
    const pairs = b.slice(at, at + components)
    pairs[0]!.forEach((_, rank) => {
      const tuple = pairs.map((ranks) => ranks[rank]!)
      step(part, types[at]!)(made.slice(at), tuple)
    })
  }
  return made
}

type Step = (element: number[][], tuple: readonly number[]) => void
const steps = new Map<string, Step>()

function step(part: PlainPart, dtype: DType): Step {
  const key = `${part.kind} ${dtype}`
  const known = steps.get(key)
  if (known !== undefined) return known
  const state = part.kind === "top" ? ["e[0]", "e[1]"] : ["e[0][0]", "e[1][0]"]
  const text = stepText(part, dtype, { state, tuple: ["x[0]", "x[1]"] })
  const names = Object.keys(stepFunctions)
  const compiled = new Function(...names, `return (e, x) => { ${text} }`)(...Object.values(stepFunctions)) as Step
  steps.set(key, compiled)
  return compiled
}
