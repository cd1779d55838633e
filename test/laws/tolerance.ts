/**
 * When two evaluations agree. The constants of the laws stand here and are not changed to make a case pass.
 *
 * Exact regime: equal, bit by bit but for the sign of zero, which min and max may lose. Analytic regime: |a − b| ≤ 8 · 2^-24 · c, where c is the
 * bound that the interpreter keeps beside each f32 value (compiler/interpret/scalar-bounds.ts): the value of the same program on absolute
 * values, with the extra errors of division and of the transcendental functions. A bound that is not finite claims nothing, nor does what
 * overflows; where data are special values, what is not finite must not be finite in both.
 *
 * Folds of more elements than programs of the laws have otherwise say so: with n of them 8 becomes 8 + log2 n, for runs that are merged by
 * pairs (compiler/tile/runs.ts).
 */
import type { Storage } from "../../compiler/ir/loop.js"

export const depth = 8
export const unit = 2 ** -24

/** Results below the smallest normal number may be flushed to zero. */
export const smallest = 2 ** -126

export interface Comparison {
  readonly name: string
  readonly expected: ArrayLike<number>
  readonly found: ArrayLike<number>
  /** Per element; without it the numbers must be equal. */
  readonly bound?: ArrayLike<number> | undefined
  /** Whether data were infinite or NaN. */
  readonly special?: boolean | undefined
  /** How the values were stored: what differs a little may be rounded to two neighbours. */
  readonly storage?: Storage | undefined
  /** Elements of the longest fold, where they are thousands. */
  readonly folded?: number | undefined
}

/** What a value may differ by, in units of its bound, when a fold of so many elements is in it. */
export const depthOf = (folded: number): number => depth + Math.log2(Math.max(1, folded))

/** The distance of neighbours, relative to their value. */
const apart: Readonly<Partial<Record<Storage, number>>> = { bf16: 2 ** -7, f16: 2 ** -10 }

/** What is wrong with the first element that differs, or undefined. */
export function difference(comparison: Comparison): string | undefined {
  const { name, expected, found, bound, storage, special, folded = 1 } = comparison
  if (expected.length !== found.length) return `${name}: ${found.length} elements, not ${expected.length}`
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [expected[i]!, found[i]!]
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    if (bound === undefined) return `${name}[${i}]: ${b}, not ${a}`
    const c = bound[i]!
    if (special === true && Number.isFinite(a) !== Number.isFinite(b)) return `${name}[${i}]: ${b}, not ${a}`
    if (!Number.isFinite(c) || !Number.isFinite(a)) continue
    const allowed = depthOf(folded) * unit * c + smallest + ((storage && apart[storage]) ?? 0) * Math.abs(a)
    if (!(Math.abs(a - b) <= allowed)) return `${name}[${i}]: ${b}, not ${a} ± ${allowed}`
  }
  return undefined
}
