/** The arrays of a kernel, and what an access to one takes. */
import { type LoopKernel, type Statement, storageBytes } from "../../ir/loop.js"
import type { Place } from "./evaluate.js"
import { type Active, differing, type Pattern } from "./patterns.js"
import type { ArrayFacts, State } from "./state.js"
import { type LaneValue, patternOf, slopesAt, subgroup } from "./values.js"

/** Cycles until an array of the workgroup answers, and one of a lane whose element only its values tell: it lies in memory. On NVIDIA hardware; assumed. */
export const sharedCycles = 30
const privateCycles = 33
/** Instructions of an access to a buffer, with its address and what keeps it inside; to an array of the workgroup; to one of a lane. Assumed. */
const instructions = { buffer: 4, shared: 2, register: 1 } as const
/** Bytes of a workgroup's memory that come in a cycle. NVIDIA's number. */
export const sharedBytesPerCycle = 128

export function arraysOf({ buffers }: LoopKernel, latency: (buffer: string) => number): Map<string, ArrayFacts> {
  return new Map(
    buffers.map(({ name, storage }) => [name, { space: "buffer", storage, latency: latency(name), holds: undefined }]),
  )
}

export function privateArray({ dtype, storage, space }: Statement & { readonly kind: "alloc" }): ArrayFacts {
  const latency = space === "shared" ? sharedCycles : privateCycles
  return { space, storage: storage ?? dtype, latency, holds: undefined }
}

/**
 * Cycles until the cache of a core answers (assumed), bytes that come to it at once (64: with it the steps of a fold on an H100 take the 93 ns that they
 * were measured to take), and bytes that it holds beside the memory of the workgroups.
 */
const nearCycles = 40
const sectorBytes = 64
const nearBytes = 64 * 1024
/** Bytes that a cache asks for at once. NVIDIA's number. */
const pieceBytes = 32

/**
 * The share of accesses that go beyond the core, on the average of the loops around: what an iteration reads from the sector that the one before has
 * read lies near, and so does what a loop around reads again, if it is little.
 */
function beyond({ loops }: State, { storage }: ArrayFacts, offset: LaneValue, bytes: number): number {
  const innermost = loops.at(-1)
  if (innermost === undefined || !offset.steady) return 1
  const { slopes } = offset
  let touched = bytes
  for (const { variable, extent } of [...loops].reverse())
    if (slopes?.has(variable)) touched *= extent
    else if (touched <= nearBytes) return 0
  const stride = Math.abs(slopes?.get(innermost.variable) ?? Number.NaN) * innermost.stride * storageBytes(storage)
  return stride < sectorBytes ? stride / sectorBytes : 1
}

/** An access of the lanes that take part, counted; of a fetch the value. */
export function accessed(
  state: State,
  name: string,
  offset: LaneValue,
  width: number,
  place: Place,
  storing = false,
): LaneValue {
  const array = state.arrays.get(name)!
  const { storage, space, latency, holds } = array
  const { work, times, active, names, kernel } = state
  const issue = Math.max(place.begin, offset.ready)
  place.issued = Math.max(place.issued, issue)
  const pattern = patternOf(offset, names.patterns)
  const slopes = slopesAt(offset)
  if (space === "register") {
    const moves = !offset.known || !offset.steady
    place.effort.instructions += moves ? instructions.register * width : 0
    const found = names.patterns.joined(holds, pattern)
    return { known: false, pattern: found, ready: issue + (moves ? latency : 0), steady: false, slopes }
  }
  place.effort.instructions += instructions[space] + (storageBytes(storage) === 2 ? width : 0)
  state.elements += width
  if (space === "shared") {
    const bytes = width * storageBytes(storage) * ofOneSubgroup(pattern, active, kernel.threads)
    work.sharedCycles += times * state.warps * Math.max(1, bytes / sharedBytesPerCycle)
    return { known: false, pattern, ready: issue + latency, steady: false, slopes }
  }
  const asked = bytesAsked(state, offset, width, storageBytes(storage))
  const share = beyond(state, array, offset, asked)
  work.requested += times * asked * share
  if (!storing) state.asked += asked
  const ready = issue + nearCycles + share * (latency - nearCycles)
  return { known: false, pattern, ready, steady: false, slopes }
}

/** Bytes that the lanes ask for: whole pieces, as caches have them, where addresses are known. */
function bytesAsked({ active, names, kernel }: State, offset: LaneValue, width: number, bytes: number): number {
  const { patterns } = names
  const exact = differing(patternOf(offset, patterns), active, 0, kernel.threads) * width * bytes
  if (!offset.known || typeof offset.at === "number") return exact
  const pieces = offset.at.map((at) => Math.floor((at * bytes) / pieceBytes))
  return Math.max(exact, differing(patterns.of(pieces), active, 0, kernel.threads) * pieceBytes)
}

/** Different addresses of the first subgroup of which lanes take part. */
function ofOneSubgroup(pattern: Pattern | undefined, active: Active, threads: number): number {
  const first = active === undefined ? 0 : active.indexOf(1)
  if (first < 0) return 0
  const from = first - (first % subgroup)
  return differing(pattern, active, from, Math.min(threads, from + subgroup))
}
