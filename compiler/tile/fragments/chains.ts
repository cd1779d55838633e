/**
 * Chains: how many products units add up before their sums are added to others, as f32 are.
 *
 *   Σ over 12,288   →   3 × { 4,096 in fragments;  what is there is put aside }
 *   all bits count  →   192 × { 64 in fragments, the smallest terms first;  sums += fragments;  fragments = 0;  after each 8: sums are merged by pairs }
 *
 * Units cut what they add at once to the bits of the largest, and its sum to 24: NVIDIA's take 8 products together and one more bit (sm_80 to sm_89), or 16 and
 * two (sm_90 on), says Khattak and Mikaitis, "Accurate Models of NVIDIA Tensor Cores" (arXiv 2512.07004). A chain of n / 16 such sums is too small by about as
 * many units in the last place. Where operands have all bits of an f32, each chunk is a chain of its own, from zero on, the smallest terms first: it loses about
 * what one rounding does. Up to as many elements as one loop may have the sums of chunks are added one after the other; of more, runs of 8 are merged by
 * pairs, as those of other long sums are (`../runs.ts`): less than 8 + log2 n roundings in all.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, fetch, literal, mul } from "../../ir/expression.js"
import { longestLoop } from "../../ir/fold-lengths.js"
import { isOpaque } from "../../ir/fragments/atoms.js"
import type { Place, Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import { Refused } from "../block.js"
import type { Lowerer } from "../lowerer.js"
import { longestRun } from "../runs.js"
import type { Contraction } from "./operands.js"
import { allocate, clear, type Groups, registers, resultSize, when } from "./registers.js"

/** Elements that are added up in fragments before the sum is added to another: longer chains lose digits, for matrix units do not round sums but cut them. */
export const longestChain = 4096

/** The same where all bits count. Measured on an H200: sums of 4,096 random numbers were off by 1.7e-7 in chains of 64, by 1.2e-6 one after the other in f32. */
export const longestWhole = 64

/** Chains of a block's sums. */
export interface Chains {
  /** Registers that hold the sums in the end, one array for each product. */
  readonly sums: readonly string[]
  /** What follows the products of a turn. */
  readonly after: (turn: Expression) => readonly Statement[]
  /** What follows the last turn. */
  readonly last: readonly Statement[]
}

/** Registers of each product, its elements in a chunk and at most, and the number of chunks. */
export interface Chained {
  readonly groups: Groups
  readonly of: Contraction
  readonly results: readonly string[]
  readonly chunk: number
  readonly most: number
  readonly count: Expression
}

/** @throws Refused where sums are too long, or cannot be added to others */
export function openChains(chained: Chained, out: Statement[], lowerer: Lowerer): Chains {
  const { groups, of, results, chunk, most, count } = chained
  const chain = Math.floor(longestChain / chunk) * chunk
  const { name } = groups.atom
  if (isOpaque(name, "c") && of.whole)
    throw new Refused("atom/fold", `how '${name}' adds is not known, and all bits count`)
  if (isOpaque(name, "c") && most > chain)
    throw new Refused(
      "atom/fold",
      `a chain of ${most} sums is longer than ${chain}, and fragments of '${name}' are not added`,
    )
  if (of.whole) {
    if (chunk > longestWhole)
      throw new Refused(
        "atom/fold",
        `a chain of ${chunk} products is longer than ${longestWhole}, and would lose digits`,
      )
    const turns = literalExtent(count) ?? Math.ceil(most / chunk)
    if (turns <= 1) return { sums: results, after: () => [], last: [] }
    const sums = results.map(() => openSums(groups, out, lowerer))
    const isLong = most > longestLoop || of.folded.some((a) => lowerer.long(a.name))
    if (!isLong) return { sums, after: () => emitAdded(chained, sums, lowerer), last: [] }
    return mergedByPairs(chained, sums, turns, out, lowerer)
  }
  if (most <= chain) return { sums: results, after: () => [], last: [] }
  const aside = results.map(() => putAside(resultSize(groups), out, lowerer))
  const moves = { ...chained, aside, run: chain / chunk }
  return { sums: results, after: (turn) => emitMoves(moves, turn, lowerer), last: emitTotals(moves, lowerer) }
}

/** What asynchronous products have made is there. */
const settled = ({ atom }: Groups): Statement[] =>
  atom.asynchronous ? [{ kind: "wait", of: "products", groups: 0 }] : []

function openSums(groups: Groups, out: Statement[], lowerer: Lowerer): string {
  const array = allocate({ groups }, "c", "sum", resultSize(groups), out, lowerer)
  clear(array, resultSize(groups), out, lowerer)
  return array
}

/** Adds the sums of a chunk to those of the chunks before it. */
function emitAdded({ groups, results }: Chained, sums: readonly string[], lowerer: Lowerer): Statement[] {
  const out = settled(groups)
  for (const [i, from] of results.entries())
    registers(resultSize(groups), out, lowerer, (offset) => [
      {
        kind: "store",
        array: sums[i]!,
        offset,
        value: add(fetch(sums[i]!, offset, "f32"), fetch(from, offset, "f32")),
      },
      { kind: "store", array: from, offset, value: literal(0, "f32") },
    ])
  return out
}

/** Sums of runs, merged like the digits of a binary number are carried: a level is kept while its bit is set in the number of runs that are done. */
function mergedByPairs(
  chained: Chained,
  sums: readonly string[],
  turns: number,
  out: Statement[],
  lowerer: Lowerer,
): Chains {
  const { groups, count } = chained
  const size = resultSize(groups)
  const levels = Math.floor(Math.log2(Math.max(1, Math.floor(turns / longestRun)))) + 1
  const kept = sums.map(() => putAside(levels * size, out, lowerer))
  const runs = (turns: Expression) => apply("floordiv", turns, literal(longestRun))
  const isKept = (level: number, runs: Expression) =>
    apply("ne", apply("bitand", runs, literal(2 ** level)), literal(0))
  const each = (level: number, body: Statement[], store: (sum: Place, kept: Place) => Statement) => {
    for (const [i, array] of sums.entries())
      registers(size / moved, body, lowerer, (at) => {
        const { offset } = place(array, at)
        return [store({ array, offset }, { array: kept[i]!, offset: add(offset, literal(level * size)) })]
      })
    return body
  }
  const read = ({ array, offset }: Place) => fetch(array, offset, "f32", moved)
  const merge = (level: number) =>
    each(level, [], (sum, kept) => ({ kind: "store", ...sum, value: add(read(kept), read(sum)) }))
  const keep = (level: number) => each(level, [], (sum, kept) => ({ kind: "store", ...kept, value: read(sum) }))
  const carry = (level: number, number: Expression): readonly Statement[] =>
    level === levels - 1
      ? keep(level)
      : [
          {
            kind: "if",
            condition: isKept(level, number),
            body: [...merge(level), ...carry(level + 1, number)],
            otherwise: keep(level),
          },
        ]
  const after = (turn: Expression): readonly Statement[] => {
    const ends = apply("eq", apply("floormod", add(turn, literal(1)), literal(longestRun)), literal(0))
    const cleared: Statement[] = []
    for (const array of sums) clear(array, size, cleared, lowerer)
    const body = [...carry(0, runs(turn)), ...cleared]
    return [...emitAdded(chained, sums, lowerer), { kind: "if", condition: ends, body, otherwise: [] }]
  }
  const last = Array.from({ length: levels }, (_, level) => when(isKept(level, runs(count)), merge(level))).flat()
  return { sums, after, last }
}

/** Sums that are put aside after each run of chunks. */
interface Moves extends Chained {
  readonly aside: readonly string[]
  /** Chunks after which sums are put aside. */
  readonly run: number
}

/** Elements that are moved at once: 16 bytes. */
const moved = 4

/** Memory of a lane for sums that are touched from time to time. */
export function putAside(size: number, out: Statement[], lowerer: Lowerer): string {
  const name = lowerer.fresh("aside")
  out.push({ kind: "alloc", name, dtype: "f32", size, space: "register", aside: true })
  return name
}

/** Puts aside what fragments hold where a run ends and others follow: the first as it is, the others added. */
function emitMoves({ groups, results, aside, run, count }: Moves, turn: Expression, lowerer: Lowerer): Statement[] {
  const size = resultSize(groups) / moved
  const done = add(turn, literal(1))
  const ends = apply("eq", apply("floormod", done, literal(run)), literal(0))
  const [first, others, cleared]: [Statement[], Statement[], Statement[]] = [[], [], []]
  for (const [i, from] of results.entries()) {
    const to = aside[i]!
    registers(size, first, lowerer, (at) => [{ kind: "store", ...place(to, at), value: heldAt(from, at) }])
    registers(size, others, lowerer, (at) => [
      { kind: "store", ...place(to, at), value: add(heldAt(to, at), heldAt(from, at)) },
    ])
    clear(from, resultSize(groups), cleared, lowerer)
  }
  const isFirst = apply("eq", done, literal(run))
  const put: Statement = { kind: "if", condition: isFirst, body: first, otherwise: others }
  const condition = apply("and", ends, apply("lt", done, count))
  return [{ kind: "if", condition, body: [...settled(groups), put, ...cleared], otherwise: [] }]
}

/** Adds what was put aside to what fragments hold. */
function emitTotals({ groups, results, aside, run, count }: Moves, lowerer: Lowerer): readonly Statement[] {
  const out: Statement[] = []
  for (const [i, to] of results.entries())
    registers(resultSize(groups) / moved, out, lowerer, (at) => [
      { kind: "store", ...place(to, at), value: add(heldAt(to, at), heldAt(aside[i]!, at)) },
    ])
  return when(apply("lt", literal(run), count), out)
}

const place = (array: string, at: Expression): Place => ({ array, offset: mul(at, literal(moved)) })
const heldAt = (array: string, at: Expression) => fetch(array, mul(at, literal(moved)), "f32", moved)
