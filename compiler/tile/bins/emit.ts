/**
 * Stores whose lanes add into bins: shared memory with a place for each of the axis, set to 0, then each element of the fold once, by one lane.
 *
 *   y[p, b] = sum_{m < n}(select(digit[p, m] == b, w[p, m], 0))   with   { tile: { b: { block: "all" } }, bins: "b" }
 *   →  bins[lane] = 0; barrier; for m of this lane { bins[digit[p, m]] += w[p, m] }; barrier; y[p, lane] = bins[lane]
 *
 * A block is one place of each other axis. The folded axis is dealt out by vectors, `innerUnroll` of them in a turn: what all of them read is
 * under way before the first is added.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, lane, literal, localRead, mul, rewrite, substitute, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import { rangeOf } from "../../ir/ranges.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import { type BlockAxis, type Build, blockAxis, laneVariable, Refused } from "../block.js"
import { emitIterations } from "../iterations.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { guarded } from "../store-copies.js"
import { lowerValues } from "../values.js"
import { type Binned, binnedFolds } from "./find.js"

/** A sum, and the array that its lanes add into. */
interface Bins extends Binned {
  readonly array: string
}

/** Emits a store whose elements are added into bins along `axis`. */
export function emitBins(
  store: Store,
  axes: readonly BlockAxis[],
  axis: BlockAxis,
  schedule: StoreSchedule,
  given: Lowerer,
  start: Scope,
  parts: Build,
): void {
  const { name } = axis.axis
  const found = binnedFolds(store.value, name)
  const size = literalExtent(axis.axis.extent)
  if (found === undefined) throw new Refused("reduce/bins", `not every element counts at one place of '${name}'`)
  if (size === undefined || axis.cell !== undefined)
    throw new Refused("reduce/bins", `a block has a bin for each place of '${name}', or none`)
  if (axes.some((a) => a !== axis && a.owned !== 1))
    throw new Refused("reduce/bins", "a block is one place of each axis beside that of its bins")
  if (parts.schedule.threads === 1) throw new Refused("reduce/bins", "bins are filled by several lanes")
  const bases = new Map(axes.flatMap((a) => (a === axis ? [] : [[a.axis.name, a.base] as const])))
  const at = (x: Expression) => substitute(x, bases)
  const bins = found.map((b): Bins => ({ ...b, array: binsOf(b, size, parts) }))
  const lowerer = withBins(given, bins, size)
  const { out } = start
  const whole = blockAxis(axis.axis, { block: "all" }, parts.fresh)
  const place = variable(name)
  const alone = { together: 1, spread: false }
  const zeros = bins.map(
    ({ array, fold }): Store => ({
      kind: "store",
      buffer: array,
      axes: [axis.axis],
      index: [place],
      value: literal(0, fold.dtype),
    }),
  )
  emitIterations(zeros, [whole], alone, start, lowerer)
  out.push({ kind: "barrier" })
  for (const b of bins)
    if (bins.find((o) => sameElements(o, b)) === b)
      emitAdditions(
        bins.filter((o) => sameElements(o, b)),
        size,
        schedule,
        at,
        start,
        lowerer,
      )
  out.push({ kind: "barrier" })
  const value = rewrite(store.value, (x) => {
    const own = bins.find((b) => b.fold === x)
    return own && localRead(own.array, [place], own.fold.dtype)
  })
  emitIterations([{ ...store, value }], axes, alone, start, lowerer)
}

/** Whether the elements of two folds are taken in one loop. */
const sameElements = (a: Binned, b: Binned): boolean => a.fold.extent === b.fold.extent

/** Memory for bins: what another store of the kernel has for its own, of which a block runs one only. */
function binsOf({ fold }: Binned, size: number, parts: Build): string {
  const isFree = (name: string) => {
    const kind = parts.shared.get(name)!
    return !parts.taken.has(name) && kind.dtype === fold.dtype && kind.size === size
  }
  const array = [...parts.bins].find(isFree) ?? parts.fresh("bins")
  parts.bins.add(array)
  parts.shared.set(array, { dtype: fold.dtype, size })
  parts.taken.add(array)
  return array
}

/** The lowerer that finds bins under the names of their arrays. */
function withBins(lowerer: Lowerer, bins: readonly Bins[], size: number): Lowerer {
  const isBins = (name: string) => bins.some((b) => b.array === name)
  return {
    ...lowerer,
    shape: (array) => (isBins(array) ? [size] : lowerer.shape(array)),
    scalar: (local) => (isBins(local) ? undefined : lowerer.scalar(local)),
    place: (x) =>
      x.kind === "localRead" && isBins(x.local) ? { array: x.local, offset: x.index[0]! } : lowerer.place(x),
  }
}

/** Each element of one loop is added to its place, by one lane. */
function emitAdditions(
  bins: readonly Bins[],
  size: number,
  schedule: StoreSchedule,
  at: (x: Expression) => Expression,
  start: Scope,
  lowerer: Lowerer,
): void {
  const { axis, extent } = bins[0]!.fold
  const { fresh } = lowerer
  const { turn, width, firsts, count, isWhole } = turnsOf(axis, at(extent), schedule, lowerer)
  const vector = width === 1 ? undefined : { name: fresh("lane"), base: literal(0), width }
  const body: Statement[] = []
  const bound = new Set([...start.bound, turn, "lane", ...(vector === undefined ? [] : [vector.name])])
  const roots = firsts.flatMap((first) => {
    // Beyond the end the last element is read, and not added.
    const safe = isWhole ? first : apply("min", first, apply("sub", at(extent), literal(width)))
    const element = vector === undefined ? safe : add(safe, variable(vector.name))
    const here = new Map(bins.map((b) => [b.fold.axis, element] as const))
    return bins.flatMap((b) => [b.counts, b.place, b.value].map((x) => substitute(at(x), here)))
  })
  const named = memoized((x: Expression): Expression => {
    if (x.kind === "literal" || x.kind === "variable") return x
    const name = fresh("counted")
    body.push({ kind: "let", name, value: x, mutable: false })
    return variable(name, x.dtype, x.width)
  })
  // First all that is read, then lane by lane.
  const wide = lowerValues(roots, { ...start, out: body, vector, bound }, lowerer).map((x) =>
    x.width === 1 ? x : named(x),
  )
  const laneOf = (x: Expression, j: number) => named(x.width === 1 ? x : lane(x, j))
  const single = firsts.map((_, i) =>
    Array.from({ length: width }, (_, j) =>
      bins.map((own, b): Addition => {
        const [counts, place, value] = wide
          .slice(3 * (i * bins.length + b), 3 * (i * bins.length + b + 1))
          .map((x) => laneOf(x, j))
        const isOne = apply("and", apply("ge", place!, literal(0)), apply("lt", place!, literal(size)))
        const condition = isInside(own, size) ? counts! : apply("and", counts!, isOne)
        return { array: own.array, counts: condition, place: place!, value: value! }
      }),
    ),
  )
  for (const [i, first] of firsts.entries()) {
    const within = isWhole ? literal(1, "bool") : apply("lt", first, at(extent))
    body.push(...guarded(within, single[i]!.flatMap(added)))
  }
  start.out.push({ kind: "for", variable: turn, extent: count, bind: "serial", body })
}

/** Whether a place is surely one of the bins. */
function isInside({ place }: Bins, size: number): boolean {
  const { low, high } = rangeOf(place, new Map())
  return low >= 0 && high < size
}

interface Addition {
  readonly array: string
  readonly counts: Expression
  readonly place: Expression
  readonly value: Expression
}

/** One element is added to all bins to which it goes under one condition. */
function added(additions: readonly Addition[]): readonly Statement[] {
  return [...new Set(additions.map((a) => a.counts))].flatMap((counts) => {
    const here = additions.filter((a) => a.counts === counts)
    const adds = here.map(
      ({ array, place, value }): Statement => ({ kind: "store", array, offset: place, value, adds: true }),
    )
    return guarded(counts, adds)
  })
}

/** How the lanes of a workgroup take the elements of an axis in turn. */
function turnsOf(axis: string, extent: Expression, { reduce }: StoreSchedule, { threads, fresh }: Lowerer) {
  const { vector: width = 1, innerUnroll: side = 1, ...rest } = reduce[axis] ?? {}
  if (Object.values(rest).some((x) => x !== undefined))
    throw new Refused("reduce/bins", `of '${axis}' there are vectors and turns, for lanes fold none of it`)
  if (nodesOf([extent], "load", "localRead", "reduce", "scan").length > 0)
    throw new Refused("reduce/bins", `how long '${axis}' is hangs on data`)
  const known = literalExtent(extent)
  if (width > 1 && (known === undefined || known % width !== 0))
    throw new Refused("reduce/vector", `'${axis}' does not end with a whole vector`)
  const taken = threads * width * side
  const turn = fresh(axis)
  const number = (i: number) => add(mul(variable(turn), literal(side)), literal(i))
  const firsts = Array.from({ length: side }, (_, i) =>
    mul(add(mul(number(i), literal(threads)), laneVariable), literal(width)),
  )
  const count = apply("floordiv", add(extent, literal(taken - 1)), literal(taken))
  return { turn, width, firsts, count, isWhole: known !== undefined && known % taken === 0 }
}

/** The axis along which the schedule says there are bins. */
export function binAxis(axes: readonly BlockAxis[], { bins }: StoreSchedule): BlockAxis | undefined {
  if (bins === undefined) return undefined
  const found = axes.find((a) => a.axis.name === bins)
  if (found === undefined) throw new Refused("schedule/unknown-axis", `the store has no axis '${bins}' for bins`)
  return found
}
