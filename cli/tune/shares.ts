/**
 * What each kernel takes of the entries that launch it: where the time goes, and with that what is worth measuring.
 *
 *     step: k14 41 %, k13 17 %, k9 12 %, …     greedy: k20 1 %
 */
import type { Compilation } from "../../compiler/compile.js"
import type { ArtifactLaunch } from "../../runtime/artifact.js"
import type { Bed } from "./bed.js"
import { median } from "./search.js"

/** An entry that takes less than this of the largest one's time counts less. */
const countsFrom = 0.01
/** Runs that times are medians or means of, beside a first one. */
const runs = 3
/** Times of nothing, to be taken from those that the host's clock gives. */
const idleRuns = 9

export interface Share {
  readonly kernel: number
  readonly share: number
  /** The entry where it takes longest, the number of its first launch there, and for how long. */
  readonly entry: string
  readonly launch: number
  readonly microseconds: number
}

export interface Shares {
  /** Microseconds of an entry's launches, by kernel. */
  readonly entries: ReadonlyMap<string, ReadonlyMap<number, number>>
  /** Those with the largest share first. */
  readonly kernels: readonly Share[]
}

/**
 * Entries count the same, a step as much as a prompt, but those that take next to nothing, like picking the most likely token.
 */
export async function measureShares(
  bed: Bed,
  { artifact }: Pick<Compilation, "artifact">,
  names: readonly string[],
  show: (text: string) => void,
): Promise<Shares> {
  const entries = new Map<string, ReadonlyMap<number, number>>()
  const times = new Map<string, readonly number[]>()
  for (const entry of names) {
    show(`measuring ${entry} …`)
    const { launches } = artifact.entries[entry]!
    const found = (await bed.times(launches, runs)) ?? (await hostTimes(bed, launches))
    const sums = new Map<number, number>()
    for (const [i, { kernel }] of launches.entries()) sums.set(kernel, (sums.get(kernel) ?? 0) + found[i]!)
    entries.set(entry, sums)
    times.set(entry, found)
  }
  const totals = new Map([...entries].map(([entry, sums]) => [entry, [...sums.values()].reduce((a, b) => a + b, 0)]))
  const largest = Math.max(...totals.values())
  const kernels = new Map<number, Share>()
  for (const [entry, sums] of entries)
    for (const [kernel, sum] of sums) {
      const share = sum / Math.max(totals.get(entry)!, largest * countsFrom)
      const launch = artifact.entries[entry]!.launches.findIndex((l) => l.kernel === kernel)
      if ((kernels.get(kernel)?.share ?? 0) < share)
        kernels.set(kernel, { kernel, share, entry, launch, microseconds: times.get(entry)![launch]! })
    }
  return { entries, kernels: [...kernels.values()].sort((a, b) => b.share - a.share) }
}

/** Microseconds of each launch by the host's clock: medians, without what a wait for nothing takes. */
async function hostTimes(bed: Bed, launches: readonly ArtifactLaunch[]): Promise<readonly number[]> {
  const timeOf = async (launch: () => void) => {
    const started = performance.now()
    launch()
    await bed.settle()
    return 1000 * (performance.now() - started)
  }
  const idle: number[] = []
  for (let i = 0; i < idleRuns; i++) idle.push(await timeOf(() => {}))
  const times = launches.map((): number[] => [])
  for (let run = 0; run <= runs; run++)
    for (const [i, launch] of launches.entries()) {
      const time = await timeOf(() => bed.run(launch))
      if (run > 0) times[i]!.push(Math.max(0.1, time - median(idle)))
    }
  return times.map(median)
}
