/**
 * Runs: how a long fold that rounds is taken, so that its error grows with the logarithm of its length and not with its length.
 *
 *   Σ x over n   →   for r { a = 0; for i < 8 { a = a + x[8·r + i] } … merge a with what is kept … }
 *
 *   run 0   kept at level 0                                    run 2   kept at level 0
 *   run 1   merged with level 0, kept at level 1               run 3   merged with level 0 and level 1, kept at level 2   …
 *
 * A level is kept while its bit is set in the number of runs that are done, as in a binary counter; at the end the kept ones are merged, the
 * lowest level first. Merging is the monoid's own, so that what is said of sums holds for carried folds. Of the roundings that one element
 * goes through, 7 are in its run, one is at each level, and log2 of the accumulators side by side come after: less than 8 + log2 n in all,
 * the rounding of a product included.
 *
 * Where the extent is known to be at most `longestLoop` one loop remains, with the error of a loop. Integers, maxima and arguments of maxima
 * never round.
 */
import { add, apply, fetch, literal, mul, operands, sub, variable } from "../ir/expression.js"
import type { Kernel } from "../ir/kernel.js"
import type { Statement } from "../ir/loop.js"
import { monoidParts } from "../ir/monoid.js"
import type { Expression, Reduce, Scan } from "../ir/nodes.js"
import { rangeOf } from "./clean.js"
import { assign, declare, type Naming } from "./tile-accumulators.js"
import { Refused } from "./tile-block.js"
import { combine, isComponentwise } from "./tile-fold.js"

/** Elements that a fold may have at most to be one loop: as many as have been measured to be harmless in models. */
export const longestLoop = 4096

/** Turns of a run: 7 roundings, less the 3 levels that runs of 8 save, leave room for those of a product, a rest and an uneven number of runs. */
export const longestRun = 8

/** Whether the order of merging shows in the result. */
export const rounds = (r: Reduce): boolean =>
  monoidParts(r.monoid).some(
    ({ monoid, at }) => monoid.kind === "carried" || (monoid.kind === "sum" && r.lift[at]!.dtype === "f32"),
  )

/** Elements of each folded axis at most, by the ranges of symbols and axes; those of data and of what is not known are without a bound. */
export function longestFolds(kernel: Kernel): ReadonlyMap<string, number> {
  const ranges = new Map<string, { readonly low: number; readonly high: number }>()
  const longest = new Map<string, number>()
  const bound = (axis: string, extent: Expression, more = 0) => {
    const most = Math.max(0, rangeOf(extent, ranges).high + more, longest.get(axis) ?? 0)
    ranges.set(axis, { low: 0, high: Math.max(0, most - 1) })
    longest.set(axis, most)
  }
  const seen = new Set<Expression>()
  const visit = (x: Expression): void => {
    if (seen.has(x)) return
    seen.add(x)
    if (x.kind === "reduce" || x.kind === "scan") foldBound(x)
    for (const o of operands(x)) visit(o)
  }
  const foldBound = (x: Reduce | Scan) => (x.kind === "reduce" ? bound(x.axis, x.extent) : bound(x.axis, x.at, 1))
  // Twice: folds that share an axis may have different extents, and others may depend on it.
  for (let pass = 0; pass < 2; pass++) {
    seen.clear()
    for (const item of kernel.items) {
      for (const a of item.axes) ranges.set(a.name, { low: 0, high: Math.max(0, rangeOf(a.extent, ranges).high - 1) })
      visit(item.value)
      if (item.kind === "store") for (const i of item.index) visit(i)
    }
  }
  return longest
}

/**
 * Turns of a run, or undefined where a fold is one loop. `elements`: how many it has at most; `wanted`: what the schedule says.
 * Refuses longer runs than the bound of the error allows.
 */
export function runOf(group: readonly Reduce[], elements: number, wanted: number | undefined): number | undefined {
  if (!group.some(rounds)) return undefined
  const long = elements > longestLoop
  if (long && wanted !== undefined && wanted > longestRun)
    throw new Refused("reduce/run", `runs of ${wanted} of '${group[0]!.axis}' lose digits; ${longestRun} is the most`)
  return wanted ?? (long ? longestRun : undefined)
}

/** Per set, per fold, the components of an accumulator. */
export type Sets = readonly (readonly (readonly Expression[])[])[]

/** The loops around the innermost one. */
export interface Around {
  /** What stands before them. */
  readonly out: Statement[]
  /** What must follow them. */
  readonly after: Statement[]
  /** How often they run the innermost one at most. */
  readonly turns: number
  readonly nested: boolean
}

/** The accumulators of each run. */
export interface Runs {
  /** Turns of one. */
  readonly turns: number
  open(out: Statement[]): Sets
  close(sets: Sets, out: Statement[]): void
}

/**
 * The runs of some folds, which end in `totals`; those that never round go there at once. `sets`: accumulators side by side; `most`: runs
 * at most.
 */
export function createRuns(
  group: readonly Reduce[],
  totals: Sets[number],
  { turns, sets, most }: { readonly turns: number; readonly sets: number; readonly most: number },
  { out, after }: Pick<Around, "out" | "after">,
  naming: Naming,
): Runs {
  const merged = group.flatMap((r, i) => (rounds(r) ? [i] : []))
  const pick = <T>(list: readonly T[]): readonly T[] => merged.map((i) => list[i]!)
  const pairs = createPairs(pick(group), pick(totals), levelsFor(most), out, naming)
  pairs.collapse(pick(totals), after)
  return {
    turns,
    open: (body) =>
      Array.from({ length: sets }, () =>
        group.map((r, i) => (rounds(r) ? declare(r, totals[i]![0]!.width, body, naming) : totals[i]!)),
      ),
    close: (own, body) => {
      for (const i of merged)
        inPairs(
          group[i]!,
          own.map((set) => set[i]!),
          body,
          naming,
        )
      pairs.push(pick(own[0]!), body)
    },
  }
}

/** Merges accumulators that stand side by side into the first. */
function inPairs(r: Reduce, accumulators: Sets[number], body: Statement[], naming: Naming): void {
  for (let apart = 1; apart < accumulators.length; apart *= 2)
    for (let i = 0; i + apart < accumulators.length; i += 2 * apart) {
      const [first, other] = [accumulators[i]!, accumulators[i + apart]!]
      assign(first, combine(r.monoid, first, other), isComponentwise(r.monoid), body, naming)
    }
}

/** What is kept of the runs that are done. */
export interface Pairs {
  /** Merges the accumulators of one run with what is kept, as the number of runs says. */
  push(accumulators: Accumulators, out: Statement[]): void
  /** Merges what is kept into the accumulators. */
  collapse(into: Accumulators, out: Statement[]): void
}

/** Per fold the components of its accumulator. */
type Accumulators = Sets[number]

/** Levels that so many runs need. */
export const levelsFor = (runs: number): number => Math.floor(Math.log2(Math.max(1, Math.min(runs, 2 ** 31)))) + 1

/**
 * Room for the levels of some folds, declared in `out`. `like` are their accumulators.
 */
export function createPairs(
  group: readonly Reduce[],
  like: Accumulators,
  levels: number,
  out: Statement[],
  naming: Naming,
): Pairs {
  const count = naming.fresh("runs")
  out.push({ kind: "let", name: count, value: literal(0), mutable: true })
  const kept = like.map((components) =>
    components.map(({ dtype, width }) => {
      const array = naming.fresh("level")
      out.push({ kind: "alloc", name: array, dtype, size: levels * width, space: "register" })
      return { array, dtype, width }
    }),
  )
  const at = (level: Expression, width: number) => mul(level, literal(width))
  const merge = (accumulators: Accumulators, level: Expression, body: Statement[]) => {
    for (const [i, r] of group.entries()) {
      const earlier = kept[i]!.map(({ array, dtype, width }) => fetch(array, at(level, width), dtype, width))
      const own = accumulators[i]!
      assign(own, combine(r.monoid, earlier, own), isComponentwise(r.monoid), body, naming)
    }
  }
  return {
    push: (accumulators, body) => {
      const done = naming.fresh("done")
      body.push({ kind: "let", name: done, value: add(variable(count), literal(1)), mutable: false })
      const free = naming.fresh("free")
      body.push({ kind: "let", name: free, value: trailingZeros(variable(done)), mutable: false })
      const level = naming.fresh("level")
      const merging: Statement[] = []
      merge(accumulators, variable(level), merging)
      body.push({ kind: "for", variable: level, extent: variable(free), bind: "serial", body: merging })
      for (const [i, components] of kept.entries())
        for (const [j, { array, width }] of components.entries())
          body.push({ kind: "store", array, offset: at(variable(free), width), value: accumulators[i]![j]! })
      body.push({ kind: "assign", name: count, value: variable(done) })
    },
    collapse: (into, body) => {
      const level = naming.fresh("level")
      const merging: Statement[] = []
      merge(into, variable(level), merging)
      const bit = apply("bitand", apply("shr", variable(count), variable(level)), literal(1))
      body.push({
        kind: "for",
        variable: level,
        extent: bitLength(variable(count)),
        bind: "serial",
        body: [{ kind: "if", condition: apply("eq", bit, literal(1)), body: merging, otherwise: [] }],
      })
    },
  }
}

/** The exponent of an integer from 1 on as f32 has it, 127 more than log2. */
const exponent = (x: Expression): Expression =>
  apply("toI32", apply("shr", apply("bits", apply("toF32", x)), literal(23, "u32")))

/** Zeros below the lowest bit that is set; there is one. */
const trailingZeros = (x: Expression): Expression => sub(exponent(apply("bitand", x, apply("neg", x))), literal(127))

/** Bits up to the highest that is set, or one more beyond 2^24; not above 0 where there is none. */
const bitLength = (x: Expression): Expression => sub(exponent(x), literal(126))
