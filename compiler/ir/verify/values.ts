/**
 * Values: integer expressions of a kernel as forms, at the statement where they are computed.
 *
 *   let row = min(block * 4 + lane, seq − 1)        row            →   ⟨min(4·⟨block⟩ + ⟨lane⟩, ⟨seq⟩ − 1)⟩
 *                                                   y[row * 64]    →   64·⟨min(…)⟩, when that cannot wrap
 *
 * What a `let` names is its value; what is fetched, or a variable that is assigned, is an atom of its own in each statement. An operation that
 * may wrap is an atom of which only the range of its type is known.
 */
import { lane, operands } from "../expression.js"
import type { Expression, OperationNode } from "../nodes.js"
import type { Atoms } from "./atoms.js"
import { casesOf, positiveOf } from "./conditions.js"
import type { Facts } from "./facts.js"
import { type Cases, type Form, number } from "./forms.js"
import { isIndex, lasts, type Made, madeBy, passes, typeRanges } from "./operation-values.js"

export interface Values {
  /** The form of an integer expression of width 1. */
  of(x: Expression): Form
  /** The counter of a loop, from 0 up to `most`. */
  counter(most: number): Form
  /** Gives a name its meaning from here on: a form, or what an expression is here; anything when left out. */
  name(name: string, value: Form | Expression | undefined): void
  /** What is at least 0 where an expression is above 0. */
  positive(x: Expression): readonly Form[]
  /** What is at least 0 where a condition holds, and where it does not. */
  cases(condition: Expression): Cases
  /** Forgets what was computed of memory and of variables: a statement is over. */
  next(): void
}

/** What names mean, and what has been computed. */
interface State {
  readonly atoms: Atoms
  readonly facts: Facts
  readonly counted: (name: string, offset?: Expression) => Form | undefined
  readonly forms: Map<string, Form>
  readonly meanings: Map<string, Expression>
  /** Of vectors that hold what was fetched. */
  readonly lanes: Map<string, Form>
  readonly declared: Set<string>
  readonly symbols: Map<string, Form>
  /** Of what is the same as long as its names are; and of the present statement. */
  readonly lasting: Map<Expression, Form>
  readonly passing: Map<Expression, Form>
  readonly steady: Map<Expression, boolean>
  /** Of what may be anything and is the same as long as its names are: it is the same thing in all statements. */
  readonly opaque: Map<Expression, Form>
  /** The functions below, for what is made of operations and conditions. */
  readonly of: (x: Expression) => Form
  readonly isSteady: (x: Expression) => boolean
  readonly meaning: (name: string) => Expression | undefined
  readonly cases: (condition: Expression) => Cases
  readonly anything: (x: Expression) => Form
}

/** `counted` knows the present values of variables, and of elements of arrays, that count. */
export function createValues(atoms: Atoms, facts: Facts, counted: State["counted"]): Values {
  const meanings = new Map<string, Expression>()
  const state: State = {
    atoms,
    facts,
    counted,
    forms: new Map(),
    meanings,
    lanes: new Map(),
    declared: new Set(),
    symbols: new Map(),
    lasting: new Map(),
    passing: new Map(),
    steady: new Map(),
    opaque: new Map(),
    of: (x) => formOf(state, x),
    isSteady: (x) => isSteady(state, x),
    meaning: (name) => meanings.get(name),
    cases: (condition) => casesOf(condition, state),
    anything: (x) => anything(state, x),
  }
  return {
    of: state.of,
    counter: (most) => atoms.plain(0, most),
    name: (name, value) => giveMeaning(state, name, value),
    cases: state.cases,
    positive: (x) => positiveOf(x, state.of),
    next: () => state.passing.clear(),
  }
}

function anything(state: State, x: Expression): Form {
  const { opaque, atoms } = state
  const known = opaque.get(x)
  if (known !== undefined) return known
  const made = atoms.plain(...typeRanges[x.dtype])
  if (isSteady(state, x)) opaque.set(x, made)
  return made
}

/** Whether an expression is the same as long as its names are. */
function isSteady(state: State, x: Expression): boolean {
  const { steady, forms, meanings } = state
  const known = steady.get(x)
  if (known !== undefined) return known
  const own = x.kind !== "fetch" && !(x.kind === "variable" && !forms.has(x.name) && !meanings.has(x.name))
  const made = own && operands(x).every(state.isSteady)
  steady.set(x, made)
  return made
}

function formOf(state: State, x: Expression): Form {
  const { lasting, passing } = state
  const known = lasting.get(x) ?? passing.get(x)
  if (known !== undefined) return known
  const made = make(state, x)
  // What was shown not to wrap by facts of this place may wrap elsewhere, and what is made of it.
  if (made.lasts && isSteady(state, x) && !operands(x).some((o) => passing.has(o))) lasting.set(x, made.form)
  else passing.set(x, made.form)
  return made.form
}

function make(state: State, x: Expression): Made {
  const { anything, counted, lasting } = state
  switch (x.kind) {
    case "literal":
      return lasts(number(x.value))
    case "symbol":
      return lasts(symbolOf(state, x.name, x.max))
    case "variable": {
      const meant = state.meanings.get(x.name)
      if (meant !== undefined && isIndex(meant)) {
        const form = formOf(state, meant)
        return { form, lasts: lasting.has(meant) }
      }
      return lasts(state.forms.get(x.name) ?? counted(x.name) ?? anything(x))
    }
    case "fetch": {
      const form = isIndex(x) ? counted(x.array, x.offset) : undefined
      return passes(form ?? anything(x))
    }
    case "lane": {
      const known = x.of.kind === "variable" ? state.lanes.get(laneName(x.of.name, x.lane)) : undefined
      if (known !== undefined) return passes(known)
      const scalar = laneOf(state, x.of, x.lane)
      return passes(scalar === undefined || scalar === x ? anything(x) : formOf(state, scalar))
    }
    case "operation":
      return x.width > 1 || x.dtype === "f32" ? passes(anything(x)) : madeBy(x, state)
    default:
      return passes(anything(x))
  }
}

function symbolOf({ symbols, atoms }: State, name: string, most: number): Form {
  const known = symbols.get(name) ?? atoms.plain(0, most)
  symbols.set(name, known)
  return known
}

/** The scalar in one lane of a vector. */
function laneOf(state: State, x: Expression, at: number): Expression | undefined {
  if (x.kind === "variable") {
    const meant = state.meanings.get(x.name)
    return meant === undefined ? lane(x, at) : laneOf(state, meant, at)
  }
  if (x.kind !== "operation" || x.dtype === "f32" || x.args.some((a) => a.dtype === "f32")) return lane(x, at)
  const args = x.args.map((a) => laneOf(state, a, at))
  return args.some((a) => a === undefined) ? undefined : ({ ...x, width: 1, args } as OperationNode)
}

function giveMeaning(state: State, name: string, value: Form | Expression | undefined): void {
  const { declared, forms, lanes, meanings } = state
  // Scopes side by side may repeat a name: what was computed with the other one is forgotten.
  if (declared.has(name)) {
    state.lasting.clear()
    state.passing.clear()
    state.steady.clear()
    state.opaque.clear()
  }
  declared.add(name)
  forms.delete(name)
  for (let at = 0; lanes.delete(laneName(name, at)); at++);
  meanings.delete(name)
  // No index is a float.
  if (value === undefined || ("dtype" in value && value.dtype === "f32")) return
  if ("terms" in value) forms.set(name, value)
  else if (isSteady(state, value)) meanings.set(name, value)
  else if (isIndex(value)) forms.set(name, formOf(state, value))
  else if (value.dtype === "i32")
    for (let at = 0; at < value.width; at++) {
      const scalar = laneOf(state, value, at)
      if (scalar !== undefined && scalar.width === 1) lanes.set(laneName(name, at), formOf(state, scalar))
    }
}

const laneName = (name: string, at: number): string => `${name}.${at}`
