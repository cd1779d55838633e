/**
 * Pairs: stores of neighbours in memory where two elements share a word.
 *
 *   y[2·i] = a; y[2·i + 1] = b      →   y[2·i : 2] = (a, b)      when y is bf16 or f16
 *
 * What a lane holds along the last axis of memory are such neighbours when its register tile is even. Where each element is computed (by
 * vectors, by lanes together) does not matter.
 */
import { isLiteral, vector } from "../ir/expression.js"
import { difference } from "../ir/linear.js"
import { packed, type Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import type { Build } from "./block.js"
import { multipleOf } from "./vector.js"

/** Where one element goes: `at` before translation, which shows its form, and `offset` and `value` after it. */
export interface Element {
  readonly at: Expression
  readonly offset: Expression
  readonly value: Expression
}

/** The stores of elements, each of which lies somewhere else. */
export function storeElements(
  array: string,
  elements: readonly Element[],
  { kernel }: Pick<Build, "kernel">,
): readonly Statement[] {
  const buffer = kernel.buffers.find((b) => b.name === array)
  const inPairs = buffer !== undefined && packed(buffer.storage)
  const rest = new Set(elements)
  const out: Statement[] = []
  for (const first of elements) {
    if (!rest.delete(first)) continue
    const second = inPairs && multipleOf(first.at, 2) ? [...rest].find((e) => isNext(e, first)) : undefined
    if (second !== undefined) rest.delete(second)
    const value = second === undefined ? first.value : vector([first.value, second.value])
    out.push({ kind: "store", array, offset: first.offset, value })
  }
  return out
}

function isNext(e: Element, first: Element): boolean {
  const apart = difference(e.at, first.at)
  return isLiteral(apart) && apart.value === 1
}
