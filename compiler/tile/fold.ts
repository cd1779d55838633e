/**
 * Monoids in the loop language: the identity of an accumulator and how one value or one accumulator is added to another.
 *
 *   sum      acc + v
 *   argmax   (v > acc || v == acc && i < at) ? (v, i) : (acc, at)      and NaN before numbers
 *   top(k)   insertion into k ordered pairs, unrolled
 *   online  the terms of its recipe (online-step.ts)
 *
 * An accumulator is a flat list of expressions: per part of a product its components, for `top` the k values and then the k indices.
 */
import { fault } from "../../runtime/errors.js"
import { apply, literal, splat } from "../ir/expression.js"
import {
  componentCount,
  identityValue,
  liftCount,
  type Monoid,
  type MonoidPart,
  monoidParts,
  noIndex,
} from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import type { DType } from "../ir/operations.js"
import { recipeOf } from "../ir/recipes.js"
import { onlineAppend, onlineIdentity, onlineMerge } from "./online-step.js"

const partSize = (m: MonoidPart): number => (m.kind === "top" ? 2 * m.k : componentCount(m))

/** Whether an accumulator is one number that is folded with each element as it is. */
export const isPlain = (m: Monoid): boolean => m.kind === "sum" || m.kind === "max" || m.kind === "min"

/** Whether each component of an accumulator is folded for itself, so that they may be assigned one after the other. */
export const isComponentwise = (m: Monoid): boolean => monoidParts(m).every(({ monoid }) => isPlain(monoid))

/** The identity, `width` lanes wide. `types` are the dtypes of the lifted values. */
export function identityOf(m: Monoid, types: readonly DType[], width: number): readonly Expression[] {
  return monoidParts(m).flatMap(({ monoid, at }) => {
    const dtype = types[at]!
    if (monoid.kind === "sum" || monoid.kind === "max" || monoid.kind === "min")
      return [splat(literal(identityValue(monoid.kind, dtype), dtype), width)]
    if (monoid.kind === "online") return onlineIdentity(recipeOf(monoid.recipe), monoid.channels, width)
    const k = monoid.kind === "top" ? monoid.k : 1
    const values = Array.from({ length: k }, () => splat(literal(identityValue("max", dtype), dtype), width))
    return [...values, ...Array.from({ length: k }, () => splat(literal(noIndex), width))]
  })
}

/** The accumulator after one lifted tuple. */
export function append(
  m: Monoid,
  accumulator: readonly Expression[],
  lift: readonly Expression[],
): readonly Expression[] {
  let from = 0
  return monoidParts(m).flatMap(({ monoid, at }) => {
    const mine = accumulator.slice(from, from + partSize(monoid))
    from += partSize(monoid)
    return appendPart(monoid, mine, lift.slice(at, at + liftCount(monoid)))
  })
}

/** Two accumulators into one; `left` holds the lower indices or ties are settled by index. */
export function combine(m: Monoid, left: readonly Expression[], right: readonly Expression[]): readonly Expression[] {
  let from = 0
  return monoidParts(m).flatMap(({ monoid }) => {
    const size = partSize(monoid)
    const a = left.slice(from, from + size)
    const b = right.slice(from, from + size)
    from += size
    if (monoid.kind === "online") return onlineMerge(recipeOf(monoid.recipe), a, b, monoid.loose)
    if (monoid.kind !== "top") return appendPart(monoid, a, b)
    let merged: readonly Expression[] = a
    for (let s = 0; s < monoid.k; s++) merged = appendPart(monoid, merged, [b[s]!, b[monoid.k + s]!])
    return merged
  })
}

function appendPart(m: MonoidPart, acc: readonly Expression[], lift: readonly Expression[]): readonly Expression[] {
  switch (m.kind) {
    case "sum":
      return [lift[0]!.dtype === "bool" ? apply("or", acc[0]!, lift[0]!) : apply("add", acc[0]!, lift[0]!)]
    case "max":
      return [apply(m.loose === true ? "looseMax" : "max", acc[0]!, lift[0]!)]
    case "min":
      return [apply("min", acc[0]!, lift[0]!)]
    case "argmax": {
      const better = beats(lift[0]!, lift[1]!, acc[0]!, acc[1]!)
      return [apply("select", better, lift[0]!, acc[0]!), apply("select", better, lift[1]!, acc[1]!)]
    }
    case "top": {
      const { k } = m
      const wins = Array.from({ length: k }, (_, s) => beats(lift[0]!, lift[1]!, acc[s]!, acc[k + s]!))
      const place = (s: number, offset: number, value: Expression) => {
        const moved = s === 0 ? value : apply("select", wins[s - 1]!, acc[offset + s - 1]!, value)
        return apply("select", wins[s]!, moved, acc[offset + s]!)
      }
      return [
        ...Array.from({ length: k }, (_, s) => place(s, 0, lift[0]!)),
        ...Array.from({ length: k }, (_, s) => place(s, k, lift[1]!)),
      ]
    }
    case "online":
      return onlineAppend(recipeOf(m.recipe), acc, lift, m.loose)
    default:
      return m satisfies never
  }
}

/**
 * (v, i) comes before (w, j): larger, or equal with the lower index; NaN before every number. No comparison of a NaN is looked at, for a shader
 * compiler may take it for any.
 */
function beats(v: Expression, i: Expression, w: Expression, j: Expression): Expression {
  const lower = apply("lt", i, j)
  const larger = apply("or", apply("gt", v, w), apply("and", apply("eq", v, w), lower))
  if (v.dtype !== "f32") return larger
  const number = apply("not", apply("isNaN", w))
  return apply("select", apply("isNaN", v), apply("or", number, lower), apply("and", number, larger))
}

/** Folds that most elements of a long axis leave as they are. */
export const isSelective = (m: Monoid): m is Monoid & { readonly kind: "argmax" | "top" } =>
  m.kind === "argmax" || m.kind === "top"

/**
 * Whether an element may change the accumulator of a selective fold, by one comparison. A comparison of NaN may say anything: an element that is
 * NaN counts, and no other comes before a NaN that is kept.
 */
export function mayChange(
  m: Monoid & { readonly kind: "argmax" | "top" },
  accumulator: readonly Expression[],
  [v]: readonly Expression[],
): Expression {
  const last = accumulator[m.kind === "top" ? m.k - 1 : 0]!
  const ahead = apply("not", apply("lt", v!, last))
  return v!.dtype === "f32" ? apply("or", ahead, apply("isNaN", v!)) : ahead
}

/** The value of one component, given the accumulator; `slot` chooses the rank of a `top`. */
export function componentOf(
  m: Monoid,
  accumulator: readonly Expression[],
  index: number,
  slot: Expression | undefined,
): Expression {
  let from = 0
  for (const { monoid, component } of monoidParts(m)) {
    const own = index - component
    if (own >= 0 && own < componentCount(monoid)) {
      if (monoid.kind !== "top") return accumulator[from + own]!
      const ranks = accumulator.slice(from + own * monoid.k, from + (own + 1) * monoid.k)
      if (slot === undefined) return ranks[0]!
      // A register tile that reaches over the last rank never runs there.
      if (slot.kind === "literal") return ranks[slot.value] ?? ranks.at(-1)!
      return ranks
        .slice(0, -1)
        .reduceRight((rest, value, s) => apply("select", apply("eq", slot, literal(s)), value, rest), ranks.at(-1)!)
    }
    from += partSize(monoid)
  }
  throw fault(`no component ${index}`)
}
