/**
 * The launches of an artifact's entries as recordings: each entry by itself, and those that run together again and again as one.
 *
 *     prefill, greedy │ step, greedy │ step, greedy │ step, greedy │ …
 *     two recordings    two            one             one
 */
import type { Artifact, ArtifactLaunch } from "./artifact.js"
import type { Command, CompiledKernel, Device, DeviceBuffer, Recording } from "./devices/device.js"
import { WeftError } from "./errors.js"

export function recordEntries(
  artifact: Artifact,
  device: Device,
  kernels: readonly CompiledKernel[],
  at: (buffer: number) => DeviceBuffer,
): ReadonlyMap<string, Recording> {
  return new Map(
    Object.entries(artifact.entries).map(
      ([name, { launches }]) => [name, device.record(commandsOf(launches, kernels, at))] as const,
    ),
  )
}

export const commandsOf = (
  launches: readonly ArtifactLaunch[],
  kernels: readonly CompiledKernel[],
  at: (buffer: number) => DeviceBuffer,
): readonly Command[] =>
  launches.map((l) => ({ kernel: kernels[l.kernel]!, buffers: l.buffers.map(at), groups: l.groups }))

/** Recordings of entries that run one after the other: one of all, where the device makes one and the same entries come again. */
export function createTogether(device: Device, recordings: ReadonlyMap<string, Recording>) {
  const made = new Map<string, readonly Recording[]>()
  let last = ""
  const single = (entry: string): Recording => {
    const recording = recordings.get(entry)
    if (recording === undefined) throw new WeftError("session/entry", `the artifact has no entry '${entry}'`)
    return recording
  }
  const joined = (entries: readonly string[]): readonly Recording[] => {
    const all = entries.map(single)
    if (device.join === undefined || all.length < 2) return all
    const name = entries.join(" ")
    const one = made.get(name) ?? [device.join(all)]
    made.set(name, one)
    return one
  }
  return {
    joined,
    /** What comes once, as a prompt does, is not worth the making; that of steps is made while the device has the first ones to do. */
    next(entries: readonly string[]): readonly Recording[] {
      const name = entries.join(" ")
      const again = name === last
      last = name
      return again ? joined(entries) : (made.get(name) ?? entries.map(single))
    },
  }
}
