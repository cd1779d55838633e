/**
 * The best schedule of one kernel, as measured: every choice is checked and timed against the heuristic one in turns, hopeless ones are given
 * up after one sample, and the best few meet again in a final.
 *
 *   heuristic 103 µs   choice 17: 81 µs   ratio 0.79 in 9 rounds   →   written
 *
 * Ratios are medians of pairs that were measured one after the other: what else the machine does slows both.
 */

import type { LoopKernel } from "../../compiler/ir/loop.js"
import type { Refusal, Schedule } from "../../compiler/ir/schedule.js"
import type { Choices } from "../../compiler/schedule/choices.js"
import { fault, WeftError } from "../../runtime/errors.js"
import type { Trial, Variant } from "./trial.js"

export interface Found {
  readonly schedule: Schedule
  /** Beyond noise; otherwise the schedule is the heuristic one. */
  readonly better: boolean
  readonly microseconds: number
  readonly heuristicMicroseconds: number
  /** Schedules that were measured, and those that exist. */
  readonly tried: number
  readonly choices: number
  /** What went wrong with a schedule: its result, or its way onto the device. */
  readonly problems: readonly { readonly schedule: Schedule; readonly problem: string; readonly wrong: boolean }[]
}

export interface SearchOptions {
  readonly schedules: Choices["schedules"]
  /** The loops of a schedule, or why there are none. */
  readonly realise: (schedule: Schedule) => LoopKernel | Refusal
  /** When to stop, as `performance.now()` has it. */
  readonly until: number
}

/** A first sample that takes so many times as long as the heuristic schedule's ends it. */
const hopeless = 1.4
const samples = 3
const finalists = 4
const rounds = 9
/** Smaller gains are taken for noise. */
const noise = 0.97

export async function search(trial: Trial, { schedules, realise, until }: SearchOptions): Promise<Found> {
  const problems: Found["problems"][number][] = []
  const [first, ...others] = schedules
  const heuristic = await prepared(first!)
  if (heuristic === undefined) throw fault("the heuristic schedule was emitted before")
  await trial.check(heuristic)
  await trial.time(heuristic)
  async function prepared(schedule: Schedule): Promise<Variant | undefined> {
    const loops = realise(schedule)
    if ("code" in loops) throw new WeftError("compile/schedule", `${loops.why} (${loops.code})`)
    return trial.prepare(loops)
  }
  const promising: { readonly schedule: Schedule; readonly variant: Variant; readonly ratio: number }[] = []
  let tried = 1
  for (const schedule of others) {
    if (performance.now() > until) break
    try {
      const variant = await prepared(schedule)
      if (variant === undefined) continue
      tried++
      const wrong = await trial.check(variant)
      if (wrong !== undefined) {
        problems.push({ schedule, problem: wrong, wrong: true })
        continue
      }
      const ratios: number[] = []
      for (let i = 0; i < samples && (i === 0 || median(ratios) < hopeless); i++)
        ratios.push((await trial.time(variant)) / (await trial.time(heuristic)))
      if (ratios.length === samples && median(ratios) < 1) promising.push({ schedule, variant, ratio: median(ratios) })
    } catch (error) {
      problems.push({ schedule, problem: error instanceof Error ? error.message : String(error), wrong: false })
    }
  }
  const best = promising.sort((a, b) => a.ratio - b.ratio).slice(0, finalists)
  const own: number[] = []
  const times = best.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    own.push(await trial.time(heuristic))
    for (const [i, { variant }] of best.entries()) times[i]!.push(await trial.time(variant))
  }
  const ratioOf = (i: number) => median(times[i]!.map((t, round) => t / own[round]!))
  const winners = best.map((_, i) => i).sort((a, b) => ratioOf(a) - ratioOf(b))
  const winner = winners[0]
  const counts = { tried, choices: schedules.length, problems, heuristicMicroseconds: median(own) }
  const often = (i: number) => times[i]!.filter((t, round) => t < own[round]!).length >= (2 / 3) * rounds
  if (winner === undefined || ratioOf(winner) > noise || !often(winner))
    return { ...counts, schedule: first!, better: false, microseconds: median(own) }
  // The ratio is what was measured best: the median of pairs.
  return { ...counts, schedule: best[winner]!.schedule, better: true, microseconds: median(own) * ratioOf(winner) }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}
