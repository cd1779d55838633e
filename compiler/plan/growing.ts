/**
 * growing: which states hold something only as far as the tokens have come, so that a new sequence need not clear the whole of them.
 *
 *     k [key < 40960, kv, dim]    append(past.k, "key", x[seq → key])     rows 0 … past + seq − 1 are written
 *     k [key < 40960, kv, dim]    append(past.k, "key", x[key 3])         rows beyond them, too: no such state
 */
import type { ArtifactBuffer } from "../../runtime/artifact.js"
import { isLiteral } from "../ir/expression.js"
import { storageBytes } from "../ir/loop.js"
import type { Tensor, Update } from "../ir/tensor.js"
import { originOf, type TracedModel } from "../trace/programs.js"

/** The buffers with the bytes of a row of states that lie along the tokens and grow by one row with each, and how many of them are kept. */
export function markGrowing(buffers: readonly ArtifactBuffer[], traced: TracedModel): readonly ArtifactBuffer[] {
  const growing = new Set(traced.states.filter(({ axes }) => isSymbol(axes[0]?.extent, "past")).map(({ name }) => name))
  for (const { updates } of traced.entries)
    for (const { state, tensor } of updates) if (!growsByToken(originOf(tensor))) growing.delete(state.name)
  const keeps = new Map(traced.states.map(({ name, kept }) => [name, kept && { keeps: kept.rows }] as const))
  return buffers.map((b) => {
    if (!growing.has(b.name)) return b
    const row = b.shape.slice(1).reduce((n, s) => n * s, storageBytes(b.storage))
    return { ...b, row, ...keeps.get(b.name) }
  })
}

/** Whether a write appends as many rows as there are tokens, or one. */
function growsByToken(t: Tensor): boolean {
  if (t.kind !== "update") return false
  const count = addedExtent(t)
  return isSymbol(count, "seq") || (count !== undefined && isLiteral(count) && count.value <= 1)
}

const addedExtent = ({ axis, value }: Update) => value.axes.find((a) => a.name === axis)?.extent

const isSymbol = (x: { readonly kind: string } | undefined, name: string): boolean =>
  x?.kind === "symbol" && (x as { readonly name?: string }).name === name
