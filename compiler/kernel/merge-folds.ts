/**
 * merge-folds: kernel → kernel. Folds along axes that follow one another in memory become one, along one axis of all their elements.
 *
 *   sum_{kv < 8}(sum_{dim < 128}(x[kv, dim] · w[o, kv, dim]))   →   sum_{dim < 1024}(x[dim] · w[o, dim])        x and w of one axis less
 *
 * Lanes that share a fold then share all of it. Only where every read of the one axis is a read of the other right after it, or after axes of
 * one element; or where an index counts the elements of both, as the words of packed ones do: w[o, (128 kv + dim) / 8].
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
  /** Per buffer: the places of both axes in its index; between them stand axes of one element only. */
  readonly at: ReadonlyMap<string, Places>
}

interface Places {
  readonly outer: number
  readonly inner: number
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
  const at = new Map<string, Places>()
  const counted = new Set<string>()
  const seen = new Set<Expression>()
  const counts = (x: Expression) => countsBoth(x, outer.axis, inner.axis, each)
  // Whether the axes stand side by side wherever they stand.
  const fits = (x: Expression): boolean => {
    if (seen.has(x)) return true
    seen.add(x)
    if (!freeVariables(x).has(outer.axis) && !freeVariables(x).has(inner.axis)) return true
    if (x.kind === "load" && x.index.every(counts)) {
      counted.add(x.buffer)
      return true
    }
    if (x.kind === "load")
      return sideBySide(x, outer.axis, inner.axis, shapeOf(x), at) && shapeOf(x)[at.get(x.buffer)!.inner] === each
    return counts(x) || (x.kind !== "variable" && x.kind !== "localRead" && operands(x).every(fits))
  }
  const shapeOf = (x: Load) => bufferOf(kernel, x.buffer).shape
  if (!inner.lift.every(fits) || at.size === 0 || [...at.keys()].some((name) => counted.has(name))) return undefined
  // A buffer that is bound in parts is divided along its first axis.
  const large = (name: string) =>
    bufferOf(kernel, name).shape.reduce((n, s) => n * s, 1) > mergeRules.elementsOfOneBinding
  return [...at].some(([name, place]) => place.outer === 0 && large(name)) ? undefined : { outer, inner, at }
}

/** Whether a value is the same at (outer + 1, inner) and (outer, inner + each), if there were such a place: both count one row of elements. */
function countsBoth(x: Expression, outer: string, inner: string, each: number): boolean {
  const step = stepOf(x, outer, 1)
  if (step !== undefined && step === stepOf(x, inner, each)) return true
  return x.kind === "operation" && x.args.every((a) => countsBoth(a, outer, inner, each))
}

/** By how much an integer grows when a variable does by so much, wherever it is; undefined where that depends. */
function stepOf(x: Expression, name: string, by: number): number | undefined {
  if (!freeVariables(x).has(name)) return 0
  if (x.kind === "variable") return by
  if (x.kind !== "operation") return undefined
  const steps = x.args.map((a) => stepOf(a, name, by))
  const [p, q] = steps
  if (p === undefined || steps.includes(undefined)) return undefined
  const number = x.args[1]?.kind === "literal" ? x.args[1].value : undefined
  switch (x.operation) {
    case "add":
      return p + q!
    case "sub":
      return p - q!
    case "mul":
      return number === undefined ? undefined : p * number
    case "floordiv":
      return number !== undefined && p % number === 0 ? p / number : undefined
    case "floormod":
      return number !== undefined && p % number === 0 ? 0 : undefined
    default:
      return steps.every((s) => s === 0) ? 0 : undefined
  }
}

function sideBySide(x: Load, outer: string, inner: string, shape: readonly number[], at: Map<string, Places>): boolean {
  const place = x.index.findIndex((i) => i.kind === "variable" && i.name === outer)
  const next = x.index.findIndex((i, p) => p > place && i.kind === "variable" && i.name === inner)
  const known = at.get(x.buffer)
  if (place < 0 || next < 0 || shape.slice(place + 1, next).some((s) => s !== 1)) return false
  if (known !== undefined && (known.outer !== place || known.inner !== next)) return false
  at.set(x.buffer, { outer: place, inner: next })
  return x.index.every(
    (i, p) => p === place || p === next || (!freeVariables(i).has(outer) && !freeVariables(i).has(inner)),
  )
}

function mergePair({ outer, inner, at }: Pair, kernel: Kernel): Kernel {
  const each = literalExtent(inner.extent)!
  const one = variable(inner.axis)
  // Of two indices one: of the pair the inner axis, which has all elements now.
  const joined = (index: readonly Expression[], places: Places): readonly Expression[] => {
    const [a, b] = [index[places.outer]!, index[places.inner]!]
    const ofPair = a.kind === "variable" && a.name === outer.axis && b === one
    return merging(index, places, ofPair ? one : add(mul(a, literal(each)), b))
  }
  const key = identity(outer)
  const visit = rewriter((x, again) => {
    if (x.kind === "load" && at.has(x.buffer))
      return load(x.buffer, joined(x.index, at.get(x.buffer)!).map(again), x.dtype)
    // What counts both is that of the inner one, which has all elements now.
    if (x.kind === "variable" && x.name === outer.axis) return literal(0)
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
    return { ...b, shape: merging(b.shape, place, b.shape[place.outer]! * b.shape[place.inner]!) }
  })
  return { ...kernel, items, buffers }
}

/** A list with one in place of two; what stands between them stays. */
const merging = <T>(list: readonly T[], { outer, inner }: Places, one: T): readonly T[] =>
  list.flatMap((x, i) => (i === outer ? [] : i === inner ? [one] : [x]))
