/**
 * The states of a session, zero when a sequence begins: only what was reached since then is cleared.
 *
 *     a cache of 4,096 rows, 40 tokens so far                        →   40 rows are zeroed
 *     one of 24 rows of which 16 are kept, 40 tokens so far          →   rows 16 … 39 are there: back to 32 … 40, or to the beginning
 */
import type { Artifact, ArtifactBuffer } from "./artifact.js"
import type { Device, DeviceBuffer } from "./devices/device.js"

/** States by which entries hand on what they have made: each writes them before another reads them. */
const handed: readonly string[] = ["states.logits", "states.token"]

/** Zeros that are uploaded at a time. */
const zeroBytes = 16 << 20

/** A state with the first of its rows that is still there. */
interface Held {
  readonly buffer: ArtifactBuffer
  /** The first row that no later one has taken the place of before the last clearing. */
  first: number
}

/** What the states hold that is not their first value, and how it goes: the memory that no run has reached is zero still. */
export function createStates({ buffers }: Artifact, device: Device, slots: readonly DeviceBuffer[]) {
  const states = buffers.filter((b) => b.role === "state").map((buffer): Held => ({ buffer, first: 0 }))
  const written = new Set<string>()
  /** Tokens of the longest sequence since the last clearing. */
  let tokens: number | undefined
  const firstOf = ({ buffer: { keeps, shape }, first }: Held) =>
    keeps === undefined ? 0 : Math.max(first, (tokens ?? 0) - shape[0]!)
  const holds = (held: Held, count: number): boolean => {
    const { name, row, keeps } = held.buffer
    if (handed.includes(name)) return true
    if (row === undefined || keeps === undefined) return row !== undefined
    // Which rows a host has written is not known.
    return !written.has(name) && Math.max(0, count - keeps) >= firstOf(held)
  }
  return {
    ran({ past = 0, seq = 0 }: Readonly<Record<string, number>>): void {
      tokens = Math.max(tokens ?? 0, past + seq)
    },
    wrote: (name: string): unknown => written.add(name),
    /**
     * Whether a sequence may go on from its first `count` tokens, which were read: each state has all that it can be asked for there, but for those
     * that hand on what a run has made.
     */
    restorable: (count: number): boolean => count === 0 || states.every((held) => holds(held, count)),
    /** Zeros but for the rows of the first `kept` tokens, which must be there. */
    clear(kept = 0): void {
      for (const held of states) {
        const { name, slot, bytes, row, keeps } = held.buffer
        held.first = kept === 0 ? 0 : firstOf(held)
        if (tokens === undefined && !written.has(name)) continue
        const rows = tokens ?? 0
        if (keeps !== undefined && row !== undefined && kept > 0) clearAround(held.buffer, row, kept, rows)
        else {
          const used = row === undefined || written.has(name) ? bytes : Math.min(bytes, rows * row)
          zero(device, slots[slot]!, Math.ceil((kept * (row ?? 0)) / 4) * 4, Math.ceil(used / 4) * 4)
        }
      }
      tokens = kept === 0 ? undefined : kept
      written.clear()
    },
  }

  /** Zeros in the place of the rows from `from` to `to`, which go round. */
  function clearAround({ slot, shape }: ArtifactBuffer, row: number, from: number, to: number): void {
    const room = shape[0]!
    const first = from % room
    const end = first + to - from
    // A word that a kept row has a part of stays as it is.
    const part = (a: number, b: number) =>
      zero(device, slots[slot]!, Math.ceil((a * row) / 4) * 4, ((b * row) >> 2) * 4)
    part(first, Math.min(end, room))
    if (end > room) part(0, end - room)
  }
}

/** Zeros from byte `from` to byte `to`. */
function zero(device: Device, buffer: DeviceBuffer, from: number, to: number): void {
  if (from === 0 && to > 0 && device.clear !== undefined) {
    device.clear(buffer, to)
    return
  }
  for (let offset = from; offset < to; offset += zeroBytes)
    device.upload(buffer, offset, new Uint8Array(Math.min(zeroBytes, to - offset)))
}
