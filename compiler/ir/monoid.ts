/**
 * Monoids as data: what a reduction folds with.
 *
 *   sum            (0, +)                       one component
 *   max, min       (∓3.4028235e38 for f32, the extremes of the integers)
 *   argmax         (value, index), the lowest index on ties
 *   top(k)         k ordered (value, index) pairs, the lowest index first on ties; its results gain a slot
 *   product        several monoids side by side over one axis; the components follow one another
 */
import type { DType } from "./operations.js"

export type Monoid =
  | { readonly kind: "sum" | "max" | "min" | "argmax" }
  | { readonly kind: "top"; readonly k: number }
  | { readonly kind: "product"; readonly parts: readonly Monoid[] }

export const sum: Monoid = { kind: "sum" }
export const max: Monoid = { kind: "max" }
export const min: Monoid = { kind: "min" }
export const argmax: Monoid = { kind: "argmax" }
export const top = (k: number): Monoid => ({ kind: "top", k })
export const product = (...parts: Monoid[]): Monoid => ({ kind: "product", parts })

/** How many values an element has. */
export function monoidArity(m: Monoid): number {
  if (m.kind === "product") return m.parts.reduce((n, p) => n + monoidArity(p), 0)
  return m.kind === "argmax" || m.kind === "top" ? 2 : 1
}

export function monoidKey(m: Monoid): string {
  if (m.kind === "product") return `(${m.parts.map(monoidKey).join(" × ")})`
  return m.kind === "top" ? `top${m.k}` : m.kind
}

/** The dtypes of the components, given those of the lifted values; an index is i32. */
export function monoidTypes(m: Monoid, lift: readonly DType[]): readonly DType[] {
  return m.kind === "product" || monoidArity(m) === 1 ? lift : [lift[0]!, "i32"]
}

/** The parts of a product in order with the offset of their first component; any other monoid is its own only part. */
export function monoidParts(
  m: Monoid,
): readonly { readonly monoid: Exclude<Monoid, { kind: "product" }>; readonly at: number }[] {
  if (m.kind !== "product") return [{ monoid: m, at: 0 }]
  let at = 0
  return m.parts.flatMap((p) => {
    const inner = monoidParts(p).map((x) => ({ monoid: x.monoid, at: x.at + at }))
    at += monoidArity(p)
    return inner
  })
}

/** The largest finite f32; programs have no infinities. */
export const largest = 3.4028234663852886e38

/** The identity of a one-component monoid for a dtype. The identity of `argmax` and `top` is (lowest value, 2^31 − 1). */
export function identityValue(kind: "sum" | "max" | "min", dtype: DType): number {
  if (kind === "sum") return 0
  const low = { f32: -largest, i32: -2147483648, u32: 0, bool: 0 }[dtype]
  const high = { f32: largest, i32: 2147483647, u32: 4294967295, bool: 1 }[dtype]
  return kind === "max" ? low : high
}
/** The index that stands for "no element yet": larger than any real one, so that a tie goes to the real one. */
export const noIndex = 2147483647
