/**
 * Terms against programs: which tensors a recipe's names stand for.
 *
 *   exp($0 − $p0)   against   map exp($0 - $1) of (s, m)   →   { $0: s, $p0: m }
 *
 * Maps are looked through, so that it does not matter how a model has divided an expression among them. A name that occurs twice stands for one
 * tensor both times.
 */
import type { Operation } from "../ir/operations.js"
import type { Term } from "../ir/recipes.js"
import type * as ir from "../ir/tensor.js"
import { type Place, tensorAt } from "./factors.js"

export type Names = ReadonlyMap<string, ir.Tensor>

const commutative: ReadonlySet<Operation> = new Set(["add", "mul", "max", "min"])

export function unify(term: Term, place: Place, names: Names): Names | undefined {
  if (typeof term === "string") {
    const tensor = tensorAt(place)
    const known = names.get(term)
    if (known !== undefined) return known === tensor ? names : undefined
    return new Map(names).set(term, tensor)
  }
  const { body, args } = opened(place)
  if (typeof term === "number") return numberAt({ body, args }) === term ? names : undefined
  const [operation, ...parts] = term
  if (body.kind !== "operation" || body.operation !== operation) return undefined
  const inOrder = (order: readonly Term[]) =>
    order.reduce<Names | undefined>(
      (found, part, i) => found && unify(part, { body: body.args[i]!, args }, found),
      names,
    )
  return inOrder(parts) ?? (commutative.has(operation) ? inOrder([...parts].reverse()) : undefined)
}

/** The place inside of the maps that a name leads to. */
function opened(place: Place): Place {
  if (place.body.kind !== "variable") return place
  const tensor = tensorAt(place)
  return tensor.kind === "map" ? opened(tensor) : place
}

/** The number that a place or tensor is, if it is one. */
function numberAt({ body, args }: Place): number | undefined {
  if (body.kind === "literal") return body.value
  const tensor = body.kind === "variable" ? tensorAt({ body, args }) : undefined
  return tensor?.kind === "constant" && tensor.axes.length === 0 ? tensor.values[0] : undefined
}
