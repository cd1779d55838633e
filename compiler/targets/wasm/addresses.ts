/**
 * Offsets in elements become byte addresses in one normal form: base + outer terms + inner terms + literal.
 *
 *   w[(4 g + r) * n + k + 2]  →  &w + (g * n) * 16 + (r * n) * 4 + k * 4 + 8        (f32; g in an outer loop than r, r than k)
 *
 * An offset is read as a polynomial over what is no sum or product. Terms are sorted by the depth of the loops that they vary in, so that an
 * address's invariant part is a prefix, which is hoisted as it stands, and neighbours differ by the literal alone, which becomes an
 * immediate. All arithmetic is modulo 2^32, like the addresses themselves, so that reordering is exact.
 */

import { add, fetch, freeVariables, identity, isLiteral, literal, mul, rewriter } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { withBodies, withExpressions } from "../../ir/loop-visit.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression } from "../../ir/nodes.js"
import { mostImmediate, type Place } from "./arrays.js"
import { readsMemory } from "./lower.js"

interface Term {
  readonly factors: readonly Expression[]
  readonly coefficient: number
}
type Polynomial = readonly Term[]

/** Products are multiplied out up to this many terms. */
const mostTerms = 8

const constant = (value: number): Polynomial => (value === 0 ? [] : [{ factors: [], coefficient: value | 0 }])
const keyOf = (t: Term) => t.factors.map(identity).join(" ")

function sum(a: Polynomial, b: Polynomial): Polynomial {
  const terms = new Map(a.map((t) => [keyOf(t), t]))
  for (const t of b) {
    const before = terms.get(keyOf(t))?.coefficient ?? 0
    terms.set(keyOf(t), { factors: t.factors, coefficient: (before + t.coefficient) | 0 })
  }
  return [...terms.values()].filter((t) => t.coefficient !== 0)
}

function product(a: Polynomial, b: Polynomial): Polynomial {
  let total: Polynomial = []
  for (const x of a)
    for (const y of b) {
      const factors = [...x.factors, ...y.factors].sort((p, q) => identity(p) - identity(q))
      total = sum(total, [{ factors, coefficient: Math.imul(x.coefficient, y.coefficient) }])
    }
  return total
}

/** Rewrites the offsets of all accesses to memory. `mutable` names may change between statements. */
export function addressed(
  statements: readonly Statement[],
  places: ReadonlyMap<string, Place>,
  mutable: ReadonlySet<string>,
): readonly Statement[] {
  const depths = new Map<string, number>()
  const polynomial: (x: Expression) => Polynomial = memoized((x) => {
    if (isLiteral(x)) return constant(x.value)
    if (x.kind === "operation" && x.dtype === "i32") {
      const [a, b] = x.args as [Expression, Expression]
      if (x.operation === "add") return sum(polynomial(a), polynomial(b))
      if (x.operation === "sub") return sum(polynomial(a), product(constant(-1), polynomial(b)))
      if (x.operation === "neg") return product(constant(-1), polynomial(a))
      if (x.operation === "shl" && isLiteral(b)) return product(constant(1 << b.value), polynomial(a))
      if (x.operation === "mul") {
        const [p, q] = [polynomial(a), polynomial(b)]
        if (p.length * q.length <= mostTerms) return product(p, q)
      }
    }
    return [{ factors: [value(x)], coefficient: 1 }]
  })
  const depth = (t: Term) =>
    Math.max(
      0,
      ...t.factors.map((f) =>
        readsMemory(f)
          ? Number.POSITIVE_INFINITY
          : Math.max(
              0,
              ...[...freeVariables(f)].map((n) => (mutable.has(n) ? Number.POSITIVE_INFINITY : (depths.get(n) ?? 0))),
            ),
      ),
    )
  const address = (array: string, offset: Expression): Expression => {
    const place = places.get(array)!
    if (place.kind === "locals") return offset
    const bytes = sum(product(constant(place.bytes), polynomial(offset)), constant(place.at))
    const fixed = bytes.find((t) => t.factors.length === 0)?.coefficient ?? 0
    const terms = bytes.filter((t) => t.factors.length > 0)
    const immediate = fixed >= 0 && fixed <= mostImmediate
    const sorted = terms.map((t) => ({ t, d: depth(t) })).sort((x, y) => (x.d === y.d ? 0 : x.d - y.d))
    const start = immediate ? place.base : add(place.base, literal(fixed))
    const varying = sorted.reduce<Expression>(
      (whole, { t }) => add(whole, mul(t.factors.reduce(mul), literal(t.coefficient))),
      start,
    )
    return immediate ? add(varying, literal(fixed)) : varying
  }
  const value = rewriter((x) =>
    x.kind === "fetch" ? fetch(x.array, address(x.array, x.offset), x.dtype, x.width) : undefined,
  )
  const list = (statements: readonly Statement[], at: number): readonly Statement[] =>
    statements.map((s): Statement => {
      if (s.kind === "store") return { ...s, offset: address(s.array, s.offset), value: value(s.value) }
      if (s.kind === "for") depths.set(s.variable, at + 1)
      if (s.kind === "let" || s.kind === "shuffle") depths.set(s.name, at)
      return withBodies(withExpressions(s, value), (body) => list(body, s.kind === "for" ? at + 1 : at))
    })
  return list(statements, 0)
}
