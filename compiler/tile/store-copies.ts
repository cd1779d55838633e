/**
 * Stores of what a lane holds of a point: element by element, two at once where two share a word, or a vector at once.
 *
 *   y[2·i] = a; y[2·i + 1] = b      →   y[2·i : 2] = (a, b)      when y is bf16 or f16
 *
 * Where each element is computed (by vectors, by lanes together) does not matter. What lies in the domain under one condition is stored
 * under it together.
 */
import { apply, isLiteral, lane, literal, splat, substitute, vector } from "../ir/expression.js"
import type { Store } from "../ir/kernel.js"
import { difference } from "../ir/linear.js"
import type { Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { lowerValues } from "./values.js"
import { flatten, multipleOf, type VectorAxis, wideOffset } from "./vector.js"

export interface Copy {
  readonly at: ReadonlyMap<string, Expression>
  /** Whether it lies in the domain. */
  readonly inside: Expression
}

/** What a lane holds of a point. */
export interface Copies {
  readonly copies: readonly Copy[]
  /** What the elements of a copy are, when each is a vector. */
  readonly vector: VectorAxis | undefined
}

/** Where a copy goes: `at` before translation, which shows its form, and `offset` and `value` after it. */
interface Element {
  readonly at: Expression
  readonly offset: Expression | undefined
  readonly value: Expression
}

/** Computes the values of a store at some copies, and stores those that lie in the domain; of lanes that share them the first does. */
export function emitStores(
  store: Store,
  { copies, vector }: Copies,
  scope: Scope,
  lowerer: Lowerer,
  values: readonly Expression[] = copies.map((c) => substitute(store.value, c.at)),
): void {
  const array = store.buffer
  const shape = lowerer.shape(array)
  const offsets = copies.map(({ at }) =>
    flatten(
      store.index.map((i) => substitute(i, at)),
      shape,
    ),
  )
  const bound = vector === undefined ? scope.bound : new Set(scope.bound).add(vector.name)
  const inner: Scope = { ...scope, vector, bound }
  const lowered = lowerValues([...values, ...(vector === undefined ? offsets : [])], inner, lowerer)
  const elements = offsets.map((at, i): Element => ({ at, offset: lowered[copies.length + i], value: lowered[i]! }))
  for (const inside of new Set(copies.map((c) => c.inside))) {
    const here = elements.filter((_, i) => copies[i]!.inside === inside)
    const stores =
      vector === undefined
        ? storeElements(array, here, lowerer)
        : here.flatMap((e) => storeVector(array, e, vector, inner, lowerer))
    const { lanes } = scope
    scope.out.push(
      ...guarded(lanes === undefined ? inside : apply("and", inside, apply("eq", lanes.index, literal(0))), stores),
    )
  }
}

/** Statements under a condition, which may be known. */
export function guarded(
  condition: Expression,
  body: readonly Statement[],
  otherwise: readonly Statement[] = [],
): readonly Statement[] {
  if (isLiteral(condition)) return condition.value === 0 ? otherwise : body
  return [{ kind: "if", condition, body, otherwise }]
}

/** The stores of elements, each of which lies somewhere else; neighbours that share a word in one. */
function storeElements(array: string, elements: readonly Element[], { inPairs }: Lowerer): readonly Statement[] {
  const rest = new Set(elements)
  const out: Statement[] = []
  for (const first of elements) {
    if (!rest.delete(first)) continue
    const second = inPairs(array) && multipleOf(first.at, 2) ? [...rest].find((e) => isNext(e, first)) : undefined
    if (second !== undefined) rest.delete(second)
    const value = second === undefined ? first.value : vector([first.value, second.value])
    out.push({ kind: "store", array, offset: first.offset!, value })
  }
  return out
}

function isNext(e: Element, first: Element): boolean {
  const apart = difference(e.at, first.at)
  return isLiteral(apart) && apart.value === 1
}

/** A vector in one store where its lanes lie side by side, else lane by lane. */
function storeVector(
  array: string,
  { at, value }: Element,
  vector: VectorAxis,
  scope: Scope,
  lowerer: Lowerer,
): readonly Statement[] {
  const out: Statement[] = []
  const store = (at: Expression, value: Expression) => {
    const [offset] = lowerValues([at], { ...scope, out, vector: undefined }, lowerer)
    out.push({ kind: "store", array, offset: offset!, value })
  }
  const start = wideOffset(at, vector)
  if (start !== undefined) store(start, value.width === vector.width ? value : splat(value, vector.width))
  else
    for (let j = 0; j < vector.width; j++)
      store(substitute(at, new Map([[vector.name, literal(j)]])), value.width === 1 ? value : lane(value, j))
  return out
}
