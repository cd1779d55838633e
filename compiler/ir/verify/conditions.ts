/**
 * What is at least 0 where a condition holds, and where it does not.
 *
 *   a < b                    →   b − a − 1,  a − b
 *   0 ≤ p and p < x · y      →   x − 1 and y − 1, too, where neither is negative
 */
import type { Expression } from "../nodes.js"
import { type Cases, type Form, lowest, minus, plus } from "./forms.js"
import { isIndex } from "./operation-values.js"

interface Reading {
  readonly of: (x: Expression) => Form
  /** What a name of a condition stands for. */
  readonly meaning: (name: string) => Expression | undefined
}

export const casesOf = (x: Expression, reading: Reading): Cases => ({
  first: knownOf(x, true, reading),
  second: knownOf(x, false, reading),
})

/** What is at least 0 where x is above 0: of a product of what is not negative, each factor is. */
export function positiveOf(x: Expression, of: Reading["of"]): readonly Form[] {
  const own = plus(of(x), -1)
  if (x.kind !== "operation" || x.operation !== "mul") return [own]
  return x.args.every((a) => lowest(of(a)) >= 0) ? [...x.args.flatMap((a) => positiveOf(a, of)), own] : [own]
}

/** What is at least 0 where a condition holds, or where it does not. */
function knownOf(x: Expression, holds: boolean, reading: Reading): readonly Form[] {
  const { of, meaning } = reading
  if (x.kind === "variable") {
    const meant = meaning(x.name)
    return meant === undefined ? [] : knownOf(meant, holds, reading)
  }
  if (x.kind !== "operation" || x.width > 1) return []
  const [a, b] = x.args as [Expression, Expression]
  if (x.operation === "not") return knownOf(a, !holds, reading)
  if (x.operation === (holds ? "and" : "or")) return x.args.flatMap((c) => knownOf(c, holds, reading))
  if (x.args.length !== 2 || !isIndex(a)) return []
  const [p, q] = [of(a), of(b)]
  const [below, above] = [plus(minus(q, p), -1), plus(minus(p, q), -1)]
  switch (x.operation) {
    case "lt":
      return holds ? [below, ...(lowest(p) >= 0 ? positiveOf(b, of) : [])] : [minus(p, q)]
    case "le":
      return [holds ? minus(q, p) : above]
    case "gt":
      return [holds ? above : minus(q, p)]
    case "ge":
      return [holds ? minus(p, q) : below]
    case "eq":
      return holds ? [minus(p, q), minus(q, p)] : []
    case "ne":
      return holds ? [] : [minus(p, q), minus(q, p)]
    default:
      return []
  }
}
