/**
 * The time of one launch on a device, from its bytes, its operations and its lanes.
 *
 *   16.8 MB of weights by 192 blocks, each lane one fetch at a time      chain    13 µs, where the bytes take 5.4
 *   37,984 steps of the lanes of one block                               chain     8 ms, where the bytes take 0.4 µs
 *
 * From six: bytes at the bandwidth of memory, bytes at that of the shared cache, instructions of all subgroups, products on matrix units, the memory of the workgroups,
 * and the chain of one lane as often as blocks have to wait for a core; and a launch before it. The longest is what limits. What is assumed of a device stands
 * in devices.ts, of instructions in lanes/.
 */
import type { LoopKernel } from "../ir/loop.js"
import { type CoreFacts, type DeviceRecord, rateOf } from "./devices.js"
import { type LaunchWork, launchWork } from "./lanes/work.js"
import type { BufferTraffic } from "./traffic.js"

export type Limit = "memory" | "cache" | "instructions" | "matrix units" | "workgroup memory" | "latency"

export interface Estimate {
  readonly work: LaunchWork
  readonly seconds: number
  readonly limit: Limit
  /** Seconds of each, without the launch. */
  readonly parts: Readonly<Record<Limit, number>>
  /** Blocks that a core holds at once. */
  readonly resident: number
  /** Bytes that a core has asked for at once. */
  readonly inFlight: number
}

export interface Launched {
  readonly loops: LoopKernel
  readonly buffers: readonly BufferTraffic[]
  /** Whether a buffer comes from memory, by its number: weights and states, for more lies between two uses of one than a cache holds. */
  readonly fromMemory: (buffer: number) => boolean
  readonly sizes: ReadonlyMap<string, number>
}

/** Iterations of a loop whose length data decide. Not measured. */
const expected = 1

/** @returns undefined when no block has anything to do */
export function estimateOf(
  { loops, buffers, fromMemory, sizes }: Launched,
  device: DeviceRecord,
): Estimate | undefined {
  const { cores } = device
  const numbers = new Map(loops.buffers.map((b, i) => [b.name, i]))
  const latency = (name: string) => {
    const at = numbers.get(name)!
    const cached = !fromMemory(at) && (buffers[at]?.bytes ?? 0) < cores.cacheBytes
    return (cached ? cores.cacheSeconds : cores.memorySeconds) * cores.clockHertz
  }
  const atomSeconds = (atom: string) => 1 / (rateOf(device, atom) ?? Number.POSITIVE_INFINITY)
  const work = launchWork(loops, { sizes, latency, atomSeconds, expected })
  if (work === undefined) return undefined
  const resident = residentOf(work, cores)
  const slots = Math.min(work.groups, cores.count * resident)
  const used = Math.min(cores.count, work.groups)
  const waves = Math.ceil(work.groups / slots)
  const busiest = blocksOfBusiest(work, used, waves)
  const perBlock = (total: number) => (busiest * total) / work.blocks
  const cycles = {
    instructions: Math.max(perBlock(work.instructions), work.mostInstructions) / cores.issues,
    "workgroup memory": perBlock(work.sharedCycles),
    latency: waves * work.firstCycles + Math.max(work.longestCycles, work.meanCycles * Math.ceil(work.blocks / slots)),
  }
  const bytes = buffers.reduce((n, b) => n + b.bytes, 0)
  const parts = {
    memory: bytes / device.bytesPerSecond,
    cache: work.requested / cores.cacheBytesPerSecond,
    instructions: cycles.instructions / cores.clockHertz,
    // The core that has most takes its share of the units.
    "matrix units": cores.count * perBlock(work.matrixSeconds),
    "workgroup memory": cycles["workgroup memory"] / cores.clockHertz,
    latency: cycles.latency / cores.clockHertz,
  }
  const [limit, most] = (Object.entries(parts) as [Limit, number][]).reduce((a, b) => (b[1] > a[1] ? b : a))
  // What comes from memory, what lanes wait for and what they issue overlap in part. With the root of their squares kernels of an H200 take what they
  // were measured to: products of matrices, and of a matrix and a row.
  const overlapping = Math.hypot(parts.memory, parts.latency, parts.instructions)
  const held = Math.min(resident, busiest)
  return {
    work,
    seconds: cores.launchSeconds + Math.max(most, overlapping),
    limit,
    parts,
    resident,
    inFlight: held * work.inFlight,
  }
}

/** Blocks of the core that has most: workgroups that all run at once have theirs dealt out before, others come to a core that is free. */
function blocksOfBusiest({ blocks, groups }: LaunchWork, used: number, waves: number): number {
  if (waves > 1) return Math.ceil(blocks / used)
  let own = 0
  for (let group = 0; group < groups; group += used) own += Math.ceil((blocks - group) / groups)
  return own
}

/** Blocks that a core holds at once. */
function residentOf({ lanes, sharedBytes, registers }: LaunchWork, cores: CoreFacts): number {
  const byLanes = Math.floor(cores.lanes / lanes)
  const byBytes = sharedBytes === 0 ? byLanes : Math.floor(cores.sharedBytes / sharedBytes)
  const byRegisters = Math.floor(cores.registers / (lanes * Math.min(255, Math.max(32, registers))))
  return Math.max(1, Math.min(byLanes, byBytes, byRegisters))
}
