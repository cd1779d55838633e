/**
 * Runs: how a long fold that rounds is taken, so that its error grows with the logarithm of its length and not with its length.
 *
 *   Σ x over n   →   for r { a = 0; for i < 8 { a = a + x[8·r + i] } … merge a with what is kept … }
 *
 *   run 0   kept at level 0                                    run 2   kept at level 0
 *   run 1   merged with level 0, kept at level 1               run 3   merged with level 0 and level 1, kept at level 2   …
 *
 * A level is kept while its bit is set in the number of runs that are done, as in a binary counter; at the end the kept ones are merged, the
 * lowest level first. Merging is the monoid's own, so that what is said of sums holds for online folds. Of the roundings that one element
 * goes through, 7 are in its run, one is at each level, and log2 of the accumulators side by side come after: less than 8 + log2 n in all,
 * the rounding of a product included.
 *
 * Where the extent is known to be at most `longestLoop` one loop remains, with the error of a loop. Integers, maxima and arguments of maxima
 * never round.
 */

import { literalExtent } from "../ir/dim.js"
import { add, apply, fetch, literal, mul, sub, variable } from "../ir/expression.js"
import { longestLoop } from "../ir/fold-lengths.js"
import type { Statement } from "../ir/loop.js"
import { monoidParts } from "../ir/monoid.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { type Accumulators, assign, declare, type Naming, unflatten } from "./accumulators.js"
import { Refused } from "./block.js"
import { combine, isComponentwise } from "./fold.js"

/** Turns of a run: 7 roundings, less the 3 levels that runs of 8 save, leave room for those of a product, a rest and an uneven number of runs. */
export const longestRun = 8

/**
 * Whether `runs` of `turns` elements may be merged one after the other: (turns − 1) + (runs − 1) roundings, that of a product, and, unless all is
 * `even`, room for a rest and for an uneven number of what is merged above.
 */
export const fitInLine = (turns: number, runs: number, even = false): boolean =>
  turns + runs - 1 + (even ? 0 : 2) <= longestRun + Math.log2(turns * runs)

/**
 * Whether runs of so many elements may be merged by pairs when an element goes through so many roundings inside of its run; room is left for that
 * of a product and for an uneven number of runs.
 */
const fitInRun = (roundings: number, elements: number): boolean => roundings + 2 <= longestRun + Math.log2(elements)

/** How many chunks go one after the other into the same accumulators, and how many sums of those into others, before they are merged by pairs. */
export interface InLine {
  readonly chunks: number
  readonly sums: number
}

/** How the chunks of a long fold are added up. */
export interface ChunkShape {
  /** Elements that are added up in one expression. */
  readonly together: number
  readonly inLine: InLine
}

export interface ChunkElements {
  readonly size: number
  readonly step: number
  /** Elements of a run. */
  readonly run: number
  /** Elements of the folds inside of each element. */
  readonly inside: number
  /** Elements that a chunk has on the average at least: fewer than `size` where loops around end with a part of one again and again. */
  readonly least: number
  /** Whether each chunk has accumulators of its own, as those with pivots have. */
  readonly own: boolean
}

/**
 * As many in line as the bound of the error allows.
 *
 *   chunks of 16, runs of 8   →   8 products in an expression, 2 chunks in line, 4 of their sums in line: 7 + 3 + 3 roundings, and a merge per 128 elements
 */
export function shapeOfChunk({ size, step, run, inside, least, own }: ChunkElements): ChunkShape {
  const longer = run % step === 0 && size % run === 0 ? run : step
  const wanted = step > 1 && size % step === 0 ? longer : 1
  const depthOf = (elements: number) => inside - 1 + elements - 1 + Math.ceil(size / elements) - 1
  const together = fitInRun(depthOf(wanted), least * inside) ? wanted : 1
  // What is not added up in one expression is in runs.
  const unit = together === 1 ? run : together
  const depth = depthOf(unit)
  if (!fitInRun(depth, least * inside)) return { together, inLine: { chunks: 1, sums: 1 } }
  const turns = Math.ceil(size / unit)
  const elements = (chunks: number) => least * inside * chunks
  let chunks = 1
  while (!own && fitInRun(depth + (2 * chunks - 1) * turns, elements(2 * chunks))) chunks *= 2
  let sums = 1
  while (fitInRun(depth + (chunks - 1) * turns + 2 * sums - 1, elements(2 * chunks * sums))) sums *= 2
  return { together, inLine: { chunks, sums } }
}

/** Whether the order of merging shows in the result. */
export const rounds = (r: Reduce): boolean =>
  monoidParts(r.monoid).some(
    ({ monoid, at }) => monoid.kind === "online" || (monoid.kind === "sum" && r.lift[at]!.dtype === "f32"),
  )

/**
 * Turns of a run, or undefined where a fold is one loop. `elements`: how many it has at most; `inside`: how many the folds inside of each turn
 * have; `wanted`: what the schedule says. Refuses longer runs than the bound of the error allows.
 */
export function runOf(
  group: readonly Reduce[],
  elements: number,
  inside: number,
  wanted: number | undefined,
): number | undefined {
  if (!group.some(rounds)) return undefined
  const long = elements > longestLoop
  if (long && wanted !== undefined && wanted > longestRun)
    throw new Refused("reduce/run", `runs of ${wanted} of '${group[0]!.axis}' lose digits; ${longestRun} is the most`)
  if (!long) return wanted
  // The runs of what is inside count as well.
  return Math.max(1, Math.floor((wanted ?? longestRun) / inside))
}

/** Per set, per fold, the components of an accumulator. */
export type Sets = readonly Accumulators[]

/** The loops around the innermost one. */
export interface Around {
  /** What stands before them. */
  readonly out: Statement[]
  /** What must follow them. */
  readonly after: Statement[]
  /** How often they run the innermost one at most. */
  readonly turns: number
  readonly nested: boolean
  /** Whether one of them is part of a longer one. */
  readonly long: boolean
  /** Whether all lanes of a workgroup run them equally often. */
  readonly alike: boolean
}

/** The accumulators of each run. */
export interface Runs {
  /** Turns of one. */
  readonly turns: number
  open(out: Statement[]): Sets
  close(sets: Sets, out: Statement[]): void
}

export interface RunShape {
  readonly turns: number
  /** Accumulators side by side. */
  readonly sets: number
  /** Runs at most. */
  readonly most: number
  /** Whether runs are merged one after the other. */
  readonly inLine?: boolean
}

/** The runs of some folds, which end in `totals`; those that never round go there at once. */
export function createRuns(
  group: readonly Reduce[],
  totals: Accumulators,
  { turns, sets, most, inLine = false }: RunShape,
  { out, after }: Pick<Around, "out" | "after">,
  naming: Naming,
): Runs {
  const merged = group.flatMap((r, i) => (rounds(r) ? [i] : []))
  const pick = <T>(list: readonly T[]): readonly T[] => merged.map((i) => list[i]!)
  const into = pick(totals).flat()
  const merge = mergeOf(pick(group), pick(totals))
  const pairs = inLine ? undefined : createPairs(merge, levelsFor(most), out, naming)
  pairs?.collapse(into, after)
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
      const run = pick(own[0]!).flat()
      if (pairs !== undefined) pairs.push(run, body)
      else assign(into, merge.combine(into, run), merge.independent, body, naming)
    },
  }
}

/** Merges accumulators that stand side by side into the first. */
function inPairs(r: Reduce, accumulators: Accumulators, body: Statement[], naming: Naming): void {
  for (let apart = 1; apart < accumulators.length; apart *= 2)
    for (let i = 0; i + apart < accumulators.length; i += 2 * apart) {
      const [first, other] = [accumulators[i]!, accumulators[i + apart]!]
      assign(first, combine(r.monoid, first, other), isComponentwise(r.monoid), body, naming)
    }
}

/** What is kept of the runs that are done. */
export interface Pairs {
  /** Merges the accumulator of one run with what is kept, as the number of runs says. */
  push(accumulator: readonly Expression[], out: Statement[]): void
  /** Merges what is kept into the accumulator. */
  collapse(into: readonly Expression[], out: Statement[]): void
}

/** How accumulators, flat lists of components, become one; `left` holds the lower indices. */
export interface Merge {
  readonly components: readonly Expression[]
  /** Whether each component is merged for itself. */
  readonly independent: boolean
  combine(left: readonly Expression[], right: readonly Expression[]): readonly Expression[]
}

/** Points of a loop around that have runs of their own. */
export interface Places {
  readonly count: number
  readonly at: Expression & { readonly kind: "variable" }
}

/** Levels that so many runs need. */
export const levelsFor = (runs: number): number => Math.floor(Math.log2(Math.max(1, Math.min(runs, 2 ** 31)))) + 1

/** The accumulators of several folds as one. */
function mergeOf(group: readonly Reduce[], like: Accumulators): Merge {
  return {
    components: like.flat(),
    independent: group.every((r) => isComponentwise(r.monoid)),
    combine: (left, right) => {
      const [earlier, own] = [unflatten(left, like), unflatten(right, like)]
      return group.flatMap((r, i) => combine(r.monoid, earlier[i]!, own[i]!))
    },
  }
}

/** Room for the levels, declared in `out`. */
export function createPairs(merge: Merge, levels: number, out: Statement[], naming: Naming, places?: Places): Pairs {
  const counter = createCounter(out, naming, places)
  const kept = merge.components.map(({ dtype, width }) => {
    const array = naming.fresh("level")
    const size = (places?.count ?? 1) * levels * width
    out.push({ kind: "alloc", name: array, dtype, size, space: "register" })
    return { array, dtype, width }
  })
  const row = (level: Expression) => (places === undefined ? level : add(mul(places.at, literal(levels)), level))
  const at = (level: Expression, width: number) => mul(row(level), literal(width))
  const merged = (own: readonly Expression[], level: Expression): readonly Statement[] => {
    const body: Statement[] = []
    const earlier = kept.map(({ array, dtype, width }) => fetch(array, at(level, width), dtype, width))
    assign(own, merge.combine(earlier, own), merge.independent, body, naming)
    return body
  }
  return {
    push: (own, body) => {
      const done = naming.fresh("done")
      body.push({ kind: "let", name: done, value: add(counter.read(body), literal(1)), mutable: false })
      const free = naming.fresh("free")
      body.push({ kind: "let", name: free, value: trailingZeros(variable(done)), mutable: false })
      const level = naming.fresh("level")
      const merging = merged(own, variable(level))
      body.push({ kind: "for", variable: level, extent: variable(free), bind: "serial", body: merging })
      for (const [i, { array, width }] of kept.entries())
        body.push({ kind: "store", array, offset: at(variable(free), width), value: own[i]! })
      counter.write(variable(done), body)
    },
    collapse: (into, body) => {
      const count = counter.read(body)
      const level = naming.fresh("level")
      const bit = apply("bitand", apply("shr", count, variable(level)), literal(1))
      const condition = apply("eq", bit, literal(1))
      const merging: Statement = { kind: "if", condition, body: merged(into, variable(level)), otherwise: [] }
      body.push({ kind: "for", variable: level, extent: bitLength(count), bind: "serial", body: [merging] })
    },
  }
}

/** The number of runs that are done: a variable, or an element of an array for each place. */
function createCounter(out: Statement[], naming: Naming, places: Places | undefined) {
  const name = naming.fresh("runs")
  if (places === undefined) {
    out.push({ kind: "let", name, value: literal(0), mutable: true })
    return {
      read: (_: Statement[]): Expression => variable(name),
      write: (value: Expression, body: Statement[]) => body.push({ kind: "assign", name, value }),
    }
  }
  out.push({ kind: "alloc", name, dtype: "i32", size: places.count, space: "register" })
  const store = (value: Expression): Statement => ({ kind: "store", array: name, offset: places.at, value })
  const none = [store(literal(0))]
  out.push({ kind: "for", variable: places.at.name, extent: literal(places.count), bind: "serial", body: none })
  return {
    read: (body: Statement[]): Expression => {
      const now = naming.fresh("runs")
      body.push({ kind: "let", name: now, value: fetch(name, places.at, "i32"), mutable: false })
      return variable(now)
    },
    write: (value: Expression, body: Statement[]) => body.push(store(value)),
  }
}

/** The exponent of an integer from 1 on as f32 has it, 127 more than log2. */
const exponent = (x: Expression): Expression =>
  apply("toI32", apply("shr", apply("bits", apply("toF32", x)), literal(23, "u32")))

/** Zeros below the lowest bit that is set; there is one. */
const trailingZeros = (x: Expression): Expression => sub(exponent(apply("bitand", x, apply("neg", x))), literal(127))

/** Bits up to the highest that is set, or one more beyond 2^24; not above 0 where there is none. */
const bitLength = (x: Expression): Expression => sub(exponent(x), literal(126))

/** The loop over all turns, or over those of each run; `unroll` of them in one iteration, where their number is a multiple of that. */
export function emitTurns(
  group: readonly Reduce[],
  turns: Expression,
  sets: Sets,
  { out: into }: { readonly out: Statement[] },
  naming: Naming,
  runs: Runs | undefined,
  emit: (turn: Expression, sets: Sets, out: Statement[]) => void,
  unroll = 1,
): void {
  const name = naming.fresh(group[0]!.axis)
  const repeat = (first: Expression, extent: Expression, own: Sets, out: Statement[]) => {
    const count = literalExtent(extent)
    const together = count !== undefined && count % unroll === 0 ? unroll : 1
    const body = count === together ? out : []
    const turn = count === together ? literal(0) : mul(variable(name), literal(together))
    for (let i = 0; i < together; i++) emit(add(first, add(turn, literal(i))), own, body)
    const left = together === 1 ? extent : literal(count! / together)
    if (body !== out) out.push({ kind: "for", variable: name, extent: left, bind: "serial", body })
  }
  if (runs === undefined) {
    repeat(literal(0), turns, sets, into)
    return
  }
  const run = naming.fresh(`${group[0]!.axis}_run`)
  const first = mul(variable(run), literal(runs.turns))
  const out: Statement[] = []
  const own = runs.open(out)
  const left = apply("min", literal(runs.turns), apply("sub", turns, first))
  const count = literalExtent(turns)
  repeat(first, count !== undefined && count % runs.turns === 0 ? literal(runs.turns) : left, own, out)
  runs.close(own, out)
  const all = apply("floordiv", add(turns, literal(runs.turns - 1)), literal(runs.turns))
  into.push({ kind: "for", variable: run, extent: all, bind: "serial", body: out })
}
