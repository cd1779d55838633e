/**
 * Folds that few results need, each at its end, where one of them folds along as many elements of what they read, too: its pass over memory has
 * all of them, where a local would be another pass in front of it.
 *
 *   n = sum_k x²:  size = √n, y = (sum_k x · p) / √n     →     two stores, three folds, one pass over x
 */
import { axisOf, type Reduce, type Tensor } from "../ir/tensor.js"
import { hasMemory, size } from "../tensor/query.js"
import { cutRules } from "./rules.js"

/** What has been decided of a program. */
interface Draft {
  readonly buffers: ReadonlySet<Tensor>
  readonly consumers: (t: Tensor) => readonly Tensor[]
}

/** Whether a fold is better computed again by each result that needs it; `demand`: how often its elements are asked for then. */
export function foldsAlong(t: Tensor, demand: ReadonlyMap<Tensor, number>, draft: Draft): boolean {
  if (t.kind !== "reduce" || !isPlain(t) || (demand.get(t) ?? 0) > cutRules.resultsOfFold * size(t)) return false
  const own = readsOf(t)
  const ends = own && endsOf(t, draft)
  return ends?.some((root) => foldsAbove(root, t).some((r) => foldsOver(r, t, own!))) ?? false
}

const isPlain = ({ monoid }: Reduce): boolean => ["sum", "max", "min"].includes(monoid.kind)

/** What a fold reads of memory, if that is all: undefined where something else is computed first. */
function readsOf(t: Reduce): ReadonlySet<Tensor> | undefined {
  const below = mapsBelow(t.args)
  const reads = [...below].filter((x) => hasMemory(x))
  return [...below].every((x) => hasMemory(x) || x.kind === "map" || x.kind === "constant") ? new Set(reads) : undefined
}

/** The results that a tensor becomes through maps of as many elements; undefined when it becomes anything else. */
function endsOf(t: Tensor, { buffers, consumers }: Draft): readonly Tensor[] | undefined {
  const found = new Set([t])
  for (const x of found) if (!buffers.has(x)) for (const o of consumers(x)) found.add(o)
  const same = [...found].every((x) => size(x) === size(t) && (x === t || x.kind === "map"))
  return same ? [...found].filter((x) => buffers.has(x)) : undefined
}

/** The folds besides `t` that a result is made of by maps. */
const foldsAbove = (root: Tensor, t: Tensor): readonly Reduce[] =>
  [...mapsBelow([root])].flatMap((x) => (x.kind === "reduce" && x !== t ? [x] : []))

/** Tensors, what those of them that are maps are made of, and so on. */
function mapsBelow(roots: readonly Tensor[]): ReadonlySet<Tensor> {
  const found = new Set(roots)
  for (const x of found) if (x.kind === "map") for (const a of x.args) found.add(a)
  return found
}

/** Whether a fold goes over as many elements of what `t` reads. */
function foldsOver(r: Reduce, t: Reduce, reads: ReadonlySet<Tensor>): boolean {
  const theirs = isPlain(r) ? readsOf(r) : undefined
  const extent = (x: Reduce) => axisOf(x.args[0]!, x.axis)?.extent
  return theirs !== undefined && extent(r) === extent(t) && [...reads].every((x) => theirs.has(x))
}
