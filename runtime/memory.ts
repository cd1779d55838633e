/**
 * What an artifact takes on a device, known before anything is allocated.
 *
 *     memoryOf(artifact)  →  { weights: 30_400_000, state: 2_097_168, scratch: 1_081_344, constants: 64, exchange: 1_049_104, total: … }
 *
 * The plan names every byte: a slot is allocated once, whatever the number of buffers that take turns in it. Programs of kernels and what a
 * driver keeps for itself are not counted.
 */
import type { Artifact, ArtifactBuffer } from "./artifact.js"
import type { Device } from "./devices/device.js"
import { WeftError } from "./errors.js"

/** Bytes. */
export interface MemoryEstimate {
  readonly weights: number
  /** Kept between steps: grows with the context, but for what keeps its last rows only. */
  readonly state: number
  /** Between the kernels of a step: grows with the tokens that one step takes. */
  readonly scratch: number
  readonly constants: number
  /** Inputs and outputs. */
  readonly exchange: number
  readonly total: number
}

const kinds = {
  weight: "weights",
  state: "state",
  scratch: "scratch",
  constant: "constants",
  input: "exchange",
  output: "exchange",
} as const satisfies Record<ArtifactBuffer["role"], Exclude<keyof MemoryEstimate, "total">>

export function memoryOf({ slots, buffers, entries }: Pick<Artifact, "slots" | "buffers" | "entries">): MemoryEstimate {
  const bytes = { weights: 0, state: 0, scratch: 0, constants: 0, exchange: 0 }
  const used = new Set(Object.values(entries).flatMap((e) => e.launches.flatMap((l) => l.buffers)))
  const counted = new Set<number>()
  for (const [i, { role, slot }] of buffers.entries()) {
    // Scratch that nothing uses is nowhere.
    if (counted.has(slot) || (role === "scratch" && !used.has(i))) continue
    counted.add(slot)
    bytes[kinds[role]] += slots[slot]!.bytes
  }
  return { ...bytes, total: slots.reduce((n, slot) => n + slot.bytes, 0) }
}

/**
 * Refuses an artifact that does not fit, by a limit of the caller's or by what the device says that it has.
 *
 * @throws WeftError `session/memory` with both numbers
 */
export function checkFits(artifact: Artifact, device: Device, allowed: number | undefined): void {
  const needed = memoryOf(artifact)
  const { memoryBytes = Number.POSITIVE_INFINITY } = device.limits
  const most = Math.min(allowed ?? Number.POSITIVE_INFINITY, memoryBytes)
  if (needed.total <= most) return
  const whose = most === memoryBytes ? `the device has ${most} at most` : `${most} are allowed`
  const parts = `weights ${needed.weights}, state ${needed.state}, scratch ${needed.scratch}`
  throw new WeftError("session/memory", `the model takes ${needed.total} bytes (${parts}), but ${whose}`, {
    hint: `a smaller context makes the state smaller, a smaller chunk the scratch${device.kind === "wasm" ? "; WebAssembly addresses 4 GiB, the webgpu device more" : ""}`,
  })
}
