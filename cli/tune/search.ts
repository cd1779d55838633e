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

/** A schedule that seems better than the heuristic one. */
interface Candidate {
  readonly schedule: Schedule
  readonly variant: Variant
  /** Of its time to that of the heuristic one. */
  readonly ratio: number
}

export async function search(trial: Trial, { schedules, realise, until }: SearchOptions): Promise<Found> {
  const problems: Found["problems"][number][] = []
  const prepared = async (schedule: Schedule): Promise<Variant | undefined> => {
    const loops = realise(schedule)
    if ("code" in loops) throw refused(`${loops.why} (${loops.code})`)
    return trial.prepare(loops)
  }
  const [first, ...others] = schedules
  const heuristic = await prepared(first!)
  if (heuristic === undefined) throw fault("the heuristic schedule was emitted before")
  await trial.check(heuristic)
  await trial.time(heuristic)
  const best: Candidate[] = []
  let tried = 1
  for (const schedule of others) {
    if (performance.now() > until) break
    let variant: Variant | undefined
    try {
      variant = await prepared(schedule)
      if (variant === undefined) continue
      tried++
      const found = await measured(trial, variant, heuristic)
      if (typeof found === "string") problems.push({ schedule, problem: found, wrong: true })
      if (typeof found === "number" && found < 1) best.push({ schedule, variant, ratio: found })
      else trial.drop(variant)
      best.sort((a, b) => a.ratio - b.ratio)
      for (const worse of best.splice(finalists)) trial.drop(worse.variant)
    } catch (error) {
      if (variant !== undefined) trial.drop(variant)
      problems.push({ schedule, problem: error instanceof Error ? error.message : String(error), wrong: false })
    }
  }
  const { winner, ratio, microseconds } = await final(trial, best, heuristic)
  const counts = { tried, choices: schedules.length, problems, heuristicMicroseconds: microseconds }
  if (winner === undefined) return { ...counts, schedule: first!, better: false, microseconds }
  return { ...counts, schedule: winner.schedule, better: true, microseconds: microseconds * ratio }
}

const refused = (why: string) => new WeftError("compile/schedule", why)

/** The time of a variant to that of the heuristic one, what is wrong with its result, or undefined when it is hopeless. */
async function measured(trial: Trial, variant: Variant, heuristic: Variant): Promise<number | string | undefined> {
  if (variant.kernel.spills === true) throw refused("its registers do not hold what it keeps")
  const wrong = await trial.check(variant)
  if (wrong !== undefined) return wrong
  const ratios: number[] = []
  for (let i = 0; i < samples && (i === 0 || median(ratios) < hopeless); i++)
    ratios.push((await trial.time(variant)) / (await trial.time(heuristic)))
  return ratios.length === samples ? median(ratios) : undefined
}

/** The best of the candidates when it is better beyond noise, its ratio, and the time of the heuristic schedule. */
async function final(trial: Trial, candidates: readonly Candidate[], heuristic: Variant) {
  const own: number[] = []
  const times = candidates.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    own.push(await trial.time(heuristic))
    for (const [i, { variant }] of candidates.entries()) times[i]!.push(await trial.time(variant))
  }
  const ratioOf = (i: number) => median(times[i]!.map((t, round) => t / own[round]!))
  const often = (i: number) => times[i]!.filter((t, round) => t < own[round]!).length >= (2 / 3) * rounds
  const [at] = [...candidates.keys()].sort((a, b) => ratioOf(a) - ratioOf(b))
  const wins = at !== undefined && ratioOf(at) <= noise && often(at)
  // The ratio is what was measured best: the median of pairs.
  return { winner: wins ? candidates[at] : undefined, ratio: wins ? ratioOf(at) : 1, microseconds: median(own) }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}
