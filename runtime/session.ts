/**
 * A session: an artifact on a device. Memory is planned and checked, then allocated; weights are uploaded tensor by tensor; kernels are
 * compiled; every entry is recorded once. After that a step sets the symbols and submits recordings, nothing else.
 */
import { type Artifact, type ArtifactLaunch, extentAt, isProven } from "./artifact.js"
import type { Device, DeviceBuffer, RecordingTimes } from "./devices/device.js"
import { WeftError } from "./errors.js"
import { fromHost, functionOf, hostText } from "./host.js"
import { checkFits } from "./memory.js"
import { commandsOf, createPrepared, createTogether, fromBase64, type Prepared } from "./recordings.js"
import { createStates } from "./states.js"
import { checkMost, createVariants, isOfSeveral } from "./variants.js"
import { uploadWeights, type WeightSource } from "./weights/upload.js"

export interface SessionTimings {
  /** Milliseconds; of compiling those so far. */
  readonly upload: number
  readonly compile: number
}

export interface Session {
  readonly artifact: Artifact
  readonly device: Device
  readonly timings: SessionTimings
  /** The entries that run where these are asked for: of each that has variants the one for the fewest elements that holds what there is. */
  variantsOf(entries: readonly string[], symbols: Readonly<Record<string, number>>): readonly string[]
  /** Makes ready what runs where these are asked for: what a session that was made on demand has not compiled before. */
  prepare(entries: readonly string[], symbols: Readonly<Record<string, number>>): Promise<void>
  /** Whether a sequence may be gone on with from its first `count` tokens, which were read: states that keep their last rows only hold no others. */
  restorable(count: number): boolean
  /**
   * Puts every state at its first value, zero, but for the rows of the first `kept` tokens: what runs next begins a sequence, or goes on from there.
   *
   * @throws WeftError `session/kept` where it is not restorable from there
   */
  begin(kept?: number): void
  /** Runs entries, or their variants, one after the other with one submit; where the same ones come again and again, as one recording. `symbols` by name. */
  run(entries: readonly string[], symbols: Readonly<Record<string, number>>): void
  /** Times every launch of entries, or of their variants, which run `runs` times over; undefined where the device has no clock that is fine enough. */
  profile(
    entries: readonly string[],
    symbols: Readonly<Record<string, number>>,
    runs: number,
  ): Promise<RecordingTimes> | undefined
  /** Runs an entry itself, and reads what launches bind as soon as they have run: what passes from kernel to kernel. Made once, asked many times. */
  watch(
    entry: string,
    points: readonly WatchPoint[],
  ): (symbols: Readonly<Record<string, number>>) => Promise<readonly Uint8Array[]>
  /** Writes an input or a state from its start. */
  write(buffer: string, data: Uint8Array): void
  /** Waits for what was run and reads from the start of a buffer. */
  read(buffer: string, bytes: number): Promise<Uint8Array>
  dispose(): void
}

/** What the launch with this number binds in this place; points are in the order of their launches. */
export interface WatchPoint {
  readonly launch: number
  readonly binding: number
}

export interface SessionOptions {
  /** Most bytes of device memory to take. */
  readonly memory?: number | undefined
  /** Bytes of weights on the device so far, and in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** How a session is made. */
export interface SessionMode {
  /** Whether entries of which there are several variants are compiled when `prepare` is first asked for them, and not at once. */
  readonly onDemand?: true
}

/**
 * What a host gives for the options of a load: an object with a device, whose memory limit is a number.
 *
 * @throws WeftError `session/option`
 */
export function checkedOptions<T extends SessionOptions & { readonly device: Device }>(given: T): T {
  return fromHost("session/option", "the options cannot be read", () => {
    const refuse = (what: string): never => {
      throw new WeftError("session/option", what, { hint: "load(artifact, { device: await createWasmDevice(), … })" })
    }
    if (typeof given !== "object" || given === null) return refuse(`the options are ${hostText(given)}`)
    const { device, memory, onProgress } = given
    if (typeof device !== "object" || device === null || typeof device.allocate !== "function")
      return refuse(`the device is ${hostText(device)}`)
    if (memory !== undefined && !(typeof memory === "number" && memory >= 0))
      return refuse(`memory is ${hostText(memory)}; it is a number of bytes`)
    functionOf(onProgress, "session/option", "onProgress")
    return given
  })
}

/** @throws WeftError `session/target`, `session/unproven`, `session/binding`, `session/memory` before anything is allocated, and what the device throws */
export async function createSession(
  artifact: Artifact,
  device: Device,
  source: WeightSource,
  options: SessionOptions & SessionMode = {},
): Promise<Session> {
  if (artifact.target !== device.kind)
    throw new WeftError("session/target", `the artifact is for ${artifact.target}, but the device is ${device.kind}`, {
      hint: "compile it for this device",
    })
  if (device.unchecked === true && !isProven(artifact))
    throw new WeftError(
      "session/unproven",
      `not every access of ${unproven(artifact)} is proven to lie in its buffer`,
      {
        hint:
          device.kind === "cuda"
            ? "CUDA looks at no access; use the webgpu device, which does"
            : "open the device without the option 'unchecked'",
      },
    )
  for (const b of artifact.buffers)
    if (b.bytes > device.limits.bindingBytes)
      throw new WeftError(
        "session/binding",
        `buffer '${b.name}' takes ${b.bytes} bytes, but the device binds at most ${device.limits.bindingBytes}`,
        {
          hint: "use a device with larger bindings",
        },
      )
  checkFits(artifact, device, options.memory)
  const started = performance.now()
  const slots: DeviceBuffer[] = []
  try {
    for (const [i, slot] of artifact.slots.entries()) slots.push(device.allocate(slot.bytes, `slot ${i}`))
    await device.settle?.(slots)
    const at = (buffer: number) => slots[artifact.buffers[buffer]!.slot]!
    for (const c of artifact.constants) device.upload(at(c.buffer), 0, fromBase64(c.base64))
    const onProgress = (done: number, total: number) =>
      fromHost("session/option", "onProgress failed", () => options.onProgress?.(done, total))
    await uploadWeights(artifact, device, at, source, onProgress)
    const upload = performance.now() - started
    const life = { isOpen: true }
    const prepared = createPrepared(artifact, device, at, () => refuseDisposed(life))
    await prepared.make(
      Object.keys(artifact.entries).filter((e) => options.onDemand !== true || !isOfSeveral(artifact, e)),
    )
    await device.settle?.(slots)
    return open({ artifact, device, slots, at, prepared, upload, life })
  } catch (e) {
    for (const s of slots) s.destroy()
    throw e
  }
}

/** The first kernel of which the artifact does not say that it is proven. */
const unproven = ({ kernels }: Artifact): string => `kernel '${kernels.find((k) => k.proven !== true)!.name}'`

/** What a session is made of. */
interface Parts {
  readonly artifact: Artifact
  readonly device: Device
  readonly slots: readonly DeviceBuffer[]
  readonly at: (buffer: number) => DeviceBuffer
  readonly prepared: Prepared
  /** Milliseconds. */
  readonly upload: number
  readonly life: { isOpen: boolean }
}

/** @throws WeftError `session/disposed` */
function refuseDisposed({ isOpen }: Parts["life"]): void {
  if (!isOpen) throw new WeftError("session/disposed", "the session is disposed")
}

function open(parts: Parts): Session {
  const { artifact, device, slots, prepared, upload, life } = parts
  const numbers = new Map(artifact.buffers.map((b, i) => [b.name, i] as const))
  const buffer = (name: string): DeviceBuffer => {
    const number = numbers.get(name)
    if (number === undefined) throw new WeftError("session/buffer", `the artifact has no buffer '${name}'`)
    return slots[artifact.buffers[number]!.slot]!
  }
  const values = new Int32Array(artifact.symbols.length)
  const states = createStates(artifact, device, slots)
  const variantOf = createVariants(artifact)
  const variantsOf: Session["variantsOf"] = (entries, symbols) =>
    entries.map((entry) => variantOf(entry, (symbol) => symbols[symbol] ?? 0))
  /** Sets the values of the symbols, and checks that the entries can run with them. */
  const ready = (entries: readonly string[], symbols: Readonly<Record<string, number>>): void => {
    refuseDisposed(life)
    for (const [i, s] of artifact.symbols.entries()) {
      const value = symbols[s.name] ?? 0
      if (!Number.isInteger(value) || value < 0 || value > s.max)
        throw new WeftError("session/symbol", `'${s.name}' is ${value}, which is not in 0 … ${s.max}`)
      values[i] = value
    }
    const value = (symbol: string) => symbols[symbol] ?? 0
    for (const e of entries) {
      checkMost(artifact, e, value)
      checkNeeds(artifact, e, value)
    }
    states.ran(symbols)
  }
  const together = createTogether(device, prepared.recordings)
  return {
    artifact,
    device,
    get timings() {
      return { upload, compile: prepared.milliseconds() }
    },
    variantsOf,
    async prepare(entries, symbols) {
      refuseDisposed(life)
      await prepared.make(variantsOf(entries, symbols))
    },
    restorable: states.restorable,
    begin(kept = 0) {
      refuseDisposed(life)
      if (kept > 0 && !states.restorable(kept))
        throw new WeftError("session/kept", `the states do not hold what comes after the first ${kept} tokens`, {
          hint: "begin anew where restorable(count) is false",
        })
      states.clear(kept)
    },
    run(entries, symbols) {
      const chosen = variantsOf(entries, symbols)
      ready(chosen, symbols)
      device.submit(together.next(chosen), values)
    },
    profile(entries, symbols, runs) {
      const chosen = variantsOf(entries, symbols)
      ready(chosen, symbols)
      return device.profile?.(together.joined(chosen), values, runs)
    },
    watch(entry, points) {
      const watching = watch(parts, artifact.entries[entry]?.launches ?? [], points)
      return async (symbols) => {
        ready([entry], symbols)
        return watching(values)
      }
    },
    write(name, data) {
      states.wrote(name)
      device.upload(buffer(name), 0, data)
    },
    read: (name, bytes) => device.read(buffer(name), 0, bytes),
    dispose() {
      if (!life.isOpen) return
      life.isOpen = false
      for (const s of slots) s.destroy()
    },
  }
}

/** Runs launches in pieces that end with those that are looked at, and reads what these bind. */
function watch(
  { artifact, device, prepared: { kernels }, at }: Parts,
  launches: readonly ArtifactLaunch[],
  points: readonly WatchPoint[],
) {
  const ends = [...points.map((p) => p.launch + 1), launches.length]
  const pieces = ends.map((end, i) =>
    device.record(commandsOf(launches.slice(i === 0 ? 0 : ends[i - 1], end), kernels, at)),
  )
  return async (values: Int32Array): Promise<readonly Uint8Array[]> => {
    const found: Uint8Array[] = []
    for (const [i, { launch, binding }] of points.entries()) {
      device.submit([pieces[i]!], values)
      const buffer = launches[launch]!.buffers[binding]!
      found.push(await device.read(at(buffer), 0, artifact.buffers[buffer]!.bytes))
    }
    device.submit([pieces.at(-1)!], values)
    return found
  }
}

/** @throws WeftError `program/size` when an entry takes more elements than its sizes give */
function checkNeeds({ entries }: Artifact, entry: string, value: (symbol: string) => number): void {
  for (const { extent, least, text } of entries[entry]?.needs ?? []) {
    const count = extentAt(extent, value)
    if (count < least)
      throw new WeftError("program/size", `${text}: there ${count === 1 ? "is 1 element" : `are ${count} elements`}`, {
        hint: "give larger arrays, or ask for fewer",
      })
  }
}
