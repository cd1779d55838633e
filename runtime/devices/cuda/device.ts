/**
 * The CUDA device: NVIDIA's driver through koffi, in Node.
 *
 *   const device = await createCudaDevice()
 *   const x = device.allocate(1024, "x")                                  zeroed
 *   const [kernel] = await device.compile(artifact, 1)                    binaries made ahead, or the machine's compiler
 *   const step = device.record([{ kernel, buffers: [x], groups: 4 }])     one graph
 *   device.submit([step], Int32Array.of(256))                             one copy of the symbols, one launch of the graph
 *   const bytes = await device.read(x, 0, 1024)
 *
 * Everything is in one stream: uploads, clearing, symbols, graphs and the copies of reads come one after the other as they were asked for, and
 * the host waits for none of them but where it reads. Each device has a context of its own. A fault of a kernel ends the device: what waits is
 * rejected, every later call is refused, and its context goes by itself. The driver lets the fault be felt in every context of the process
 * (seen on an H200), so that devices beside it are lost, too, and none can be made before they are gone.
 */
import { type ArtifactKernel, mostAhead } from "../../artifact.js"
import { WeftError } from "../../errors.js"
import { hostText } from "../../host.js"
import type { Device, KernelCode } from "../device.js"
import { type LoadableModule, loadableModules } from "./compilers/modules.js"
import { type Context, openContext } from "./context.js"
import { type Driver, versionText } from "./driver.js"
import { type CudaFacts, factsOf } from "./facts.js"
import type { CudaKernel } from "./kernels.js"
import { createContext, createLife, type Life } from "./life.js"
import { profileRecordings } from "./profile.js"
import { loadDriver } from "./signatures.js"

export interface CudaDeviceOptions {
  /** Which of the machine's devices, from 0. */
  readonly ordinal?: number
  /** Microseconds that pass in front of each kernel: for tests of early starts. */
  readonly delay?: number
}

export interface CudaDevice extends Device {
  readonly kind: "cuda"
  readonly facts: CudaFacts
}

/** What gives the binaries of kernels, for an architecture such as sm_90a. */
export type LoadModules = (code: KernelCode, arch: string) => Promise<readonly LoadableModule[]>

/**
 * A device that looks at nothing that kernels touch, and runs an artifact's binaries as they are: for artifacts that are trusted as programs are.
 *
 * @throws WeftError `cuda/missing` where there is no driver or no koffi, `cuda/driver` with what the driver says, `device/option`,
 * `device/out-of-memory`
 */
export async function createCudaDevice(options: CudaDeviceOptions = {}): Promise<CudaDevice> {
  return openCudaDevice(await loadDriver(), loadableModules, options)
}

/** A device on a driver. */
export function openCudaDevice(driver: Driver, load: LoadModules, options: CudaDeviceOptions = {}): CudaDevice {
  const { ordinal = 0, delay } = checked(options)
  const count = driver.deviceCount()
  if (ordinal >= count)
    throw new WeftError("device/option", `ordinal is ${ordinal}; the machine has ${count} CUDA devices`)
  const number = driver.device(ordinal)
  const facts = factsOf(driver, number)
  const context = createContext(driver, number)
  try {
    const life = createLife(driver, context)
    const counters = { pipelines: 0, submits: 0, commands: 0, allocatedBytes: 0 }
    return deviceOf(openContext({ native: driver, context, facts, life, counters, delay }), {
      facts,
      life,
      counters,
      load,
    })
  } catch (error) {
    driver.destroyContext(context)
    throw error
  }
}

function checked(options: CudaDeviceOptions): CudaDeviceOptions {
  if (typeof options !== "object" || options === null)
    throw new WeftError("device/option", `the options of the device are ${hostText(options)}`)
  const { ordinal, delay } = options
  if (ordinal !== undefined && !(Number.isInteger(ordinal) && ordinal >= 0))
    throw new WeftError("device/option", `ordinal is ${hostText(ordinal)}; it is a whole number from 0`)
  if (delay !== undefined && !(typeof delay === "number" && delay >= 0 && delay <= 1e6))
    throw new WeftError("device/option", `delay is ${hostText(delay)}; it is a number of microseconds`)
  return options
}

/** Before anything is compiled. @throws WeftError `device/shared-memory` */
function checkShared({ name, sharedBytes = 0 }: ArtifactKernel, { name: gpu, sharedBytes: most }: CudaFacts): void {
  if (sharedBytes <= most) return
  throw new WeftError(
    "device/shared-memory",
    `kernel '${name}' needs ${sharedBytes} bytes of shared memory for a block; ${gpu} has ${most}`,
    { hint: "it is laid out for GPUs that have more: compile the model again with this version of Weft" },
  )
}

interface Around {
  readonly facts: CudaFacts
  readonly life: Life
  readonly counters: Device["counters"]
  readonly load: LoadModules
}

function deviceOf(context: Context, around: Around): CudaDevice {
  const { driver, memory } = context
  const { facts, life, counters } = around
  /** Of the context when it was asked last. */
  let free = driver.memory().free
  return {
    kind: "cuda",
    description: `${facts.name}, ${facts.arch}, driver ${versionText(facts.driver)}`,
    fallback: false,
    // A turn of the event loop may come late by as much as several steps of a small model take.
    ahead: mostAhead,
    limits: {
      bufferBytes: facts.memory,
      bindingBytes: facts.memory,
      /** What is free, and what this device holds. */
      get memoryBytes() {
        if (!life.over()) {
          life.alive()
          free = driver.memory().free
        }
        return free + counters.allocatedBytes
      },
    },
    unchecked: true,
    facts,
    counters,
    lost: life.lost,
    ...memoryCalls(context, life),
    ...kernelCalls(context, around),
    ...recordingCalls(context, around),
    dispose() {
      if (!life.dispose()) return
      memory.free()
      void context.close()
    },
  }
}

type MemoryCalls = Pick<Device, "allocate" | "upload" | "stage" | "clear" | "read">

const memoryCalls = (
  { driver, stream, memory, ring, reads, staging, addressOf }: Context,
  { alive }: Life,
): MemoryCalls => ({
  allocate(bytes, label) {
    alive()
    return memory.allocate(bytes, label)
  },
  upload: (to, offset, data) => ring.upload(addressOf(to, offset, data.length), data),
  async stage(regions) {
    alive()
    for (const { to, offset, bytes } of regions) addressOf(to, offset, bytes)
    return staging.stage(regions)
  },
  clear(buffer, bytes) {
    alive()
    const { pointer } = memory.inside(buffer, 0, bytes, "clear")
    if (bytes > 0) driver.zero(pointer, bytes, stream)
  },
  async read(from, offset, bytes) {
    alive()
    return reads.read(memory.inside(from, offset, bytes, "read").pointer + offset, bytes)
  },
})

const kernelCalls = (
  { driver, stream, kernels, compiled, graphs, checkSymbols }: Context,
  { facts, life, load }: Around,
): Pick<Device, "compile" | "release"> => ({
  async compile(code, symbols) {
    life.alive()
    checkSymbols(symbols)
    for (const kernel of code.kernels) checkShared(kernel, facts)
    const binaries = await load(code, facts.arch)
    life.alive()
    const made = kernels.load(code.kernels, binaries)
    for (const kernel of made) compiled.add(kernel)
    return made
  },
  release(given) {
    const own = given.filter((kernel): kernel is CudaKernel => compiled.has(kernel))
    if (life.over() || own.length === 0) return
    life.alive()
    driver.synchronize(stream)
    graphs.forget(own)
    for (const kernel of own) compiled.delete(kernel)
    kernels.unload(own)
  },
})

const recordingCalls = (
  { driver, stream, graphs, holding, checkSymbols, setSymbols }: Context,
  { life: { alive }, counters }: Around,
): Pick<Device, "record" | "join" | "submit" | "profile"> => ({
  record(commands) {
    alive()
    return graphs.record(commands)
  },
  join(recordings) {
    alive()
    graphs.check(recordings)
    return graphs.join(recordings)
  },
  submit(recordings, symbols) {
    alive()
    checkSymbols(symbols.length)
    graphs.check(recordings)
    setSymbols(symbols)
    graphs.run(recordings)
    counters.submits++
    for (const { commands } of recordings) counters.commands += commands
  },
  async profile(recordings, symbols, count) {
    alive()
    checkSymbols(symbols.length)
    graphs.check(recordings)
    setSymbols(symbols)
    return profileRecordings({ driver, stream, graphs, holding }, recordings, count)
  },
})
