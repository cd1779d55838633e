/**
 * Each kernel of each entry with what one launch of it costs on a device, and why it takes longer than its bytes and operations do.
 *
 *   { name: "k22_t0", entry: "sample", launches: 50, blocks: 2, threads: 512, busyThreads: 2, serialSteps: 151988, estimatedMicroseconds: 15367,
 *     floorMicroseconds: 0.4, why: ["2 blocks, where the device has 132 cores", "1 of 256 lanes does what others do not", …], … }
 *
 * Entries: what a run costs. What only a device tells is null without one.
 */
import type { Compilation } from "../compile.js"
import { everyStatement } from "../ir/loop-visit.js"
import { kernelSteps } from "../kernel/divide-bindings.js"
import { type DeviceRecord, rooflineOf } from "./devices.js"
import { type Estimate, estimateOf, type Limit } from "./estimate.js"
import { atomsOf, costOf, entryFacts, type Sizes, type StepFacts, termsOf } from "./facts.js"
import { launchWork } from "./lanes/work.js"
import { whySlow } from "./words.js"

export interface EntryCost extends StepFacts {
  readonly launches: number
  /** The sum of the launches. */
  readonly estimatedMicroseconds: number | null
  /** What the bytes and operations that the program asks for take, the longer of both. */
  readonly floorMicroseconds: number | null
}

/** One launch of a kernel. */
export interface KernelCost {
  readonly name: string
  /** Its number in the artifact. */
  readonly kernel: number
  readonly entry: string
  /** Launches in a run of the entry. */
  readonly launches: number
  /** Elements of its grid, each the work of one workgroup. */
  readonly blocks: number
  /** Lanes of all blocks. */
  readonly threads: number
  /** Those that do distinct work, on the average of the time that a block takes. */
  readonly busyThreads: number
  /** Iterations of innermost loops that one lane goes through, one after the other. */
  readonly serialSteps: number
  readonly barriers: number
  readonly bytes: number
  readonly operations: number
  /** The matrix units that it multiplies with. */
  readonly atom: string | null
  /** Bytes that a core has asked for at once, where most is asked for. */
  readonly bytesInFlight: number | null
  readonly estimatedMicroseconds: number | null
  /** The longer of what its bytes and its operations take. */
  readonly floorMicroseconds: number | null
  /** What the estimate is limited by. */
  readonly limit: Limit | null
  /** Seconds of each limit, without the launch. */
  readonly parts: Estimate["parts"] | null
  /** Why the estimate is far above the floor, in words; none where it is not. */
  readonly why: readonly string[]
  /** As measured, where that is known. */
  readonly measuredMicroseconds?: number
}

/** An estimate above this many floors, and this many microseconds more, is explained. */
const slowFactor = 3
const slowMicroseconds = 5

export const isSlow = ({ estimatedMicroseconds: e, floorMicroseconds: f }: KernelCost): boolean =>
  e !== null && f !== null && e > slowFactor * f + slowMicroseconds

/** The kernels of an entry in the order of their first launch. */
export function kernelCosts(
  compilation: Compilation,
  entry: string,
  sizes: Sizes,
  device: DeviceRecord | undefined,
  measured?: ReadonlyMap<string, number>,
): readonly KernelCost[] {
  const { artifact, kernels, within } = compilation
  const program = compilation.entries.find((e) => e.name === entry)!.program
  const atoms = atomsOf(compilation)
  const launches = new Map<number, number>()
  for (const [step, times] of kernelSteps(program)) {
    const kernel = compilation.numberOf(step)
    launches.set(kernel, (launches.get(kernel) ?? 0) + times)
  }
  const rolesOf = (kernel: number) =>
    artifact.entries[entry]!.launches.find((l) => l.kernel === kernel)!.buffers.map((b) => artifact.buffers[b]!.role)
  const costs = new Map([...launches.keys()].map((kernel) => [kernel, costOf(compilation, kernel, sizes)]))
  // What a run reads of states lies in the cache from the run before, if it is little.
  const ofStates = [...launches].reduce((sum, [kernel, times]) => {
    const roles = rolesOf(kernel)
    return sum + times * costs.get(kernel)!.buffers.reduce((n, b, i) => (roles[i] === "state" ? n + b.bytes : n), 0)
  }, 0)
  const far = new Set(ofStates > (device?.cores.cacheBytes ?? 0) ? ["weight", "state"] : ["weight"])
  return [...launches].map(([kernel, times]): KernelCost => {
    const { loops } = kernels[kernel]!
    const { bytes, operations, products, terms, buffers } = costs.get(kernel)!
    const roles = rolesOf(kernel)
    const fromMemory = (buffer: number) => far.has(roles[buffer]!)
    const launched = { loops, buffers, fromMemory, sizes }
    const estimate = within(() => (device === undefined ? undefined : estimateOf(launched, device)))
    const work = estimate?.work ?? within(() => launchWork(loops, { sizes, latency: () => 0, expected: 1 }))
    const amount = { bytes, operations, products, terms }
    const floor = device === undefined ? null : 1e6 * rooflineOf(amount, device, atoms).seconds
    const time = measured?.get(loops.name)
    const cost: KernelCost = {
      name: loops.name,
      kernel,
      entry,
      launches: times,
      blocks: work?.blocks ?? 0,
      threads: (work?.blocks ?? 0) * loops.threads,
      busyThreads: Math.round((work?.blocks ?? 0) * (work?.busyLanes ?? 0)),
      serialSteps: work?.serialSteps ?? 0,
      barriers: work?.barriers ?? 0,
      bytes,
      operations,
      atom: everyStatement(loops.body).find((s) => s.kind === "multiply")?.atom ?? null,
      bytesInFlight: estimate?.inFlight ?? null,
      estimatedMicroseconds: microseconds(estimate, device),
      floorMicroseconds: floor,
      limit: estimate?.limit ?? null,
      parts: estimate?.parts ?? null,
      why: [],
      ...(time === undefined ? {} : { measuredMicroseconds: time }),
    }
    return isSlow(cost) ? { ...cost, why: whySlow(cost, estimate!, device!) } : cost
  })
}

/** A launch in which no block has anything to do is a launch. */
const microseconds = (estimate: Estimate | undefined, device: DeviceRecord | undefined): number | null =>
  device === undefined ? null : 1e6 * (estimate?.seconds ?? device.cores.launchSeconds)

/** What a run of an entry costs, from its kernels. */
function entryCost(
  compilation: Compilation,
  entry: string,
  sizes: Sizes,
  kernels: readonly KernelCost[],
  device: DeviceRecord | undefined,
): EntryCost {
  const facts = entryFacts(compilation, entry, sizes)!
  const { floorBytes: bytes, unfusedOperations: operations, unfusedProducts: products } = facts
  const { artifact } = compilation
  const amount = { bytes, operations, products, terms: termsOf(artifact) }
  const least = (on: DeviceRecord) => rooflineOf(amount, on, atomsOf(compilation))
  const estimated = kernels.reduce((n, k) => n + k.launches * (k.estimatedMicroseconds ?? 0), 0)
  return {
    launches: kernels.reduce((n, k) => n + k.launches, 0),
    ...facts,
    estimatedMicroseconds: device === undefined ? null : estimated,
    floorMicroseconds: device === undefined ? null : 1e6 * least(device).seconds,
  }
}

/** All entries of a compilation, and all of their kernels. */
export function compilationCosts(
  compilation: Compilation,
  sizesOf: (entry: string) => Sizes,
  device: DeviceRecord | undefined,
  measured?: ReadonlyMap<string, number>,
): { readonly entries: Readonly<Record<string, EntryCost>>; readonly kernels: readonly KernelCost[] } {
  const all = compilation.entries.map(({ name }) => {
    const kernels = kernelCosts(compilation, name, sizesOf(name), device, measured)
    return { kernels, entry: [name, entryCost(compilation, name, sizesOf(name), kernels, device)] as const }
  })
  return { entries: Object.fromEntries(all.map((a) => a.entry)), kernels: all.flatMap((a) => a.kernels) }
}
