/**
 * A test bed: an artifact's memory on a device, full of random data, and its launches one by one.
 *
 * What a kernel reads in the middle of an entry is what the launches before it made, so that indices, offsets and permutations are real ones:
 * `inputsOf` runs these launches and copies the kernel's buffers.
 */
import type { Compilation } from "../../compiler/compile.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { storageBytes } from "../../compiler/ir/loop.js"
import type { ArtifactLaunch } from "../../runtime/artifact.js"
import type { CompiledKernel, Device, DeviceBuffer, Recording } from "../../runtime/devices/device.js"
import { checkFits } from "../../runtime/memory.js"
import { codeOf, fromBase64 } from "../../runtime/recordings.js"
import { createRandom, indexLimit, randomBytes } from "./data.js"
import { sizesOf } from "./sizes.js"

export interface Bed {
  readonly device: Device
  readonly kernels: readonly CompiledKernel[]
  readonly symbols: Int32Array
  /** Where a buffer of the artifact lies. */
  readonly at: (buffer: number) => DeviceBuffer
  readonly run: (launch: ArtifactLaunch) => void
  /** Microseconds of each launch by the device's own clock, when they have run so often; undefined where it has none. */
  readonly times: (launches: readonly ArtifactLaunch[], runs: number) => Promise<readonly number[] | undefined>
  /** Waits until everything has run. */
  readonly settle: () => Promise<void>
  /** The bytes of the buffers of an entry's launch when its turn comes. */
  readonly inputsOf: (entry: string, launch: number) => Promise<readonly Uint8Array[]>
  readonly dispose: () => void
}

/** Elements of random data that are made at once. */
const elementsAtOnce = 1 << 20

export async function createBed(compilation: Compilation, device: Device): Promise<Bed> {
  const { artifact } = compilation
  checkFits(artifact, device, undefined)
  const slots = artifact.slots.map((slot, i) => device.allocate(slot.bytes, `slot ${i}`))
  const at = (buffer: number) => slots[artifact.buffers[buffer]!.slot]!
  const fill = createFill(compilation, device, at)
  for (const c of artifact.constants) device.upload(at(c.buffer), 0, fromBase64(c.base64))
  fill(["weight"])
  const compiled = await device.compile(codeOf(artifact), artifact.symbols.length)
  const sizes = sizesOf(compilation)
  const symbols = Int32Array.from(artifact.symbols, ({ name }) => sizes.get(name) ?? 1)
  const probe = device.allocate(16, "probe")
  const commandOf = ({ kernel, buffers, groups }: ArtifactLaunch) => ({
    kernel: compiled[kernel]!,
    buffers: buffers.map(at),
    groups,
  })
  const recordings = new Map<ArtifactLaunch, Recording>()
  const run = (launch: ArtifactLaunch) => {
    const recording = recordings.get(launch) ?? device.record([commandOf(launch)])
    recordings.set(launch, recording)
    device.submit([recording], symbols)
  }
  const bed: Bed = {
    device,
    kernels: compiled,
    symbols,
    at,
    run,
    async times(launches, runs) {
      const times = await device.profile?.([device.record(launches.map(commandOf))], symbols, runs)
      return times?.commands
    },
    async settle() {
      await device.read(probe, 0, 4)
    },
    async inputsOf(entry, launch) {
      fill(["state", "input"])
      const { launches } = artifact.entries[entry]!
      for (const before of launches.slice(0, launch)) run(before)
      const read = []
      for (const b of launches[launch]!.buffers) read.push(await device.read(at(b), 0, artifact.buffers[b]!.bytes))
      return read
    },
    dispose() {
      for (const s of [...slots, probe]) s.destroy()
    },
  }
  fill(["state", "input"])
  return bed
}

/** Puts random data into the buffers of some roles. */
function createFill(compilation: Compilation, device: Device, at: (buffer: number) => DeviceBuffer) {
  const { buffers } = compilation.artifact
  const random = createRandom(0x5eed)
  const fillAt = (i: number) => {
    const { storage, shape } = buffers[i]!
    const readers = readersOf(i, compilation)
    const limit = storage === "i32" || storage === "u32" ? indexLimit(readers) : 2
    const count = shape.reduce((n, x) => n * x, 1)
    for (let from = 0; from < count; from += elementsAtOnce) {
      const bytes = randomBytes(storage, Math.min(elementsAtOnce, count - from), limit, random)
      device.upload(at(i), from * storageBytes(storage), bytes)
    }
  }
  return (roles: readonly string[]): void => {
    for (const [i, b] of buffers.entries()) if (roles.includes(b.role)) fillAt(i)
  }
}

/** The kernels that are launched with a buffer, and what they call it. */
function readersOf(buffer: number, { artifact, kernels }: Compilation): readonly (readonly [Kernel, string])[] {
  return Object.values(artifact.entries).flatMap(({ launches }) =>
    launches.flatMap((l) =>
      l.buffers.flatMap((b, i): readonly (readonly [Kernel, string])[] => {
        const { kernel } = kernels[l.kernel]!
        return b === buffer ? [[kernel, kernel.buffers[i]!.name]] : []
      }),
    ),
  )
}
