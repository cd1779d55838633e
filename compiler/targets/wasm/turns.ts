/**
 * Long turns of products of words, so that an engine keeps what they read in registers.
 *
 *   let a = x[0 : 4]; let b = x[4 : 4]; s = s + dot2(w, a); t = t + dot2(w, b)   →   let a; s = …; store s; let b; t = …; store t
 *
 * V8 takes all that a straight piece of code loads first, and computes then: with more than sixteen loads it keeps most of them on the stack. No load
 * comes before a store that was in front of it, so that sums are stored, where nobody reads them, and names are bound where they are first needed. A sum
 * that is a name of its own stays where it is.
 */
import { freeVariables, someOperation } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf, withBodies } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"

/** Whether a statement makes or adds to a sum of products of words, which is stored then. */
export const isSumOfWords = (s: Statement): boolean =>
  (s.kind === "assign" || s.kind === "let") && s.value.width === 4 && someOperation(s.value, "dot2")

/** Statements in which the turns of sums of words bind each name right before it is needed. */
export const inTurns = (statements: readonly Statement[]): readonly Statement[] =>
  sunk(statements.map((s) => withBodies(s, inTurns)))

function sunk(statements: readonly Statement[]): readonly Statement[] {
  const isTurn = statements.every((s) => s.kind === "let" || s.kind === "assign")
  if (!isTurn || statements.filter(isSumOfWords).length < 2) return statements
  const changing = new Set(statements.flatMap((s) => (s.kind === "assign" ? [s.name] : [])))
  const isSteady = (x: Expression) => ![...freeVariables(x)].some((name) => changing.has(name))
  const out: Statement[] = []
  for (const s of [...statements].reverse()) {
    const moves = s.kind === "let" && !s.mutable && !isSumOfWords(s) && isSteady(s.value)
    const user = moves ? out.findIndex((o) => mentions(o, s.name)) : 0
    out.splice(Math.max(0, user), 0, s)
  }
  return out
}

const mentions = (s: Statement, name: string): boolean =>
  everyStatement([s]).some((inner) => expressionsOf(inner).some((x) => freeVariables(x).has(name)))
