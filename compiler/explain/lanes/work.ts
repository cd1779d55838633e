/**
 * The work of one launch: what its workgroups do, from a few of them.
 *
 *   for group < 128 grid { if group < 64 {…} else { if group < 96 {…} else {…} } }     blocks 0, 32, 63 · 64, 80, 95 · 96, 112, 127
 *
 * The grid is cut where a condition compares its variable with a number (each store has blocks of its own); the first, a middle and the last block of
 * each part are walked, and the middle one stands for the others. What stands in front of the grid is done once by each workgroup that is launched.
 */

import { walk as visitAll } from "../../ir/expression.js"
import type { LoopKernel, Statement } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import { rangeOf } from "../ranges.js"
import { createPatterns } from "./patterns.js"
import type { BlockWork, Walk } from "./state.js"
import { walkBlock } from "./walk.js"

export interface LaunchWork {
  /** Elements of the grid: blocks that have something to do. */
  readonly blocks: number
  /** Workgroups that are launched; each takes a block in turn. */
  readonly groups: number
  readonly lanes: number
  /** Lanes of a block that do distinct work, on the average of its time. */
  readonly busyLanes: number
  /** Operations on values, once for lanes of a block that compute the same. */
  readonly operations: number
  /** Operations on matrix units, and seconds that they take where all cores have such work. */
  readonly products: number
  readonly matrixSeconds: number
  /** The longest serial chain of a lane: iterations of innermost loops, of all blocks that a workgroup takes in turn. */
  readonly serialSteps: number
  /** Barriers of the block that has most, with those before it. */
  readonly barriers: number
  /** Cycles of a lane before the blocks of its workgroup, and then in the block that takes longest and on the average. */
  readonly firstCycles: number
  readonly longestCycles: number
  readonly meanCycles: number
  /** Of all blocks together. */
  readonly instructions: number
  readonly sharedCycles: number
  readonly requested: number
  /** Instructions of the block that has most. */
  readonly mostInstructions: number
  /** Bytes that a block has asked for at once. */
  readonly inFlight: number
  /** Bytes that a block holds in the memory of its workgroup. */
  readonly sharedBytes: number
  /** Variables and small arrays that a lane holds, in words: an estimate of its registers. */
  readonly registers: number
}

type Grid = Statement & { readonly kind: "for" }

export function launchWork(kernel: LoopKernel, given: Omit<Walk, "patterns">): LaunchWork | undefined {
  const walk: Walk = { ...given, patterns: createPatterns(kernel.threads) }
  const grid = everyStatement(kernel.body).find((s): s is Grid => s.kind === "for" && s.bind === "grid")
  const ranges = { sizes: walk.sizes, variables: new Map() }
  const extent = grid === undefined ? 1 : Math.max(0, rangeOf(grid.extent, ranges).high)
  if (extent === 0) return undefined
  const blocks = Number.isFinite(extent) ? extent : walk.expected
  const walked = partsOf(kernel, grid, blocks, walk).flatMap((part) => walkPart(kernel, part, walk))
  const groups = Math.min(kernel.groups, blocks)
  const { prologue } = walked[0]!
  const ofBlocks = (of: (work: BlockWork) => number) => walked.reduce((n, { work, weight }) => n + weight * of(work), 0)
  const sum = (of: (work: BlockWork) => number) => groups * of(prologue) + ofBlocks(of)
  const most = (of: (work: BlockWork) => number) => Math.max(...walked.map(({ work }) => of(work)))
  const longest = (of: (work: BlockWork) => number) => of(prologue) + most(of)
  const turns = Math.ceil(blocks / kernel.groups)
  const main = walked.reduce((a, b) => (b.weight * b.work.requested > a.weight * a.work.requested ? b : a))
  return {
    blocks,
    groups,
    lanes: kernel.threads,
    busyLanes: Math.max(
      1,
      sum((w) => w.distinctWork) /
        Math.max(
          1,
          sum((w) => w.laneWork),
        ),
    ),
    operations: sum((w) => w.operations),
    products: sum((w) => w.products),
    matrixSeconds: sum((w) => w.matrixSeconds),
    serialSteps: Math.max(
      1,
      Math.round(
        prologue.steps +
          Math.max(
            most((w) => w.steps),
            turns === 1 ? 0 : (turns * ofBlocks((w) => w.steps)) / blocks,
          ),
      ),
    ),
    barriers: longest((w) => w.barriers),
    firstCycles: prologue.cycles,
    longestCycles: most((w) => w.cycles),
    meanCycles: ofBlocks((w) => w.cycles) / blocks,
    instructions: sum((w) => w.instructions),
    sharedCycles: sum((w) => w.sharedCycles),
    requested: sum((w) => w.requested),
    mostInstructions: longest((w) => w.instructions),
    inFlight: main.work.inFlight,
    ...heldBy(kernel),
  }
}

interface Part {
  readonly from: number
  readonly end: number
}

/** The parts of the grid that conditions tell from each other. */
function partsOf(kernel: LoopKernel, grid: Grid | undefined, extent: number, walk: Walk): readonly Part[] {
  const ends = new Set([extent])
  for (const s of everyStatement(kernel.body))
    if (s.kind === "if")
      visitAll(s.condition, (x) => {
        if (x.kind !== "operation" || x.operation !== "lt" || grid === undefined) return
        const [a, b] = x.args
        if (a?.kind !== "variable" || a.name !== grid.variable) return
        const { low, high } = rangeOf(b!, { sizes: walk.sizes, variables: new Map() })
        if (low === high && low > 0 && low < extent) ends.add(low)
      })
  const sorted = [...ends].sort((a, b) => a - b)
  return sorted.map((end, i) => ({ from: sorted[i - 1] ?? 0, end }))
}

/** Blocks that stand for all of a part, and for how many each: where the first and a middle one do the same, all do. */
function walkPart(kernel: LoopKernel, { from, end }: Part, walk: Walk) {
  const count = end - from
  const at = (group: number, weight: number) => ({ weight, ...walkBlock(kernel, group, walk) })
  const first = at(from, 1)
  if (count === 1) return [first]
  const middle = at(from + Math.floor(count / 2), count - 1)
  if (count === 2) return [first, middle]
  const same = (Object.keys(first.work) as (keyof BlockWork)[]).every((k) => first.work[k] === middle.work[k])
  return same ? [first, middle] : [first, { ...middle, weight: count - 2 }, at(end - 1, 1)]
}

/** What a block and a lane of it hold. */
function heldBy({ body }: LoopKernel): Pick<LaunchWork, "sharedBytes" | "registers"> {
  let [sharedBytes, words] = [0, 24]
  const names = new Set<string>()
  for (const s of everyStatement(body)) {
    if (s.kind === "alloc" && s.space === "shared") sharedBytes += s.size * (s.storage === undefined ? 4 : 2)
    if (s.kind === "let" && s.mutable && !names.has(s.name)) words += s.value.width
    if (s.kind === "let") names.add(s.name)
    // Two halves lie in one register; arrays of scopes that follow one another take turns.
    if (s.kind === "alloc" && s.layout !== undefined && !names.has(s.name)) {
      names.add(s.name)
      words += s.size / (s.storage === undefined ? 1 : 2)
    }
  }
  return { sharedBytes, registers: words }
}
