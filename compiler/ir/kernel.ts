/**
 * The kernel language: one fused, unscheduled unit of work.
 *
 *   Local  m[row.1]          = max_{key.2 < length}(scores[row.1, key.2])
 *   Store  y[row.1, dim.3]   = sum_{key.2 < length}(exp(scores[…] − m{row.1}) · v[key.2, dim.3])
 *
 * A kernel is an ordered list of items, each over its own iteration axes; values are expressions (loads, reductions, scans, reads of
 * locals that stand before). Stores with different axes make a sum of domains: the grid is the concatenation of their blocks. A `Local` is
 * computed once per owner and read at any index; where it lives and who owns it is the schedule's choice. The axes of items have names of their
 * own; folds may share one side by side, and then their schedule, but never one inside of the other. No item reads what another item of the same kernel stores.
 */
import { fault, type Span } from "../../runtime/errors.js"
import type { Storage } from "./loop.js"
import type { Expression } from "./nodes.js"
import type { DType } from "./operations.js"
import type { Axis } from "./tensor.js"

export interface KernelBuffer {
  readonly name: string
  readonly dtype: DType
  readonly storage: Storage
  /** Capacity per axis, slowest first: the row-major layout. */
  readonly shape: readonly number[]
}

export interface Local {
  readonly kind: "local"
  readonly name: string
  readonly axes: readonly Axis[]
  readonly value: Expression
}
export interface Store {
  readonly kind: "store"
  readonly buffer: string
  readonly axes: readonly Axis[]
  /** One per axis of the buffer; distinct points of `axes` give distinct elements. */
  readonly index: readonly Expression[]
  readonly value: Expression
}
export type Item = Local | Store

export interface Kernel {
  readonly name: string
  readonly buffers: readonly KernelBuffer[]
  readonly items: readonly Item[]
  /** Folded axes that are parts of longer ones: what is said of long folds holds for theirs. */
  readonly long?: readonly string[]
  /** The places of the model that this kernel computes, outermost call first. */
  readonly spans: readonly Span[]
}

export const bufferOf = (kernel: Kernel, name: string): KernelBuffer => {
  const found = kernel.buffers.find((b) => b.name === name)
  if (found === undefined) throw fault(`kernel '${kernel.name}' has no buffer '${name}'`)
  return found
}

/** The expressions of an item: where it stores, and what. */
export const rootsOf = (item: Item): readonly Expression[] =>
  item.kind === "local" ? [item.value] : [...item.index, item.value]

/** The item with its expressions replaced. */
export function mapItem(item: Item, change: (x: Expression) => Expression): Item {
  const value = change(item.value)
  return item.kind === "local" ? { ...item, value } : { ...item, value, index: item.index.map(change) }
}

/** The buffers that an item's stores write. */
export const written = (kernel: Kernel): ReadonlySet<string> =>
  new Set(kernel.items.flatMap((i) => (i.kind === "store" ? [i.buffer] : [])))
