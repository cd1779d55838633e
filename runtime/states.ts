/**
 * The states of a session, zero when a sequence begins: only what was reached since then is cleared.
 *
 *     a cache of 4,096 rows, 40 tokens so far   →   40 rows are zeroed
 */
import type { Artifact } from "./artifact.js"
import type { Device, DeviceBuffer } from "./devices/device.js"

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
    clear(): void {
      for (const { name, slot, bytes, row } of states) {
        if (tokens === undefined && !written.has(name)) continue
        const used = row === undefined || written.has(name) ? bytes : Math.min(bytes, (tokens ?? 0) * row)
        zero(device, slots[slot]!, Math.ceil(used / 4) * 4)
      }
      tokens = undefined
      written.clear()
    },
  }
}

function zero(device: Device, buffer: DeviceBuffer, bytes: number): void {
  if (bytes > 0 && device.clear !== undefined) device.clear(buffer, bytes)
  for (let offset = 0; device.clear === undefined && offset < bytes; offset += zeroBytes)
    device.upload(buffer, offset, new Uint8Array(Math.min(zeroBytes, bytes - offset)))
}
