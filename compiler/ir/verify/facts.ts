/**
 * Facts: what is known of atoms at a place of a kernel, and what follows from it.
 *
 *   known    block ≤ (seq + 3) // 4 − 1       asked    seq − 1 − 4·block ≥ 0
 *            block at its largest             →        seq − 1 − 4·((seq + 3) // 4) + 4 ≥ 0
 *            4·(x // 4) is at most x          →        seq − 1 − (seq + 3) + 4 ≥ 0, which is so
 *
 * A fact is a form that is at least 0. A question is answered by replacing its youngest atom by what bounds it, until the ranges of those
 * that are left decide. What is answered with yes is so; a no says only that no proof was found.
 */
import { type Arithmetic, fromFacts, fromKind, implied, type Known, withoutTerm } from "./bounds.js"
import {
  type Atom,
  combine,
  type Form,
  highest,
  lowest,
  plus,
  spellTerms,
  tightened,
  withoutYoungest,
} from "./forms.js"

/** Replacements that are tried for one question at each depth. Of 20,000 about kernels of eight models none that had an answer took more than 173. */
const mostSteps = 1000
/**
 * Replacements that follow one another. Short proofs are looked for first: what does not lead to one may go on for long before what does is
 * tried. All that those kernels ask was answered within the second depth.
 */
const depths = [6, 12, mostSteps]
/** Terms below it are summed exactly in a float64, should there be 128 of them. */
const exact = 2 ** 46

export interface Facts {
  /** Knows from now on that a form is at least 0. */
  learn(form: Form): void
  /** Runs `body`, and forgets what it has learned. */
  within<T>(body: () => T): T
  /** Whether a form is proven to be at least 0. */
  proves(form: Form): boolean
}

interface State extends Known {
  readonly known: Map<Atom, readonly Form[]>
  /** The least constant with which terms are proven to be at least 0. */
  readonly proven: Map<string, number>
  /** Facts that nothing can meet. */
  impossible: number
  /** How to forget what was learned, the latest last. */
  readonly undo: (() => unknown)[]
}

export function createFacts(arithmetic: Arithmetic): Facts {
  const known = new Map<Atom, readonly Form[]>()
  const about = (atom: Atom) => known.get(atom) ?? nothing
  const state: State = { ...arithmetic, about, known, proven: new Map(), impossible: 0, undo: [] }
  return {
    learn: (form) => learn(state, form),
    proves: (form) => proves(state, form),
    within: (body) => within(state, body),
  }
}

const nothing: readonly Form[] = []

function learn(state: State, given: Form, derived = false): void {
  const { known, undo } = state
  const form = tightened(given)
  const youngest = form.terms[0]
  if (lowest(form) >= 0 || tooLarge(form)) return
  // It cannot be: nothing gets here.
  if (youngest === undefined || highest(form) < 0) {
    state.impossible++
    undo.push(() => state.impossible--)
    return
  }
  const { atom, factor } = youngest
  const before = state.about(atom)
  const rest = withoutYoungest(form)
  const terms = spellTerms(form)
  if (before.some((fact) => fact.constant <= form.constant && spellTerms(fact) === terms)) return
  known.set(atom, [...before, form])
  undo.push(() => known.set(atom, before))
  for (const more of implied(atom, factor, rest)) learn(state, more, derived)
  // What it says of older atoms: with the youngest at its end, and together with what bounds that from the other side.
  learn(state, plus(rest, factor * (factor > 0 ? atom.high : atom.low)), derived)
  if (derived) return
  for (const other of before) {
    const own = other.terms[0]!.factor
    if (own > 0 !== factor > 0) learn(state, combine(form, Math.abs(own), other, Math.abs(factor)), true)
  }
}

function within<T>({ undo }: State, body: () => T): T {
  const before = undo.length
  try {
    return body()
  } finally {
    while (undo.length > before) undo.pop()!()
  }
}

/** One question: the steps that it has taken, and what is asked already on the way. */
interface Search {
  readonly budget: { steps: number }
  /** Replacements that may follow. */
  readonly depth: number
  readonly asked: Set<string>
}

function proves(state: State, goal: Form): boolean {
  if (state.impossible > 0 || lowest(goal) >= 0) return true
  // Without what is free, factors show more: 23 − 4·a − b with b ≤ 3 is 5 − a.
  const forms = [goal, withoutFree(state, goal)]
  return depths.some((depth) => {
    const budget = { steps: 0 }
    return forms.some((form) => holds(state, form, { budget, depth, asked: new Set() }))
  })
}

function holds(state: State, given: Form, { budget, depth, asked }: Search): boolean {
  const { proven } = state
  const form = tightened(given)
  if (lowest(form) >= 0) return true
  if (highest(form) < 0 || tooLarge(form) || depth === 0 || ++budget.steps > mostSteps) return false
  const terms = spellTerms(form)
  if (proven.get(terms)! <= form.constant) return true
  // What is asked already is no answer to itself.
  const key = `${form.constant}${terms}`
  if (asked.has(key)) return false
  asked.add(key)
  const search = { budget, depth: depth - 1, asked }
  const { atom, factor } = form.terms[0]!
  const rest = withoutYoungest(form)
  const found =
    fromFacts(form, factor, state.about(atom)).some((x) => holds(state, x, search)) ||
    (atom.kind === "either"
      ? holdsOfBoth(state, atom, factor, rest, search)
      : fromKind(atom, factor, rest, state).some((all) => all.every((x) => holds(state, x, search)))) ||
    holds(state, plus(rest, factor * (factor > 0 ? atom.low : atom.high)), search)
  if (!found) return false
  asked.delete(key)
  remember(state, terms, form.constant)
  return true
}

function remember({ proven, undo }: State, terms: string, constant: number): void {
  const before = proven.get(terms)
  proven.set(terms, constant)
  undo.push(() => (before === undefined ? proven.delete(terms) : proven.set(terms, before)))
}

/** Each of the two where its condition is known. */
function holdsOfBoth(state: State, { of, when }: Atom, factor: number, rest: Form, { budget, depth }: Search): boolean {
  return [when!.first, when!.second].every((facts, i) =>
    within(state, () => {
      for (const fact of facts) learn(state, fact)
      return state.impossible > 0 || holds(state, combine(rest, 1, of[i]!, factor), { budget, depth, asked: new Set() })
    }),
  )
}

const withoutFree = (state: State, form: Form): Form =>
  form.terms.reduce((now, term) => {
    const { atom, factor } = term
    const isFree = atom.kind === "plain" && state.about(atom).length === 0
    return isFree ? plus(withoutTerm(now, term), factor * (factor > 0 ? atom.low : atom.high)) : now
  }, form)

const tooLarge = ({ constant, terms }: Form): boolean =>
  !(
    Math.abs(constant) < exact &&
    terms.every(({ factor, atom }) => Math.abs(factor) * Math.max(1, -atom.low, atom.high) < exact)
  )
