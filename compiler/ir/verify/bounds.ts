/**
 * What a question about a form comes down to, once its youngest atom is replaced by what bounds it.
 *
 *   min(a, b) + r ≥ 0       →   a + r ≥ 0 and b + r ≥ 0
 *   −⌊x / 4⌋ + r ≥ 0        →   4·r − x ≥ 0, or with the largest x: r − ⌊x / 4⌋ ≥ 0
 */
import {
  type Atom,
  combine,
  type Form,
  formOfAtom,
  highest,
  lowest,
  minus,
  number,
  plus,
  spell,
  splitByDivisor,
  type Term,
  times,
  withoutYoungest,
} from "./forms.js"

/** How forms are made of forms. */
export interface Arithmetic {
  readonly remainder: (dividend: Form, divisor: number) => Form
  readonly quotient: (dividend: Form, divisor: number) => Form
  readonly product: (a: Form, b: Form) => Form
}

/**
 * form ≥ 0 where form · |f| − fact · |c| > −|f|, for forms are whole numbers: facts whose youngest atom is the form's, and of the same sign,
 * cancel it.
 */
export const fromFacts = (form: Form, factor: number, facts: readonly Form[]): readonly Form[] =>
  facts.flatMap((fact) => {
    const own = fact.terms[0]!.factor
    if (own > 0 !== factor > 0) return []
    return [plus(combine(form, Math.abs(own), fact, -Math.abs(factor)), Math.abs(own) - 1)]
  })

/** What is known of an atom that no younger one occurs in. */
export interface Known extends Arithmetic {
  readonly about: (atom: Atom) => readonly Form[]
}

/** What must be at least 0 for `factor · atom + rest` to be: any of the lists, all that stands in it. */
export function fromKind(atom: Atom, factor: number, rest: Form, known: Known): readonly (readonly Form[])[] {
  const { kind, of } = atom
  const [a, b] = of as readonly [Form, Form]
  const at = (value: Form) => combine(rest, 1, value, factor)
  const form = at(formOfAtom(atom))
  switch (kind) {
    case "plain":
    case "either":
      return []
    case "min":
      return factor > 0 ? [[at(a), at(b)]] : shortestFirst(at(a), at(b)).map((x) => [x])
    case "max":
      return factor > 0 ? shortestFirst(at(a), at(b)).map((x) => [x]) : [[at(a), at(b)]]
    case "quotient": {
      const ends = quotientEnds(atom, factor < 0, known, deepest).map((end) => [at(end)])
      if (b.terms.length > 0) return factor < 0 ? [...ends, [at(a)]] : []
      // n · q is a less its remainder, and lies between a − n + 1 and a.
      const n = b.constant
      if (factor % n === 0) return [...ends, [combine(rest, 1, minus(a, known.remainder(a, n)), factor / n)]]
      const left = known.remainder(a, n)
      const isUsed = left.terms.some(({ atom: r }) => known.about(r).length > 0 || rest.terms.some((t) => t.atom === r))
      const multiple = isUsed ? minus(a, left) : factor > 0 ? plus(a, 1 - n) : a
      return [...ends, [plus(combine(times(rest, n), 1, multiple, factor), n - 1)]]
    }
    case "remainder": {
      // Together with its quotient it says what is divided.
      const n = b.terms.length === 0 ? b.constant : 0
      const whole = rest.terms.find((t) => t.factor % n === 0 && isQuotient(t.atom, a, b))
      const undone: Form[][] =
        whole === undefined
          ? []
          : [[combine(withoutTerm(form, whole), 1, minus(a, formOfAtom(atom)), whole.factor / n)]]
      if (whole?.factor === factor * n) return undone
      // What is divided less what is left is a multiple, where it stands beside it.
      const regrouped = n === 0 ? form : at(minus(a, times(known.quotient(a, n), n)))
      if (regrouped.terms.length < form.terms.length) undone.push([regrouped])
      if (factor > 0) return undone
      return [...undone, [at(plus(b, -1))], ...(lowest(a) >= 0 ? [[at(a)]] : [])]
    }
    case "product": {
      // One factor at its end, where the other is not negative.
      const ends = (x: Form, y: Form) => (lowest(y) >= 0 ? [[at(times(y, factor > 0 ? lowest(x) : highest(x)))]] : [])
      return [...ends(a, b), ...ends(b, a)]
    }
    default:
      return kind satisfies never
  }
}

/** Where more cancels there is less to show; and what is of older atoms is nearer to sizes. */
const shortestFirst = (a: Form, b: Form): readonly Form[] =>
  (a.terms.length - b.terms.length || ageOf(a) - ageOf(b)) <= 0 ? [a, b] : [b, a]
const ageOf = ({ terms }: Form): number => terms[0]?.atom.id ?? -1

export const withoutTerm = (form: Form, { atom, factor }: Term): Form => combine(form, 1, formOfAtom(atom), -factor)
const isOf = ({ of }: Atom, a: Form, b: Form): boolean => spell(of[1]!) === spell(b) && spell(of[0]!) === spell(a)
const isQuotient = (x: Atom, a: Form, b: Form): boolean =>
  x.kind === "quotient" && b.terms.length === 0 && isOf(x, a, b)

/** Quotients of quotients that are looked through: a block's number along an axis is one for each faster axis. */
const deepest = 8

/** What a quotient is at most, or at least: whole numbers, where what is known of its dividend shows them. */
function quotientEnds({ of }: Atom, largest: boolean, known: Known, depth: number): readonly Form[] {
  const [x, y] = of as readonly [Form, Form]
  return dividendEnds(x, largest, known, depth).flatMap((end): readonly Form[] => {
    if (y.terms.length === 0) {
      const { whole, rest } = splitByDivisor(end, y.constant)
      return [plus(whole, Math.floor((largest ? highest(rest) : lowest(rest)) / y.constant))]
    }
    const whole = largest ? exactQuotient(plus(end, 1), y, known) : undefined
    return whole === undefined ? [] : [plus(whole, -1)]
  })
}

/** What x is at most, or at least, by what is known of its youngest atom. */
function dividendEnds(x: Form, largest: boolean, known: Known, depth: number): readonly Form[] {
  const youngest = x.terms[0]
  if (youngest === undefined || youngest.factor < 0 || depth === 0) return []
  const { atom, factor } = youngest
  const direct = known.about(atom).flatMap((fact) => {
    const own = fact.terms[0]!.factor
    return own < 0 === largest && factor % own === 0 ? [combine(x, 1, fact, -factor / own)] : []
  })
  if (atom.kind !== "quotient") return direct
  const deeper = quotientEnds(atom, largest, known, depth - 1)
  return [...direct, ...deeper.map((end) => combine(withoutYoungest(x), 1, end, factor))]
}

/** x / y, where that is a form: what multiplies the youngest atom of y in x, if its product with y is x. */
function exactQuotient(x: Form, y: Form, { product }: Arithmetic): Form | undefined {
  const { atom: youngest, factor: by } = y.terms[0]!
  const single = formOfAtom(youngest)
  let whole = number(0)
  for (const { atom, factor } of x.terms) {
    const place = atom.kind === "product" ? atom.of.findIndex((f) => spell(f) === spell(single)) : -1
    if (atom === youngest || place >= 0)
      whole = combine(whole, 1, atom === youngest ? number(1) : atom.of[1 - place]!, factor / by)
  }
  return spell(product(whole, y)) === spell(x) ? whole : undefined
}

/** What follows from factor · atom + rest ≥ 0 about what the atom is of. */
export function implied({ kind, of }: Atom, factor: number, rest: Form): readonly Form[] {
  const [a, b] = of as readonly [Form, Form]
  const at = (value: Form) => combine(rest, 1, value, factor)
  if ((kind === "min" && factor > 0) || (kind === "max" && factor < 0)) return [at(a), at(b)]
  if (kind === "min" || kind === "max") return highest(at(a)) < 0 ? [at(b)] : highest(at(b)) < 0 ? [at(a)] : []
  // Neither factor of a product that is not 0 is 0.
  if (kind === "product" && factor > 0 && highest(rest) < 0 && lowest(a) >= 0 && lowest(b) >= 0)
    return [plus(a, -1), plus(b, -1)]
  if (kind === "remainder") return factor > 0 && lowest(a) >= 0 ? [at(a)] : []
  if (kind !== "quotient" || b.terms.length > 0) return []
  const n = b.constant
  return [combine(times(rest, n), 1, factor > 0 ? a : plus(a, 1 - n), factor)]
}
