/**
 * storage: how values lie in memory between kernels, by the precision that was asked for.
 *
 *   fast    k cache [key, kv, dim]       f32 → bf16      a state that grows: read whole in every step
 *           h [seq, hidden]              f32 → bf16      an intermediate result: written once, read by many blocks
 *           ranks  [row, place]          f32             what is ranked: the choice is made on f32
 *   u [seq, hidden]              f32 → f16       what is rounded to f16 anyway, for products in it
 *   exact   everything as its dtype
 *
 * Accumulation stays f32, and so does arithmetic but for what `halve` takes in f16; a load widens, a store rounds to nearest even. What stays
 * f32 in `fast`, and why:
 * - results and small states: the host reads them, and sampling ranks the logits;
 * - whatever a comparison, a ranking, an index, a rounding or a bit pattern of the same unit is made of, through contractions, too: a result
 *   that jumps must not jump because of the storage; but for codes of integer rows, whose jumps are no larger than what rounding is. (One of the goldens was wrong by 1e-2 otherwise.) States are the exception: their bytes
 *   are what matters;
 * - what one unit hands to the next, and the terms that are added up for it: a sum over all layers, in which every rounding stays. With
 *   it in bf16 the goldens' error of dense models doubles at three layers (3e-5 → 6e-5) and would grow with each;
 * - short rows: statistics and pivots of rows are few bytes that whole rows are scaled by;
 * - rows of an odd number of elements, or whose number is not known: two elements share a word, and a lane writes both. Machines that store
 *   single halves have no such rows.
 */

import type { Precision } from "../../runtime/artifact.js"
import { literalExtent } from "../ir/dim.js"
import { freeVariables, walk } from "../ir/expression.js"
import type { Storage } from "../ir/loop.js"
import type { TileOptions } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import type { DType, Operation } from "../ir/operations.js"
import { sources, topological } from "../ir/tensor/walk.js"
import type { Tensor } from "../ir/tensor.js"
import { isCode } from "./integer-rows.js"
import { isNarrowed, sumsOfSpans } from "./scaled-rows.js"

/** Rows of intermediate results that are shorter stay f32: longer than any number of rows that share a statistic. */
export const shortestRow = 24

interface StateAxes {
  readonly axes: readonly { readonly extent: number; readonly grows: boolean }[]
  readonly dtype: DType
}

type Halves = Pick<TileOptions, "singleHalves" | "evenRows">

const mayBeOdd = ({ singleHalves, evenRows }: Halves) => singleHalves === true && evenRows !== true

/** How a state lies in memory. */
export function stateStorage({ axes, dtype }: StateAxes, precision: Precision, halves: Halves): Storage {
  const last = axes.at(-1)
  const storable = mayBeOdd(halves) || (last !== undefined && !last.grows && last.extent % 2 === 0)
  return precision === "fast" && dtype === "f32" && storable && axes.some((a) => a.grows) ? "bf16" : dtype
}

/** How the intermediate results of a program, or of a unit, lie in memory when they get any; shorter rows than `shortest` stay. */
export function scratchStorage(
  results: readonly Tensor[],
  precision: Precision,
  halves: Halves = {},
  shortest = shortestRow,
): (t: Tensor) => Storage {
  if (precision === "exact") return (t) => t.dtype
  const order = topological(results)
  const consumers = new Map<Tensor, Tensor[]>()
  for (const t of order) for (const s of sources(t)) consumers.set(s, [...(consumers.get(s) ?? []), t])
  const crossing = new Set(order.flatMap((t) => (t.kind === "call" ? [t, ...t.args] : [])))
  for (const t of results) crossing.add(t)
  const decides = new Set<Tensor>()
  const handedOn = new Set<Tensor>()
  for (const t of [...order].reverse()) {
    const readers = consumers.get(t) ?? []
    if (readers.some((c) => jumpsAlong(t, c) || (c.kind !== "call" && decides.has(c)))) decides.add(t)
    const added = (c: Tensor) => (c.kind === "map" || c.kind === "reindex") && handedOn.has(c)
    if (crossing.has(t) || readers.some(added)) handedOn.add(t)
  }
  const chosen = order.filter(
    (t) => t.dtype === "f32" && longRows(t, shortest, mayBeOdd(halves)) && !decides.has(t) && !handedOn.has(t),
  )
  const rounded = new Set(chosen)
  for (const t of sumsOfSpans(order)) rounded.delete(t)
  const isEven = (t: Tensor) => longRows(t, 1, mayBeOdd(halves))
  return (t) => (isNarrowed(t) && isEven(t) ? "f16" : rounded.has(t) ? "bf16" : t.dtype)
}

function longRows(t: Tensor, shortest: number, odd: boolean): boolean {
  const last = t.axes.at(-1)
  const extent = last && literalExtent(last.extent)
  return extent !== undefined && (odd || extent % 2 === 0) && extent >= shortest
}

/** Whether a consumer may jump when `t` changes a little. */
function jumpsAlong(t: Tensor, consumer: Tensor): boolean {
  switch (consumer.kind) {
    case "map":
      return !isCode(consumer) && consumer.args.some((a, i) => a === t && jumps(consumer.body, `$${i}`))
    case "reduce":
      return !["sum", "max", "min", "online"].includes(consumer.monoid.kind)
    case "scan":
      return !["sum", "max", "min"].includes(consumer.monoid.kind)
    case "gather":
      return consumer.index === t
    // A state that keeps f32 may be for anything.
    case "update":
      return consumer.state.storage !== "bf16"
    case "call":
    case "reindex":
    case "input":
    case "constant":
    case "iota":
      return false
    default:
      return consumer satisfies never
  }
}

const stepped: ReadonlySet<Operation> = new Set(["rem", "sign", "floor", "ceil", "round", "trunc"])

/** Whether a scalar function has jumps along an f32 parameter: it compares it, rounds it or takes its bits. */
function jumps(body: Expression, parameter: string): boolean {
  let found = false
  walk(body, (x) => {
    if (x.kind !== "operation" || (x.dtype === "f32" && !stepped.has(x.operation))) return
    if (x.args.some((a) => a.dtype === "f32" && freeVariables(a).has(parameter))) found = true
  })
  return found
}
