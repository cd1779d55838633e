/**
 * merge-folds: kernel → kernel. Folds along axes that follow one another in memory become one, along one axis of all their elements.
 *
 *   sum_{kv < 8}(sum_{dim < 128}(x[kv, dim] · w[o, kv, dim]))   →   sum_{dim < 1024}(x[dim] · w[o, dim])        x and w of one axis less
 *
 * Lanes that share a fold then share all of it. Only where every read of the one axis is a read of the other right after it.
 */

import { literalExtent } from "../ir/dim.js"
import {
  add,
  freeVariables,
  identity,
  literal,
  load,
  mul,
  operands,
  reduce,
  rewriter,
  variable,
} from "../ir/expression.js"
import { bufferOf, type Item, type Kernel, mapItem, rootsOf } from "../ir/kernel.js"
import type { Expression, Load, Reduce } from "../ir/nodes.js"
import { chainOf, nodesOf } from "../ir/query.js"
import type { Fused } from "./fuse.js"
import { mergeRules } from "./rules.js"

/** The steps with such folds merged. */
export const mergeFolds = (fused: Fused): Fused => ({
  ...fused,
  steps: fused.steps.map((s) => (s.kind === "kernel" ? { ...s, kernel: merged(s.kernel) } : s)),
})

/** Two folds of a chain, one right inside of the other. */
interface Pair {
  readonly outer: Reduce
  readonly inner: Reduce
  /** Per buffer: the place of the outer axis in its index. */
  readonly at: ReadonlyMap<string, number>
}

export function merged(kernel: Kernel): Kernel {
  for (let now = kernel; ; ) {
    const folds = nodesOf(now.items.flatMap(rootsOf), "reduce")
    const pair = folds.map((r) => pairOf(r, now)).find((p) => p !== undefined)
    if (pair === undefined) return now
    now = mergePair(pair, now)
  }
}

function pairOf(outer: Reduce, kernel: Kernel): Pair | undefined {
  const inner = chainOf(outer)[1]
  if (inner === undefined) return undefined
  const [count, each] = [literalExtent(outer.extent), literalExtent(inner.extent)]
  if (count === undefined || each === undefined) return undefined
  const at = new Map<string, number>()
  const seen = new Set<Expression>()
  // Whether the axes stand side by side wherever they stand.
  const fits = (x: Expression): boolean => {
    if (seen.has(x)) return true
    seen.add(x)
    if (!freeVariables(x).has(outer.axis) && !freeVariables(x).has(inner.axis)) return true
    if (x.kind === "load")
      return sideBySide(x, outer.axis, inner.axis, at) && shapeOf(x)[at.get(x.buffer)! + 1] === each
    return x.kind !== "variable" && x.kind !== "localRead" && operands(x).every(fits)
  }
  const shapeOf = (x: Load) => bufferOf(kernel, x.buffer).shape
  if (!inner.lift.every(fits) || at.size === 0) return undefined
  // A buffer that is bound in parts is divided along its first axis.
  const large = (name: string) =>
    bufferOf(kernel, name).shape.reduce((n, s) => n * s, 1) > mergeRules.elementsOfOneBinding
  return [...at].some(([name, place]) => place === 0 && large(name)) ? undefined : { outer, inner, at }
}

function sideBySide(x: Load, outer: string, inner: string, at: Map<string, number>): boolean {
  const place = x.index.findIndex((i) => i.kind === "variable" && i.name === outer)
  const next = x.index[place + 1]
  const known = at.get(x.buffer)
  if (place < 0 || next?.kind !== "variable" || next.name !== inner || (known !== undefined && known !== place))
    return false
  at.set(x.buffer, place)
  return x.index.every(
    (i, p) => p === place || p === place + 1 || (!freeVariables(i).has(outer) && !freeVariables(i).has(inner)),
  )
}

function mergePair({ outer, inner, at }: Pair, kernel: Kernel): Kernel {
  const each = literalExtent(inner.extent)!
  const one = variable(inner.axis)
  // Of two indices one: of the pair the inner axis, which has all elements now.
  const joined = (index: readonly Expression[], place: number): readonly Expression[] => {
    const [a, b] = [index[place]!, index[place + 1]!]
    const ofPair = a.kind === "variable" && a.name === outer.axis && b === one
    return [...index.slice(0, place), ofPair ? one : add(mul(a, literal(each)), b), ...index.slice(place + 2)]
  }
  const key = identity(outer)
  const visit = rewriter((x, again) => {
    if (x.kind === "load" && at.has(x.buffer))
      return load(x.buffer, joined(x.index, at.get(x.buffer)!).map(again), x.dtype)
    if (x.kind !== "reduce" || identity(x) !== key) return undefined
    const extent = literal(literalExtent(outer.extent)! * each)
    return reduce(inner.axis, extent, inner.monoid, inner.lift.map(again))
  })
  const items = kernel.items.map((i): Item => {
    const place = i.kind === "store" ? at.get(i.buffer) : undefined
    return mapItem(i.kind === "store" && place !== undefined ? { ...i, index: joined(i.index, place) } : i, visit)
  })
  const buffers = kernel.buffers.map((b) => {
    const place = at.get(b.name)
    if (place === undefined) return b
    const [before, a, c] = [b.shape.slice(0, place), b.shape[place]!, b.shape[place + 1]!]
    return { ...b, shape: [...before, a * c, ...b.shape.slice(place + 2)] }
  })
  return { ...kernel, items, buffers }
}
