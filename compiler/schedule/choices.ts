/**
 * choices: kernel × target → the legal schedules around the heuristic one, that one first.
 *
 *   y[s, o] = sum_k(x[s, k] · w[o, k])   →   heuristic;  what it is for other targets (registers 4, 16; blocks 32, 256);
 *                                             o: block 32, 128, all; o: perThread 2, 4; k: accumulators 1, 2, 8; … ; two such changes at once
 *
 * First come the schedules that the heuristics make of changed assumptions, then single changes (`changes.ts`) of the heuristic schedule, then
 * pairs of them. Every one has been accepted by `tile`; none is there twice. Nothing is known here but axes, folds and the target.
 */

import { atoms as knownAtoms } from "../ir/fragments/atoms.js"
import type { Kernel } from "../ir/kernel.js"
import type { Machine, ScheduleTarget } from "../ir/machine.js"
import { type Refusal, type Schedule, scheduleKey } from "../ir/schedule.js"
import { isRefusal, tile } from "../tile/tile.js"
import { changesOf } from "./changes.js"
import { chooseSchedule } from "./choose.js"
import { firstPossible } from "./fallbacks.js"
import { tuneRules } from "./rules.js"

export interface Choices {
  /** The heuristic one first; none when nothing can be scheduled. */
  readonly schedules: readonly Schedule[]
  /** How many more were refused, by code. */
  readonly refused: ReadonlyMap<Refusal["code"], number>
}

export interface ChoiceLimits {
  /** Schedules at most. */
  readonly most: number
  /** Schedules that are put to `tile` at most. */
  readonly tries: number
}

const defaultChoiceLimits: ChoiceLimits = { most: tuneRules.schedules, tries: tuneRules.tries }

export function choices(
  kernel: Kernel,
  target: Pick<Machine, "schedule" | "tile">,
  limits: ChoiceLimits = defaultChoiceLimits,
): Choices {
  const schedules: Schedule[] = []
  const refused = new Map<Refusal["code"], number>()
  const seen = new Set<string>()
  let tries = 0
  let { most } = limits
  const full = () => schedules.length >= most || tries >= limits.tries
  const accept = (s: Schedule): boolean => {
    const key = scheduleKey(s)
    if (full() || seen.has(key)) return false
    seen.add(key)
    tries++
    const tiled = tile(kernel, s, target.tile)
    if (isRefusal(tiled)) refused.set(tiled.code, (refused.get(tiled.code) ?? 0) + 1)
    else schedules.push(s)
    return !isRefusal(tiled)
  }
  const first = firstPossible(kernel, target.schedule, target.tile)
  if ("code" in first) return { schedules, refused: new Map([[first.code, 1]]) }
  accept(first.schedule)
  // Kernels for matrix units take long to compile.
  if (first.schedule.stores.some((s) => s.atom !== undefined)) most = Math.min(most, tuneRules.schedulesOfAtoms)
  for (const assumed of neighbours(target.schedule)) accept(chooseSchedule(kernel, assumed))
  const single = changesOf(kernel, first.schedule, target.schedule).filter((change) => {
    const made = change.apply(first.schedule)
    return made !== undefined && accept(made)
  })
  // Pairs that are near in the list come first: those of one store, and of what matters most.
  for (let distance = 1; distance < single.length && !full(); distance++)
    for (let i = 0; i + distance < single.length && !full(); i++) {
      const [p, q] = [single[i]!, single[i + distance]!]
      if (p.knob === q.knob) continue
      const made = p.apply(first.schedule)
      const both = made === undefined ? undefined : q.apply(made)
      if (both !== undefined) accept(both)
    }
  return { schedules, refused }
}

/** Other blocks for matrix units, of each kind of atoms, and fewer chunks under way. */
function* withOtherBlocks(target: ScheduleTarget): Iterable<ScheduleTarget> {
  const { atoms } = target
  if (atoms === undefined) return
  for (const asynchronous of [true, false]) {
    const names = atoms.names.filter((name) => knownAtoms.get(name)!.asynchronous === asynchronous)
    for (const block of tuneRules.blocksOfAtoms)
      for (const stages of tuneRules.stagesOfAtoms)
        if (names.length > 0) yield { ...target, atoms: { ...atoms, names, block, stages } }
  }
}

/** Targets that the heuristics may take this one for. */
function* neighbours(target: ScheduleTarget): Iterable<ScheduleTarget> {
  yield* withOtherBlocks(target)
  const { chunks, ...plain } = target
  for (const factor of tuneRules.factors) {
    const [registers, block] = [target.registers * factor, target.block * factor]
    if (registers >= 1) yield { ...target, registers }
    if (block >= 1) yield { ...target, block }
    if (registers >= 1 && block >= 1) yield { ...target, registers, block }
  }
  yield { ...target, busy: target.busy === 1 ? tuneRules.busy : 1 }
  yield { ...target, vector: 1 }
  if (target.subgroup > 1) yield { ...target, subgroup: 1 }
  if (target.threads > 1) for (const threads of [target.threads * 2, target.threads / 2]) yield { ...target, threads }
  if (chunks === undefined) return
  yield plain
  yield { ...target, chunks: { ...chunks, contraction: !chunks.contraction } }
  for (const factor of tuneRules.memory) {
    const sharedBytes = chunks.sharedBytes * factor
    yield { ...target, chunks: { ...chunks, sharedBytes } }
    yield { ...target, chunks: { ...chunks, sharedBytes, contraction: !chunks.contraction } }
  }
}
