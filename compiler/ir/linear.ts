/**
 * Linear forms: an index as a sum of coefficients times atoms, so that differences cancel.
 *
 *   difference(64·cell + 4·p + 2, 64·cell)   →   4·p + 2
 *   coefficient of s in (past + s) − key      →   1
 *
 * Only + − and × by a literal are looked into; anything else is an atom.
 */
import { add, apply, isLiteral, literal, mul } from "./expression.js"
import type { Expression } from "./nodes.js"

export interface Linear {
  readonly terms: ReadonlyMap<Expression, number>
  readonly constant: number
}

export function linear(x: Expression): Linear {
  const terms = new Map<Expression, number>()
  let constant = 0
  const visit = (e: Expression, factor: number) => {
    if (isLiteral(e)) constant += e.value * factor
    else if (e.kind === "operation" && e.operation === "add") for (const a of e.args) visit(a, factor)
    else if (e.kind === "operation" && e.operation === "sub") {
      visit(e.args[0]!, factor)
      visit(e.args[1]!, -factor)
    } else if (e.kind === "operation" && e.operation === "neg") visit(e.args[0]!, -factor)
    else if (e.kind === "operation" && e.operation === "mul" && isLiteral(e.args[1]!))
      visit(e.args[0]!, factor * e.args[1].value)
    else terms.set(e, (terms.get(e) ?? 0) + factor)
  }
  visit(x, 1)
  for (const [e, c] of terms) if (c === 0) terms.delete(e)
  return { terms, constant }
}

/** The expression of a linear form; positive terms first, the constant last. */
export function fromLinear({ terms, constant }: Linear): Expression {
  let sum: Expression | undefined
  const positive = [...terms].filter(([, c]) => c > 0)
  const negative = [...terms].filter(([, c]) => c < 0)
  for (const [e, c] of positive) sum = sum === undefined ? mul(e, literal(c)) : add(sum, mul(e, literal(c)))
  sum ??= literal(0)
  for (const [e, c] of negative) sum = apply("sub", sum, mul(e, literal(-c)))
  return add(sum, literal(constant))
}

/** x = quotient · n + rest with a literal rest, where the form of x shows it. */
export function divided(
  x: Expression,
  n: number,
): { readonly quotient: Expression; readonly rest: number } | undefined {
  const { terms, constant } = linear(x)
  if ([...terms.values()].some((c) => c % n !== 0)) return undefined
  const whole = Math.floor(constant / n)
  const quotient = fromLinear({ terms: new Map([...terms].map(([t, c]) => [t, c / n])), constant: whole })
  return { quotient, rest: constant - n * whole }
}

/** a − b with what they have in common left out. */
export function difference(a: Expression, b: Expression): Expression {
  const [p, q] = [linear(a), linear(b)]
  const terms = new Map(p.terms)
  for (const [e, c] of q.terms) terms.set(e, (terms.get(e) ?? 0) - c)
  for (const [e, c] of terms) if (c === 0) terms.delete(e)
  return fromLinear({ terms, constant: p.constant - q.constant })
}
