/**
 * Loops: workers share the grid out, invariants move in front, addresses become pointers that are advanced.
 *
 *   for k < n { acc += x[k] * w[i * n + k] }
 *   →  p = &x; q = &w + i * n * 4; k = 0; loop { acc += *p * *q; p += 4; q += 4; k += 1; if (k < n) continue }
 *
 * Hoisted are the largest subexpressions whose variables are all bound outside of the loop and what `let`s bind to such; they may read arrays that
 * the loop does not write where every iteration would read them anyway (a read beyond memory traps). An address becomes a pointer when its
 * varying terms are products of the loop variable with invariants. A worker runs the contiguous share
 * [extent · worker / workers, extent · (worker + 1) / workers) of a grid.
 */
import { fault } from "../../../runtime/errors.js"
import { add, freeVariables, isLiteral, literal, mul } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf, namesIn, storedIn } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import { emittedOperands, splitAddress } from "./arrays.js"
import { type Emission, isTrivial } from "./emission.js"
import { part, settle } from "./expressions.js"
import { arraysRead, readsMemory } from "./lower.js"

type Loop = Extract<Statement, { kind: "for" }>

/** The parameters of every kernel, before its buffers. */
export const parameters = { symbols: 0, scratch: 1, worker: 2, workers: 3 } as const

export function emitLoop(e: Emission, s: Loop): void {
  const { code, values } = e
  values.within("structure", () => {
    const counter = values.local("i32")
    e.variables.set(s.variable, [counter])
    e.counters.add(s.variable)
    const end = s.bind === "grid" ? share(e, s, counter) : extentOf(e, s, counter)
    const runsOnce = s.bind !== "grid" && isLiteral(s.extent) && s.extent.value > 0
    if (!runsOnce) {
      code.get(counter)
      pushEnd(e, end)
      code.op("i32.lt_s").if()
    }
    values.within("structure", () => {
      const changing = namesIn([s])
      const written = storedIn(s.body)
      hoistLets(e, s.body, changing, written)
      const pointers = s.bind === "grid" ? [] : takePointers(e, s, changing)
      hoist(e, s, changing, written)
      code.loop()
      values.within("structure", () => e.statements(s.body))
      for (const { local, step } of pointers) {
        code.get(local)
        if (typeof step === "number") code.integer(step)
        else code.get(step.local)
        code.op("i32.add").set(local)
      }
      code.get(counter).integer(1).op("i32.add").tee(counter)
      pushEnd(e, end)
      code.op("i32.lt_s").branchIf(0).end()
    })
    if (!runsOnce) code.end()
  })
}

type End = number | { readonly local: number }

function pushEnd(e: Emission, end: End): void {
  if (typeof end === "number") e.code.integer(end)
  else e.code.get(end.local)
}

function extentOf(e: Emission, s: Loop, counter: number): End {
  e.code.integer(0).set(counter)
  if (isLiteral(s.extent)) return s.extent.value
  const local = e.values.local("i32", "structure")
  e.values.within("statement", () => part(e, s.extent))
  e.code.set(local)
  return { local }
}

/** Sets the counter to the first iteration of this worker: q · worker + min(worker, r), where extent = q · workers + r. */
function share(e: Emission, s: Loop, counter: number): End {
  const { code, values } = e
  const [extent, rest, end] = [1, 2, 3].map(() => values.local("i32")) as [number, number, number]
  values.within("statement", () => part(e, s.extent))
  // A negative extent is none.
  code.tee(extent).integer(0).get(extent).integer(0).op("i32.gt_s", "select").tee(extent)
  code.get(parameters.workers).op("i32.rem_u").set(rest)
  code.get(extent).get(parameters.workers).op("i32.div_u").tee(end).get(parameters.worker).op("i32.mul")
  code.get(parameters.worker).get(rest).get(parameters.worker).get(rest).op("i32.lt_u", "select", "i32.add")
  code.tee(counter).get(end).op("i32.add").get(parameters.worker).get(rest).op("i32.lt_u", "i32.add").set(end)
  return { local: end }
}

const varies = (x: Expression, changing: ReadonlySet<string>) => {
  for (const name of freeVariables(x)) if (changing.has(name)) return true
  return false
}

function readsAny(x: Expression, arrays: ReadonlySet<string>): boolean {
  for (const array of arraysRead(x)) if (arrays.has(array)) return true
  return false
}

/** Statements that run in every iteration: those in blocks and in loops that run at least once are among them. */
function eachCertain(statements: readonly Statement[], see: (s: Statement) => void): void {
  for (const s of statements) {
    see(s)
    const certain = s.kind === "block" || (s.kind === "for" && s.bind !== "grid" && isLiteral(s.extent))
    if (certain && (s.kind === "block" || s.kind === "for")) eachCertain(s.body, see)
  }
}

/** Binds invariant immutable variables now; their names change no more. */
function hoistLets(
  e: Emission,
  statements: readonly Statement[],
  changing: Set<string>,
  written: ReadonlySet<string>,
): void {
  eachCertain(statements, (s) => {
    if (s.kind !== "let" || s.mutable || e.hoisted.has(s)) return
    if (varies(s.value, changing) || readsAny(s.value, written)) return
    e.statements([s])
    e.hoisted.add(s)
    changing.delete(s.name)
  })
}

function hoist(e: Emission, s: Loop, changing: ReadonlySet<string>, written: ReadonlySet<string>): void {
  const certain = new Set<Statement>()
  eachCertain(s.body, (x) => certain.add(x))
  const seen = { sure: new Set<Expression>(), unsure: new Set<Expression>() }
  const visit = (x: Expression, sure: boolean): void => {
    if (seen.sure.has(x) || (!sure && seen.unsure.has(x)) || isTrivial(e, x)) return
    seen[sure ? "sure" : "unsure"].add(x)
    if (e.values.find(x, 0) !== undefined) return
    const reads = readsMemory(x)
    if (!varies(x, changing) && (!reads || (sure && !readsAny(x, written)))) {
      settle(e, x)
      return
    }
    const lazy = reads && x.kind === "operation" && ["select", "and", "or"].includes(x.operation)
    for (const o of emittedOperands(x, e.places)) visit(o, sure && !lazy)
  }
  for (const inner of everyStatement(s.body)) {
    if (e.hoisted.has(inner)) continue
    for (const root of expressionsOf(inner)) {
      if (inner.kind !== "store" || root !== inner.offset) visit(root, certain.has(inner))
      else if (e.places.get(inner.array)!.kind === "memory") visit(splitAddress(root).address, certain.has(inner))
    }
  }
}

interface Pointer {
  readonly local: number
  readonly step: number | { readonly local: number }
}

/** Finds the addresses of the loop's own statements that advance by a fixed step, and sets a local to each one's first value. */
function takePointers(e: Emission, s: Loop, changing: ReadonlySet<string>): readonly Pointer[] {
  const addresses = new Set<Expression>()
  const seen = new Set<Expression>()
  const visit = (x: Expression): void => {
    if (seen.has(x)) return
    seen.add(x)
    if (x.kind === "fetch" && e.places.get(x.array)!.kind === "memory") addresses.add(splitAddress(x.offset).address)
    for (const o of emittedOperands(x, e.places)) visit(o)
  }
  eachOwn(s.body, (inner) => {
    if (inner.kind === "store" && e.places.get(inner.array)!.kind === "memory") {
      addresses.add(splitAddress(inner.offset).address)
      visit(splitAddress(inner.offset).address)
    }
    if ("value" in inner) visit(inner.value)
    if (inner.kind === "if") visit(inner.condition)
  })
  const pointers: Pointer[] = []
  for (const address of addresses) {
    const terms = termsOf(address)
    const fixed = terms.filter((t) => !varies(t, changing))
    if (fixed.length === terms.length || terms.some(readsMemory)) continue
    const steps = terms.filter((t) => varies(t, changing)).map((t) => stepOf(t, s.variable, changing))
    if (steps.some((step) => step === undefined)) continue
    const step = (steps as Expression[]).reduce(add)
    const start = fixed.reduce(add)
    e.values.within("statement", () => part(e, start))
    const local = e.values.local("i32", "structure")
    e.code.set(local)
    if (!isLiteral(step) && !isTrivial(e, step)) settle(e, step)
    pointers.push({ local, step: isLiteral(step) ? step.value : { local: localOf(e, step) } })
    e.values.know(address, 0, local)
  }
  return pointers
}

/** Statements of a loop that are not in a loop inside it. */
function eachOwn(statements: readonly Statement[], see: (s: Statement) => void): void {
  for (const s of statements) {
    see(s)
    if (s.kind === "block" || s.kind === "if") eachOwn(s.body, see)
    if (s.kind === "if") eachOwn(s.otherwise, see)
  }
}

function termsOf(x: Expression): Expression[] {
  return x.kind === "operation" && x.operation === "add" ? [...termsOf(x.args[0]!), ...termsOf(x.args[1]!)] : [x]
}

/** What a term grows by when the variable grows by one, if that is invariant. */
function stepOf(term: Expression, variable: string, changing: ReadonlySet<string>): Expression | undefined {
  if (term.kind === "variable") return term.name === variable ? literal(1) : undefined
  if (term.kind !== "operation" || term.operation !== "mul") return undefined
  const [a, b] = term.args as [Expression, Expression]
  const [moving, factor] = varies(b, changing) ? [b, a] : [a, b]
  if (varies(factor, changing)) return undefined
  const step = stepOf(moving, variable, changing)
  return step === undefined ? undefined : mul(step, factor)
}

function localOf(e: Emission, x: Expression): number {
  const known = e.values.find(x, 0)
  if (known !== undefined) return known
  if (x.kind === "variable") return e.variables.get(x.name)![0]!
  if (x.kind === "symbol") return e.symbols.get(x.name)!
  throw fault("no local holds this value")
}
