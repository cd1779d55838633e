/**
 * Forms: integers as sums of multiples of atoms, by which what accesses touch is proven.
 *
 *   4·block + min(lane, seq − 1) + 3   →   3 + 4·⟨block⟩ + 1·⟨min(lane, seq − 1)⟩
 *
 * An atom is an integer that stands for itself: a symbol, the variable of a loop, what memory held at some moment, or a minimum, quotient,
 * remainder or product of forms. It has one value wherever it occurs, lies between `low` and `high`, and is made after the atoms that it is of,
 * so that what is known of an atom is said by older ones. Numbers here do not wrap: who makes a form of an expression has to know that it does not.
 */

export type AtomKind = "plain" | "min" | "max" | "either" | "quotient" | "remainder" | "product"

export interface Atom {
  readonly id: number
  readonly kind: AtomKind
  readonly low: number
  readonly high: number
  /** What it is of: the two of a minimum, a maximum, a choice or a product; the dividend and the divisor. */
  readonly of: readonly Form[]
  /** Of a choice: what is at least 0 where it is the first, and where it is the second. */
  readonly when?: Cases
}

export interface Cases {
  readonly first: readonly Form[]
  readonly second: readonly Form[]
}

export interface Term {
  readonly atom: Atom
  readonly factor: number
}

/** The youngest atom first. */
export interface Form {
  readonly constant: number
  readonly terms: readonly Term[]
}

export const number = (constant: number): Form => ({ constant, terms: [] })
export const formOfAtom = (atom: Atom): Form => ({ constant: 0, terms: [{ atom, factor: 1 }] })

/** p · a + q · b. */
export function combine(a: Form, p: number, b: Form, q: number): Form {
  const terms: Term[] = []
  let [i, j] = [0, 0]
  while (i < a.terms.length || j < b.terms.length) {
    const [left, right] = [a.terms[i], b.terms[j]]
    const order = (left?.atom.id ?? -1) - (right?.atom.id ?? -1)
    const atom = order >= 0 ? left!.atom : right!.atom
    const factor = (order >= 0 ? p * left!.factor : 0) + (order <= 0 ? q * right!.factor : 0)
    if (order >= 0) i++
    if (order <= 0) j++
    if (factor !== 0) terms.push({ atom, factor })
  }
  return { constant: p * a.constant + q * b.constant, terms }
}

export const plus = (a: Form, constant: number): Form => ({ ...a, constant: a.constant + constant })
export const minus = (a: Form, b: Form): Form => combine(a, 1, b, -1)
export const times = (a: Form, factor: number): Form => combine(a, factor, number(0), 0)

/** The form with its youngest atom left out. */
export const withoutYoungest = ({ constant, terms }: Form): Form => ({ constant, terms: terms.slice(1) })

/** The least and the largest value that the ranges of its atoms allow. */
export function lowest({ constant, terms }: Form): number {
  let sum = constant
  for (const { atom, factor } of terms) sum += factor * (factor > 0 ? atom.low : atom.high)
  return sum
}
export function highest({ constant, terms }: Form): number {
  let sum = constant
  for (const { atom, factor } of terms) sum += factor * (factor > 0 ? atom.high : atom.low)
  return sum
}

/** Equal for equal forms. */
export const spell = (form: Form): string => `${form.constant}${spellTerms(form)}`

/** Equal for forms that differ by a constant. */
export function spellTerms({ terms }: Form): string {
  let text = ""
  for (const { atom, factor } of terms) text += ` ${factor}*${atom.id}`
  return text
}

export const commonDivisor = (a: number, b: number): number => {
  let [x, y] = [Math.abs(a), Math.abs(b)]
  while (y > 0) [x, y] = [y, x % y]
  return x
}

/** A form that is at least 0 exactly where this one is, with the smallest factors: 4·a − 5 ≥ 0 is a − 2 ≥ 0. */
export function tightened(form: Form): Form {
  let common = 0
  for (const { factor } of form.terms) {
    common = commonDivisor(common, factor)
    if (common === 1) return form
  }
  if (common <= 1) return form
  const terms = form.terms.map(({ atom, factor }) => ({ atom, factor: factor / common }))
  return { constant: Math.floor(form.constant / common), terms }
}

/** x = n · whole + rest, as far as its factors show. */
export function splitByDivisor(x: Form, n: number): { readonly whole: Form; readonly rest: Form } {
  const constant = Math.floor(x.constant / n)
  const divides = (t: Term) => t.factor % n === 0
  return {
    whole: {
      constant,
      terms: x.terms.filter(divides).map(({ atom, factor }) => ({ atom, factor: factor / n })),
    },
    rest: { constant: x.constant - n * constant, terms: x.terms.filter((t) => !divides(t)) },
  }
}
