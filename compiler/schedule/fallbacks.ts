/**
 * What schedules may assume of a target, from the best to the least; and the first schedule of theirs that `tile` carries out.
 *
 *   { block: 64, chunks, atoms }   →   the same without atoms, then as without:
 *   { block: 64, chunks }   →   { block: 64, chunks }, … with chunks of at most 16, 8, 4, … with 64, 32, … 1 rows of online folds, over lanes
 *                               and in chunks,
 *                               { block: 32, chunks }, … { block: 1, chunks }, { block: 64 }, … { block: 1 },
 *                               then the first again with 128, 64, … threads
 *
 * Shorter chunks, fewer rows and smaller blocks take less memory, and without chunks nothing is staged: then the scores of an online fold are
 * computed again for each of its channels, so that this comes last.
 */

import { atoms as knownAtoms } from "../ir/fragments/atoms.js"
import type { Kernel } from "../ir/kernel.js"
import type { LoopKernel } from "../ir/loop.js"
import type { ScheduleTarget, TileOptions } from "../ir/machine.js"
import type { Refusal, Schedule } from "../ir/schedule.js"
import { isRefusal, tile } from "../tile/tile.js"
import { chooseSchedule } from "./choose.js"
import { onlineRules, shorterChunks } from "./rules.js"

export interface Possible {
  readonly schedule: Schedule
  readonly tiled: LoopKernel
}

const mostRows = onlineRules.workgroup.blockRowsOfMuchMemory

/** The heuristic schedule and its loops, or the first refusal when none is left. */
export function firstPossible(kernel: Kernel, target: ScheduleTarget, options: TileOptions): Possible | Refusal {
  let refusal: Refusal | undefined
  const refused = new Set<string>()
  for (const assumed of assumptions(target)) {
    const schedule = chooseSchedule(kernel, assumed)
    const key = JSON.stringify(schedule)
    if (refused.has(key)) continue
    refused.add(key)
    const tiled = tile(kernel, schedule, options)
    if (!isRefusal(tiled)) return { schedule, tiled }
    refusal ??= tiled
  }
  return refusal!
}

function* assumptions({ atoms, ...target }: ScheduleTarget): Iterable<ScheduleTarget> {
  if (atoms !== undefined) {
    yield { ...target, atoms }
    // Those that take operands from registers take them however they lie.
    const names = atoms.names.filter((name) => !knownAtoms.get(name)!.asynchronous)
    yield { ...target, atoms: { ...atoms, names } }
  }
  yield target
  const { chunks, ...plain } = target
  if (chunks?.contraction === true)
    for (const longest of shorterChunks) yield { ...target, chunks: { ...chunks, longest } }
  if (chunks !== undefined)
    for (const overLanes of [true, false])
      for (let rows = mostRows; rows > 0; rows >>= 1) yield { ...target, chunks: { ...chunks, rows, overLanes } }
  for (let block = target.block >> 1; block > 0; block >>= 1) yield { ...target, block }
  for (let block = target.block; block > 0; block >>= 1) yield { ...plain, block }
  // Groups of lanes have a point each, and a block what they need for all of these: fewer lanes need less.
  for (let threads = target.threads >> 1; threads >= target.subgroup; threads >>= 1) yield { ...target, threads }
}
