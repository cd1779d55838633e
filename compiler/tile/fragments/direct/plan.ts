/**
 * How a block whose weights go straight into fragments is dealt out, and what its fragments are filled with.
 *
 *   16 rows of w in 4 bits by 8 groups, steps of 128 k   →   stretches of 32 k of a lane, one fragment of codes and one of ones, pairs 4 apart
 */
import { literalExtent } from "../../../ir/dim.js"
import { apply, literal, substitute, variable } from "../../../ir/expression.js"
import type { Atom } from "../../../ir/fragments/atoms.js"
import { isHeldByHalves } from "../../../ir/fragments/held.js"
import { bufferOf } from "../../../ir/kernel.js"
import type { Expression } from "../../../ir/nodes.js"
import { nodesOf } from "../../../ir/query.js"
import type { StoreSchedule } from "../../../ir/schedule.js"
import { type BlockAxis, type Build, laneVariable, Refused } from "../../block.js"
import { longestChain } from "../chains.js"
import type { Operand } from "../operands.js"
import { type Side, sideOf } from "../places.js"
import { chunksOf } from "../ring.js"
import type { DirectProducts } from "./operands.js"
import { piece } from "./rows.js"
import { elementAt, one, type Term, termsOfValue } from "./terms.js"

/** What a fragment of weights is filled with, and what is done with its products. */
export interface Filled extends Term {
  readonly terms: number
}

/** How a block is dealt out. */
export interface Plan {
  readonly of: DirectProducts
  readonly atom: Atom
  readonly rows: Side
  readonly columns: Side
  /** Rows of x, each as often as it has terms: they are columns of their own. */
  readonly lines: number
  /** Groups of lanes that share the fold. */
  readonly shared: number
  /** Fragments of a group along its rows, and along the rows of x. */
  readonly down: number
  readonly across: number
  /** Elements of a step, of a lane's stretch of it, and those for which factors are the same. */
  readonly step: number
  readonly stretch: number
  readonly even: number
  readonly unroll: number
  readonly apart: number
  /** Whether each lane has sums of its own. */
  readonly isOwn: boolean
  /** Whether weights are made before they are multiplied, and rounded once. */
  readonly isRounded: boolean
  /** Steps whose rows of x memory holds at once. */
  readonly part: number
  /** Of each fold. */
  readonly filled: readonly (readonly Filled[])[]
  /** Registers of a fold's sums. */
  readonly sums: number
  readonly fixed: ReadonlyMap<string, Expression>
  /** This lane's group: its number, along rows and along the fold; the lane's number of four, and its row. */
  readonly wave: Expression
  readonly tall: Expression
  readonly along: Expression
  readonly own: Expression
  readonly line: Expression
}

/** @throws Refused where a block cannot be dealt out so */
export function planOf(
  of: DirectProducts,
  atom: Atom,
  rowAxes: readonly BlockAxis[],
  columnAxes: readonly BlockAxis[],
  schedule: StoreSchedule,
  fixed: ReadonlyMap<string, Expression>,
  parts: Build,
): Plan {
  const axis = of.folded.at(-1)!
  const said = schedule.reduce[axis.name] ?? {}
  const { chunk: step, innerUnroll: unroll = 1, stages = Number.POSITIVE_INFINITY, ...rest } = said
  if (step === undefined || step % (4 * piece) !== 0 || Object.keys(rest).length > 0)
    throw new Refused("atom/tile", `lanes take '${axis.name}' by steps of a multiple of ${4 * piece} elements`)
  if (of.folded.some((a) => literalExtent(a.extent) === undefined))
    throw new Refused("atom/fold", "how long a fold is is not known")
  const groupsAlong = (all: readonly { readonly name: string }[]) =>
    all.reduce((n, a) => n * (schedule.warps?.[a.name] ?? 1), 1)
  const [tallest, shared] = [groupsAlong(rowAxes.map((a) => a.axis)), groupsAlong(of.folded)]
  if (tallest * shared * atom.lanes !== parts.schedule.threads)
    throw new Refused(
      "atom/lanes",
      `${tallest * shared} groups of ${atom.lanes} lanes are not ${parts.schedule.threads}`,
    )
  const [rows, columns] = [sideOf(rowAxes, atom.m * tallest), sideOf(columnAxes, 1)]
  const stretch = step / 4
  const known = literalExtent(axis.extent)!
  const values = of.weights.map((w) => substitute(w.value, fixed))
  const isWhole = known % stretch === 0
  const even = isWhole ? evenOf(values, axis.name, stretch) : piece
  const isHalf = (x: Expression) =>
    x.kind === "load" && atom.a.storage === "bf16" && bufferOf(parts.kernel, x.buffer).storage === "bf16"
  const steps = literalExtent(chunksOf(of.folded, step).count)!
  const lines = columns.count * of.other.terms
  const isRounded = lines > linesOfOwn && of.weights.every(isDecoded)
  const filled = values.map((value, n): readonly Filled[] => {
    const terms = isWhole ? termsOfValue(value, axis.name, even) : [{ factor: one, value }]
    const termsOf = (t: Term) => (isRounded || isHeldByHalves(t.value, isHalf) ? 1 : of.weights[n]!.terms)
    return terms.map((t) => ({ ...t, terms: termsOf(t) }))
  })
  if (of.other.terms === 3 || filled.flat().some((t) => t.terms === 3))
    throw new Refused("atom/fold", "operands of which all bits count are no terms of others")
  const isOwn = !isRounded && filled.flat().some((t) => t.factor !== one)
  const across = Math.ceil(lines / (isOwn ? 2 : atom.n))
  const down = rows.places / atom.m / tallest
  const longest = of.folded.reduce((n, a) => n * literalExtent(a.extent)!, 1) / shared
  if (!isOwn && longest > longestChain) throw new Refused("atom/fold", `${longest} products are too long a chain`)
  const wave = apply("floordiv", laneVariable, literal(atom.lanes))
  const inWave = apply("floormod", laneVariable, literal(atom.lanes))
  return {
    of,
    atom,
    rows,
    columns,
    lines,
    shared,
    down,
    across,
    step,
    stretch,
    even,
    unroll,
    apart: apartOf(filled.flat(), axis.name, even),
    isOwn,
    isRounded,
    part: Math.min(stages * unroll * shared, steps),
    filled,
    sums: 4 * down * across,
    fixed,
    wave,
    tall: tallest === 1 ? literal(0) : apply("floordiv", wave, literal(shared)),
    along: tallest === 1 ? wave : apply("floormod", wave, literal(shared)),
    own: apply("floormod", laneVariable, literal(4)),
    line: apply("floordiv", inWave, literal(4)),
  }
}

/** Columns that lanes have sums of their own of: more fragments cost more than to make each weight. Counted. */
export const linesOfOwn = 2

/** Whether a weight is made of integers, which are rounded once wherever it is kept. */
export const isDecoded = ({ value }: Operand): boolean => nodesOf([value], "load").some((l) => l.dtype === "u32")

/** The most elements for which as much is the same as for a piece. */
function evenOf(values: readonly Expression[], axis: string, stretch: number): number {
  const changing = (size: number) => values.map((x) => termsOfValue(x, axis, size).map((t) => t.value))
  const least = changing(piece)
  const isAsGood = (size: number) =>
    changing(size).every((all, i) => all.length === least[i]!.length && all.every((x) => least[i]!.includes(x)))
  for (let size = stretch; size > piece; size /= 2) if (stretch % size === 0 && isAsGood(size)) return size
  return piece
}

/** How far apart in the fold the two halves of a word are: as far as fields are of which a word of memory has one in each half. */
function apartOf(filled: readonly Term[], axis: string, even: number): number {
  const shifts = (at: number) =>
    nodesOf(
      filled.map((t) => elementAt(t.value, axis, variable("any"), even, at)),
      "operation",
    ).flatMap((x) =>
      x.operation === "shr" && x.args[1]!.kind === "literal" ? [{ of: x.args[0]!, by: x.args[1]!.value }] : [],
    )
  const first = shifts(1)
  const fits = (apart: number) => {
    const second = shifts(1 + apart)
    return first.filter((x) => second.some((y) => y.of === x.of && y.by === x.by + 16)).length
  }
  const tried = [2, 4, 8].filter((n) => 2 * n <= even)
  const best = tried.reduce((x, y) => (fits(y) >= fits(x) ? y : x), tried[0] ?? 1)
  return tried.length > 0 && fits(best) > 0 ? best : 1
}
