/**
 * Terms, the expressions of recipes, as expressions.
 *
 *   instantiate(["mul", "$c", ["exp", ["sub", "$p0", "$q0"]]], { $c: c, $p0: p, $q0: q })   →   (c * exp((p - q)))
 *
 * Terms are data without a table, so that one recipe serves all compilations; what is made of them belongs to the current one.
 */
import { fault } from "../../runtime/errors.js"
import { apply, literal } from "./expression.js"
import type { Expression } from "./nodes.js"
import type { Term } from "./recipes.js"

export function instantiate(term: Term, names: Readonly<Record<string, Expression>>): Expression {
  if (typeof term === "number") return literal(term, "f32")
  if (typeof term === "string") {
    const found = names[term]
    if (found === undefined) throw fault(`the term has no value for ${term}`)
    return found
  }
  const [operation, ...args] = term
  return apply(operation, ...args.map((a) => instantiate(a, names)))
}

/** `{ $p0: values[0], $p1: values[1], … }` for the stem `$p`. */
export const numbered = (stem: string, values: readonly Expression[]): Record<string, Expression> =>
  Object.fromEntries(values.map((v, i) => [`${stem}${i}`, v]))
