/**
 * Why a kernel takes longer than its bytes and operations, in words.
 *
 *   one block of 256 lanes goes through 37,984 dependent steps
 *   32 of 256 lanes do work of their own
 *   2 blocks, where the device has 132 cores
 *   a core has asked for 4.0 KB at once; 16 KB keep memory busy
 */
import type { DeviceRecord } from "./devices.js"
import type { Estimate } from "./estimate.js"

/** Steps of one lane from which they are named. A step takes 20 ns at least: these take a microsecond. */
const manySteps = 50
/** Barriers of one block from which they are named. */
const manyBarriers = 8

const number = (n: number): string => Math.round(n).toLocaleString("en-US")

interface Counted {
  readonly blocks: number
  readonly serialSteps: number
  readonly barriers: number
}

export function whySlow(
  { blocks, serialSteps, barriers }: Counted,
  { work, limit, parts, inFlight }: Estimate,
  { cores, bytesPerSecond }: DeviceRecord,
): readonly string[] {
  const { lanes, busyLanes, groups } = work
  const found: string[] = []
  const many = `${blocks === 1 ? "one block" : `${number(blocks)} blocks`} of ${lanes} lanes`
  // One block that takes longer than the turns of all the others.
  const who = work.longestCycles > 4 * work.meanCycles ? `a block in ${many}` : many
  if (serialSteps >= manySteps && limit === "latency")
    found.push(`${who}: a lane goes through ${number(serialSteps)} dependent steps`)
  if (blocks < cores.count)
    found.push(`${blocks === 1 ? "one block" : `${number(blocks)} blocks`}, where the device has ${cores.count} cores`)
  if (busyLanes <= lanes / 2) found.push(`${number(busyLanes)} of ${lanes} lanes do work of their own`)
  const enough = (bytesPerSecond * cores.memorySeconds) / cores.count
  if (limit === "latency" && inFlight > 0 && inFlight < enough && blocks >= cores.count)
    found.push(`a core has asked for ${kilobytes(inFlight)} at once; ${kilobytes(enough)} keep memory busy`)
  if (limit === "latency" && barriers >= manyBarriers) found.push(`a lane waits at ${number(barriers)} barriers`)
  if (groups < blocks) found.push(`${number(groups)} workgroups take ${number(blocks)} blocks in turn`)
  if (limit === "cache")
    found.push(
      `blocks ask the cache for ${number(work.requested / 1e6)} MB, ${number(parts.cache / Math.max(1e-12, parts.memory))} times what the kernel moves`,
    )
  if (limit === "instructions")
    found.push(
      `its ${number(work.instructions / 1e6)} M instructions of subgroups take ${number(1e6 * parts.instructions)} µs`,
    )
  if (limit === "matrix units")
    found.push(
      `its ${number(work.products / 1e9)} G operations on matrix units take ${number(1e6 * parts["matrix units"])} µs`,
    )
  if (limit === "workgroup memory")
    found.push(`the memory of the workgroups answers for ${number(1e6 * parts["workgroup memory"])} µs`)
  return found.length === 0 ? [`limited by ${limit}`] : found
}

const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KB`
