/**
 * Atoms: one for each thing that stands for itself, so that equal ones cancel.
 *
 *   minimum(a, b)   quotient(x, 4)   product(a, b)      the same atom whenever they are asked for of the same forms
 */
import {
  type Atom,
  type AtomKind,
  type Cases,
  combine,
  commonDivisor,
  type Form,
  formOfAtom,
  highest,
  lowest,
  minus,
  number,
  plus,
  spell,
  splitByDivisor,
  times,
} from "./forms.js"

/** The largest number that divides n and all factors of a form. */
const commonFactor = ({ terms }: Form, n: number): number =>
  terms.reduce((common, { factor }) => commonDivisor(common, factor), n)

export interface Atoms {
  /** An integer of which nothing is known but its range. */
  plain(low: number, high: number): Form
  minimum(a: Form, b: Form): Form
  maximum(a: Form, b: Form): Form
  /** One of two, by a condition. */
  either(a: Form, b: Form, when: Cases): Form
  /** ⌊x / n⌋ for a positive number n. */
  quotient(x: Form, n: number): Form
  /** x − n · ⌊x / n⌋. */
  remainder(x: Form, n: number): Form
  /** x / y and the rest, where x ≥ 0 and y ≥ 1. */
  quotientBy(x: Form, y: Form): Form
  remainderBy(x: Form, y: Form): Form
  product(a: Form, b: Form): Form
  /** x − n · ⌊x / n⌋ as a remainder, where that makes the form shorter. */
  withRemainders(x: Form): Form
}

const spelled = (x: Form | readonly Form[]): string => ("terms" in x ? spell(x) : x.map(spell).join(";"))

interface Table {
  readonly made: Map<string, Form>
  count: number
}

export function createAtoms(): Atoms {
  const table: Table = { made: new Map(), count: 0 }
  return {
    plain: (low, high) => atom(table, "plain", low, high, []),
    minimum: (a, b) => minimum(table, a, b),
    maximum: (a, b) => maximum(table, a, b),
    either: (a, b, when) => either(table, a, b, when),
    quotient: (x, n) => quotient(table, x, n),
    remainder: (x, n) => remainder(table, x, n),
    quotientBy: (x, y) => {
      const most = Math.floor(highest(x) / Math.max(1, lowest(y)))
      return interned(table, "quotient", [x, y], 0, Math.max(0, most))
    },
    remainderBy: (x, y) => interned(table, "remainder", [x, y], 0, Math.max(0, Math.min(highest(x), highest(y) - 1))),
    product: (a, b) => product(table, a, b),
    withRemainders: (x) => withRemainders(table, x),
  }
}

const atom = (table: Table, kind: AtomKind, low: number, high: number, of: readonly Form[]): Form =>
  low === high ? number(low) : formOfAtom({ id: table.count++, kind, low, high, of } satisfies Atom)

function interned(table: Table, kind: AtomKind, of: readonly [Form, Form], low: number, high: number): Form {
  const key = `${kind},${spell(of[0])},${spell(of[1])}`
  const known = table.made.get(key)
  if (known !== undefined) return known
  const form = atom(table, kind, low, high, of)
  table.made.set(key, form)
  return form
}

function minimum(table: Table, a: Form, b: Form): Form {
  const difference = minus(a, b)
  if (highest(difference) <= 0) return a
  if (lowest(difference) >= 0) return b
  return interned(table, "min", [a, b], Math.min(lowest(a), lowest(b)), Math.min(highest(a), highest(b)))
}

function maximum(table: Table, a: Form, b: Form): Form {
  const difference = minus(a, b)
  if (lowest(difference) >= 0) return a
  if (highest(difference) <= 0) return b
  return interned(table, "max", [a, b], Math.max(lowest(a), lowest(b)), Math.max(highest(a), highest(b)))
}

function either(table: Table, a: Form, b: Form, when: Cases): Form {
  if (spell(a) === spell(b)) return a
  const key = ["either", a, b, when.first, when.second].map((x) => (typeof x === "string" ? x : spelled(x))).join(",")
  const [low, high] = [Math.min(lowest(a), lowest(b)), Math.max(highest(a), highest(b))]
  const known = table.made.get(key)
  if (known !== undefined) return known
  const form =
    low === high ? number(low) : formOfAtom({ id: table.count++, kind: "either", low, high, of: [a, b], when })
  table.made.set(key, form)
  return form
}

function quotient(table: Table, x: Form, n: number): Form {
  const { whole, rest } = splitByDivisor(x, n)
  const [low, high] = [Math.floor(lowest(rest) / n), Math.floor(highest(rest) / n)]
  if (low === high) return plus(whole, low)
  const common = commonFactor(rest, n)
  if (common > 1) return combine(whole, 1, quotient(table, wholeParts(rest, common), n / common), 1)
  return combine(whole, 1, interned(table, "quotient", [rest, number(n)], low, high), 1)
}

function remainder(table: Table, x: Form, n: number): Form {
  const { rest } = splitByDivisor(x, n)
  const turns = Math.floor(lowest(rest) / n)
  if (turns === Math.floor(highest(rest) / n)) return plus(rest, -n * turns)
  const common = commonFactor(rest, n)
  if (common > 1) {
    const smaller = remainder(table, wholeParts(rest, common), n / common)
    return plus(times(smaller, common), rest.constant % common)
  }
  return interned(table, "remainder", [rest, number(n)], 0, n - 1)
}

/** ⌊x / n⌋ where n divides all factors. */
const wholeParts = (x: Form, n: number): Form => splitByDivisor(x, n).whole

function product(table: Table, a: Form, b: Form): Form {
  let sum = combine(times(b, a.constant), 1, times(a, b.constant), 1)
  sum = plus(sum, -a.constant * b.constant)
  for (const p of a.terms)
    for (const q of b.terms)
      sum = combine(sum, 1, productOfTerms(table, formOfAtom(p.atom), formOfAtom(q.atom)), p.factor * q.factor)
  return sum
}

/** The product of two forms of one term each. */
function productOfTerms(table: Table, a: Form, b: Form): Form {
  const [p, q] = a.terms[0]!.atom.id >= b.terms[0]!.atom.id ? [a, b] : [b, a]
  const corners = [lowest(p), highest(p)].flatMap((x) => [x * lowest(q), x * highest(q)])
  return interned(table, "product", [p, q], Math.min(...corners), Math.max(...corners))
}

function withRemainders(table: Table, x: Form): Form {
  let now = x
  for (const { atom, factor } of x.terms) {
    const [dividend, by] = atom.of
    if (atom.kind !== "quotient" || by!.terms.length > 0 || factor % by!.constant !== 0) continue
    const rest = minus(dividend!, remainder(table, dividend!, by!.constant))
    const other = combine(combine(now, 1, formOfAtom(atom), -factor), 1, rest, factor / by!.constant)
    if (other.terms.length < now.terms.length) now = other
  }
  return now
}
