/**
 * Monoids as data: what a reduction folds with.
 *
 *   sum            (0, +)                       one component
 *   max, min       (∓∞ for f32, the extremes of the integers); NaN if any element is
 *   argmax         (value, index), the lowest index on ties; NaN comes before every number
 *   top(k)         k ordered (value, index) pairs, the lowest index first on ties; its results gain a slot
 *   loose max      max, but where an element is NaN, or the largest are zeros of both signs, any of them; for pivots
 *   online        the pivots and channels of a recipe (recipes.ts), lifted from the score and one value per channel
 *   product        several monoids side by side over one axis; the components follow one another
 *
 * An element is lifted from as many values as it has components, but for an online one: there the recipe says how many pivots come of a score.
 */
import type { DType } from "./operations.js"
import { type Pivot, type RecipeName, recipeOf } from "./recipes.js"

export type Monoid =
  | { readonly kind: "sum" | "min" | "argmax" }
  | { readonly kind: "max"; readonly loose?: boolean }
  | { readonly kind: "top"; readonly k: number }
  | Online
  | { readonly kind: "product"; readonly parts: readonly Monoid[] }

export interface Online {
  readonly kind: "online"
  readonly recipe: RecipeName
  readonly channels: number
  /** Whether nobody reads the pivots but the fold itself: those that may lose NaN do then. */
  readonly loose?: boolean
}

/** A monoid that is no product. */
export type MonoidPart = Exclude<Monoid, { kind: "product" }>

export const sum: Monoid = { kind: "sum" }
export const max: Monoid = { kind: "max" }
export const min: Monoid = { kind: "min" }
export const argmax: Monoid = { kind: "argmax" }
export const top = (k: number): Monoid => ({ kind: "top", k })
export const onlineMonoid = (recipe: RecipeName, channels: number): Online => ({ kind: "online", recipe, channels })
export const loose = (m: Online): Online => ({ ...m, loose: true })
/** The fold of a pivot by itself. */
export const pivotMonoid = (pivot: Pivot, loose = false): Monoid =>
  loose && pivot.loose === true ? { kind: "max", loose } : { kind: pivot.fold }
export const product = (...parts: Monoid[]): Monoid => ({ kind: "product", parts })

/** How many values are lifted into an element. */
export function liftCount(m: Monoid): number {
  if (m.kind === "product") return m.parts.reduce((n, p) => n + liftCount(p), 0)
  if (m.kind === "online") return 1 + m.channels
  return m.kind === "argmax" || m.kind === "top" ? 2 : 1
}

/** How many components an element has. */
export function componentCount(m: Monoid): number {
  if (m.kind === "product") return m.parts.reduce((n, p) => n + componentCount(p), 0)
  return m.kind === "online" ? recipeOf(m.recipe).pivots.length + m.channels : liftCount(m)
}

export function monoidKey(m: Monoid): string {
  if (m.kind === "product") return `(${m.parts.map(monoidKey).join(" × ")})`
  const prefix = (m.kind === "max" || m.kind === "online") && m.loose === true ? "loose " : ""
  if (m.kind === "online") return `${prefix}online(${m.recipe}, ${m.channels})`
  return m.kind === "top" ? `top${m.k}` : `${prefix}${m.kind}`
}

/** The dtypes of the components, given those of the lifted values; an index is i32, and all of an online one is f32. */
export function monoidTypes(m: Monoid, lift: readonly DType[]): readonly DType[] {
  if (m.kind === "product") return monoidParts(m).flatMap(({ monoid, at }) => monoidTypes(monoid, lift.slice(at)))
  if (m.kind === "online") return Array.from({ length: componentCount(m) }, () => "f32" as const)
  return m.kind === "argmax" || m.kind === "top" ? [lift[0]!, "i32"] : [lift[0]!]
}

/** Where a part of a product stands: `at` is the offset of its first lifted value, `component` that of its first component. */
export interface PlacedPart {
  readonly monoid: MonoidPart
  readonly at: number
  readonly component: number
}

/** The parts of a product in order; any other monoid is its own only part. */
export function monoidParts(m: Monoid): readonly PlacedPart[] {
  if (m.kind !== "product") return [{ monoid: m, at: 0, component: 0 }]
  let at = 0
  let component = 0
  return m.parts.flatMap((p) => {
    const inner = monoidParts(p).map((x) => ({ ...x, at: x.at + at, component: x.component + component }))
    at += liftCount(p)
    component += componentCount(p)
    return inner
  })
}

/** The part that a component belongs to. */
export const partOf = (m: Monoid, component: number): PlacedPart | undefined =>
  monoidParts(m).find((p) => component >= p.component && component < p.component + componentCount(p.monoid))

/**
 * The identity of a one-component monoid for a dtype. The identity of `argmax` and `top` is (lowest value, 2^31 − 1): an element that equals
 * the lowest value comes before it by its index.
 */
export function identityValue(kind: "sum" | "max" | "min", dtype: DType): number {
  if (kind === "sum") return 0
  const low = { f32: Number.NEGATIVE_INFINITY, i32: -2147483648, u32: 0, bool: 0 }[dtype]
  const high = { f32: Number.POSITIVE_INFINITY, i32: 2147483647, u32: 4294967295, bool: 1 }[dtype]
  return kind === "max" ? low : high
}
/** The index that stands for "no element yet": larger than any real one, so that a tie goes to the real one. */
export const noIndex = 2147483647
