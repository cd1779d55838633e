/**
 * The states of a session, zero when a sequence begins: only what was reached since then is cleared.
 *
 *     a cache of 4,096 rows, 40 tokens so far   →   40 rows are zeroed
 */
import type { Artifact } from "./artifact.js"
import type { Device, DeviceBuffer } from "./devices/device.js"

/** States by which entries hand on what they have made: each writes them before another reads them. */
const handed: readonly string[] = ["states.logits", "states.token"]

/** Zeros that are uploaded at a time. */
const zeroBytes = 16 << 20

/** What the states hold that is not their first value, and how it goes: the memory that no run has reached is zero still. */
export function createStates({ buffers }: Artifact, device: Device, slots: readonly DeviceBuffer[]) {
  const states = buffers.filter((b) => b.role === "state")
  const written = new Set<string>()
  /** Tokens of the longest sequence since the last clearing. */
  let tokens: number | undefined
  return {
    ran({ past = 0, seq = 0 }: Readonly<Record<string, number>>): void {
      tokens = Math.max(tokens ?? 0, past + seq)
    },
    wrote: (name: string): unknown => written.add(name),
    /** Whether a sequence may go back to any of its tokens: each state has a row for each, but for those that hand on what a run has made. */
    keeps: states.every(({ name, row }) => row !== undefined || handed.includes(name)),
    /** Zeros but for the rows of the first `kept` tokens, which must be there. */
    clear(kept = 0): void {
      for (const { name, slot, bytes, row } of states) {
        if (tokens === undefined && !written.has(name)) continue
        const used = row === undefined || written.has(name) ? bytes : Math.min(bytes, (tokens ?? 0) * row)
        zero(device, slots[slot]!, Math.ceil((kept * (row ?? 0)) / 4) * 4, Math.ceil(used / 4) * 4)
      }
      tokens = kept === 0 ? undefined : kept
      written.clear()
    },
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
