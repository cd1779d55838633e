/**
 * The launches of an artifact's entries as recordings: each entry by itself, and those that run together again and again as one.
 *
 *     prefill, greedy │ step, greedy │ step, greedy │ step, greedy │ …
 *     two recordings    two            one             one
 */
import type { Artifact, ArtifactLaunch } from "./artifact.js"
import type { Command, CompiledKernel, Device, DeviceBuffer, KernelCode, Recording } from "./devices/device.js"
import { WeftError } from "./errors.js"

/** The kernels and recordings of a session, as far as they are made. */
export interface Prepared {
  /** By their numbers in the artifact. */
  readonly kernels: ReadonlyMap<number, CompiledKernel>
  readonly recordings: ReadonlyMap<string, Recording>
  /** Milliseconds that it took so far. */
  readonly milliseconds: () => number
  /** Compiles what these entries launch and records them, where that is not done; calls wait for one another. */
  readonly make: (entries: readonly string[]) => Promise<void>
}

/** @param check called when something was compiled, before it is used: throws where nobody wants it any more */
export function createPrepared(
  artifact: Artifact,
  device: Device,
  at: (buffer: number) => DeviceBuffer,
  check: () => void,
): Prepared {
  const kernels = new Map<number, CompiledKernel>()
  const recordings = new Map<string, Recording>()
  let milliseconds = 0
  let last: Promise<void> = Promise.resolve()
  const missing = (entries: readonly string[]) =>
    entries.filter((entry) => !recordings.has(entry) && Object.hasOwn(artifact.entries, entry))
  const make = async (entries: readonly string[]): Promise<void> => {
    const wanted = missing(entries)
    const started = performance.now()
    const launched = wanted.flatMap((entry) => artifact.entries[entry]!.launches.map((l) => l.kernel))
    const numbers = [...new Set(launched)].filter((kernel) => !kernels.has(kernel)).sort((a, b) => a - b)
    if (numbers.length > 0) {
      const own = { ...codeOf(artifact), kernels: numbers.map((kernel) => artifact.kernels[kernel]!) }
      const made = await device.compile(own, artifact.symbols.length)
      check()
      for (const [i, kernel] of numbers.entries()) kernels.set(kernel, made[i]!)
    }
    const recorded = wanted.map(
      (entry) => [entry, device.record(commandsOf(artifact.entries[entry]!.launches, kernels, at))] as const,
    )
    await device.settle?.(recorded.map(([, recording]) => recording))
    for (const [entry, recording] of recorded) recordings.set(entry, recording)
    milliseconds += performance.now() - started
  }
  return {
    kernels,
    recordings,
    milliseconds: () => milliseconds,
    make(entries) {
      if (missing(entries).length === 0) return Promise.resolve()
      last = last.catch(() => {}).then(() => make(entries))
      return last
    },
  }
}

/** What of an artifact a device makes ready. */
export const codeOf = ({ kernels, module, prelude, modules }: Artifact): KernelCode => ({
  kernels,
  module: fromBase64(module),
  prelude,
  modules,
})

/** Page-safe base64. */
export function fromBase64(text: string): Uint8Array {
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
  return bytes
}

export const commandsOf = (
  launches: readonly ArtifactLaunch[],
  kernels: ReadonlyMap<number, CompiledKernel>,
  at: (buffer: number) => DeviceBuffer,
): readonly Command[] =>
  launches.map((l) => ({ kernel: kernels.get(l.kernel)!, buffers: l.buffers.map(at), groups: l.groups }))

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
