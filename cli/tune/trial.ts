/**
 * One kernel on a device, to be run under several schedules over the same data.
 *
 * Its buffers are copies, several sets where they are small, so that a kernel that is run again and again does not find all it reads in the nearest
 * cache. What is too large for that is read in place. `check` runs a variant once on fresh data; `time` is the time of one launch among many of one
 * recording, which start as early as those of an entry do.
 */
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import type { Target } from "../../compiler/targets/target.js"
import type { Artifact, ArtifactLaunch } from "../../runtime/artifact.js"
import type { CompiledKernel, DeviceBuffer, Recording } from "../../runtime/devices/device.js"
import { disagreement } from "./agree.js"
import type { Bed } from "./bed.js"

/** A kernel under one schedule. */
export interface Variant {
  readonly kernel: CompiledKernel
  /** As many launches as a sample takes, over all sets of buffers in turn. */
  readonly sample: Recording
  /** Runs it once. */
  readonly once: Recording
}

export interface Trial {
  /** Undefined when the same code has been made before. */
  readonly prepare: (loops: LoopKernel) => Promise<Variant | undefined>
  /** Runs it once; what is wrong with the result, compared to the first variant that was checked. */
  readonly check: (variant: Variant) => Promise<string | undefined>
  /** Microseconds of a launch. */
  readonly time: (variant: Variant) => Promise<number>
  /** Gives back a variant that is of no use any more. */
  readonly drop: (variant: Variant) => void
  readonly dispose: () => void
}

export interface TrialOptions {
  readonly kernel: Kernel
  readonly launch: ArtifactLaunch
  readonly inputs: readonly Uint8Array[]
  readonly artifact: Artifact
  readonly target: Target
  /** Launches of one sample. */
  readonly launches: number
}

/** Bytes that the sets of buffers are to fill together, and how many sets there are at most. */
const rotated = { bytes: 8 << 20, sets: 8 }
/** What is read only and larger than this is not copied. */
const copied = 8 << 20

export function createTrial(bed: Bed, options: TrialOptions): Trial {
  const { kernel, inputs, artifact, target, launches } = options
  const { device } = bed
  const { writes, own, sets } = createSets(bed, options)
  const reset = () => {
    for (const [i, data] of inputs.entries()) if (writes[i]) device.upload(sets[0]![i]!, 0, data)
  }
  const seen = new Set<string>()
  const kept = new Set<Variant>()
  const drop = (variant: Variant) => {
    if (kept.delete(variant)) device.release?.([variant.kernel])
  }
  let expected: readonly (Uint8Array | undefined)[] | undefined
  const order = artifact.symbols.map((s) => s.name)
  return {
    async prepare(loops) {
      // One name for all, so that equal code is equal text.
      const emitted = target.emit([{ ...loops, name: "trial" }], order)
      const text = `${emitted.kernels[0]!.source}${Buffer.from(emitted.module).toString("base64")}`
      const code = `${loops.threads} ${loops.groups} ${text}`
      if (seen.has(code)) return undefined
      seen.add(code)
      const [compiled] = await device.compile({ ...emitted, isTrial: true }, order.length)
      const command = (buffers: readonly DeviceBuffer[]) => ({ kernel: compiled!, buffers, groups: loops.groups })
      const sample = device.record(Array.from({ length: launches }, (_, i) => command(sets[i % sets.length]!)))
      const variant = { kernel: compiled!, sample, once: device.record([command(sets[0]!)]) }
      kept.add(variant)
      return variant
    },
    async check({ once }) {
      reset()
      device.submit([once], bed.symbols)
      const found: (Uint8Array | undefined)[] = []
      for (const [i, data] of inputs.entries())
        found.push(writes[i] ? await device.read(sets[0]![i]!, 0, data.length) : undefined)
      if (expected === undefined) {
        expected = found
        return undefined
      }
      for (const [i, data] of found.entries()) {
        const wrong =
          data && disagreement(kernel.buffers[i]!, elements(expected[i]!, kernel, i), elements(data, kernel, i))
        if (wrong !== undefined) return wrong
      }
      return undefined
    },
    async time({ sample }) {
      await bed.settle()
      const started = performance.now()
      device.submit([sample], bed.symbols)
      await bed.settle()
      return (1000 * (performance.now() - started)) / launches
    },
    drop,
    dispose() {
      for (const variant of [...kept]) drop(variant)
      for (const b of own) b.destroy()
    },
  }
}

/** The sets of buffers that launches take in turn; `own` are those of them that nobody else has. */
function createSets({ device, at }: Bed, { kernel, launch, inputs, artifact, launches }: TrialOptions) {
  const stored = written(kernel)
  const writes = kernel.buffers.map((b) => stored.has(b.name))
  const inPlace = (i: number) => !writes[i] && inputs[i]!.length > copied && isSteady(artifact, launch.buffers[i]!)
  const own: DeviceBuffer[] = []
  const makeSet = (): readonly DeviceBuffer[] =>
    inputs.map((data, i) => {
      if (inPlace(i)) return at(launch.buffers[i]!)
      const made = device.allocate(data.length, `trial ${i}`)
      device.upload(made, 0, data)
      own.push(made)
      return made
    })
  const bytes = inputs.reduce((n, data, i) => n + (inPlace(i) ? 0 : data.length), 0)
  const count = Math.max(1, Math.min(rotated.sets, launches, Math.ceil(rotated.bytes / Math.max(1, bytes))))
  return { writes, own, sets: Array.from({ length: count }, makeSet) }
}

/** Whether a buffer keeps what it holds while kernels are tried. */
const isSteady = ({ buffers }: Artifact, buffer: number): boolean =>
  buffers[buffer]!.role === "weight" || buffers[buffer]!.role === "constant"

/** The bytes without those that fill up the last unit. */
function elements(bytes: Uint8Array, kernel: Kernel, at: number): Uint8Array {
  const { storage, shape } = kernel.buffers[at]!
  const size = storage === "bf16" || storage === "f16" ? 2 : 4
  return bytes.subarray(0, size * shape.reduce((n, x) => n * x, 1))
}
