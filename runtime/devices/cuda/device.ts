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
import type { ArtifactKernel } from "../../artifact.js"
import { WeftError } from "../../errors.js"
import { hostText } from "../../host.js"
import type { Device, KernelCode } from "../device.js"
import { loadCopy, loadDelay, mostWords } from "./built-in.js"
import { architectureOf, archOf, earlyFrom } from "./compilers/architectures.js"
import { type LoadableModule, loadableModules } from "./compilers/modules.js"
import { attributes, type Driver, type HostMemory, isSticky, type Launch, versionText } from "./driver.js"
import { createGraphs } from "./graphs.js"
import { type CudaKernel, createKernels } from "./kernels.js"
import { createMemory } from "./memory.js"
import { profileRecordings } from "./profile.js"
import { createReads } from "./reads.js"
import { createRing } from "./ring.js"
import { loadDriver } from "./signatures.js"
import { createStaging } from "./staging.js"
import { createWaiter } from "./waiter.js"

export interface CudaDeviceOptions {
  /** Which of the machine's devices, from 0. */
  readonly ordinal?: number
  /** Microseconds that pass in front of each kernel: for tests of early starts. */
  readonly delay?: number
}

/** What the hardware is like. */
export interface CudaFacts {
  readonly name: string
  /** What kernels are compiled for: sm_90a */
  readonly arch: string
  /** 13000 is 13.0. */
  readonly driver: number
  readonly multiprocessors: number
  readonly l2Bytes: number
  /** Shared memory that a block may have, and that its multiprocessor has. */
  readonly sharedBytes: number
  readonly sharedBytesOfMultiprocessor: number
  readonly registersOfMultiprocessor: number
  /** Bytes. */
  readonly memory: number
}

export interface CudaDevice extends Device {
  readonly kind: "cuda"
  readonly facts: CudaFacts
}

/** What gives the binaries of kernels, for an architecture such as sm_90a. */
export type LoadModules = (code: KernelCode, arch: string) => Promise<readonly LoadableModule[]>

/** Numbers that the array of symbols holds. */
const mostSymbols = 4096

/**
 * A device that looks at nothing that kernels touch, and runs an artifact's binaries as they are: for artifacts that are trusted as programs are.
 *
 * @throws WeftError `cuda/missing` where there is no driver or no koffi, `cuda/driver` with what the driver says, `device/option`,
 * `device/out-of-memory`
 */
export async function createCudaDevice(options: CudaDeviceOptions = {}): Promise<CudaDevice> {
  return openCudaDevice(await loadDriver(), loadableModules, options)
}

/**
 * What the machine's devices are like, in the order of their numbers.
 *
 * @throws WeftError `cuda/missing`, `cuda/driver`
 */
export async function cudaDevices(): Promise<readonly CudaFacts[]> {
  const driver = await loadDriver()
  return Array.from({ length: driver.deviceCount() }, (_, ordinal) => factsOf(driver, driver.device(ordinal)))
}

/** A device on a driver. */
export function openCudaDevice(driver: Driver, load: LoadModules, options: CudaDeviceOptions = {}): CudaDevice {
  const { ordinal = 0, delay } = checked(options)
  const count = driver.deviceCount()
  if (ordinal >= count)
    throw new WeftError("device/option", `ordinal is ${ordinal}; the machine has ${count} CUDA devices`)
  const number = driver.device(ordinal)
  const facts = factsOf(driver, number)
  const context = contextOf(driver, number)
  try {
    return openContext(driver, context, facts, load, delay)
  } catch (error) {
    driver.destroyContext(context)
    throw error
  }
}

/** What is left to a process after a fault: CUDA's manual has it end. */
const only = "CUDA works in this one no more, though other devices do"

/** After a fault the driver makes no context for this process, whatever is given back. */
function contextOf(driver: Driver, device: number): number {
  try {
    return driver.createContext(device)
  } catch (cause) {
    if (!isSticky(cause)) throw cause
    const reason = `CUDA makes no device for a process in which a kernel faulted (${(cause as WeftError).reason})`
    throw new WeftError("device/lost", reason, { hint: `start a new process: ${only}`, cause })
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

function factsOf(driver: Driver, device: number): CudaFacts {
  const of = (name: keyof typeof attributes) => driver.attribute(device, attributes[name])
  return {
    name: driver.deviceName(device),
    arch: archOf(of("major"), of("minor")),
    driver: driver.version(),
    multiprocessors: of("multiprocessors"),
    l2Bytes: of("l2Bytes"),
    sharedBytes: of("sharedBytesOfBlock"),
    sharedBytesOfMultiprocessor: of("sharedBytesOfMultiprocessor"),
    registersOfMultiprocessor: of("registersOfMultiprocessor"),
    memory: driver.totalMemory(device),
  }
}

/** Whether a device can be used, and the calls of a driver that find out that it cannot. */
function createLife(native: Driver, context: number) {
  let reason: string | undefined
  let disposed = false
  let resolve: (reason: string) => void = () => {}
  const lost = new Promise<string>((r) => {
    resolve = r
  })
  const endings: ((error: WeftError) => void)[] = []
  const refusal = () =>
    disposed
      ? new WeftError("device/lost", "this device has been disposed of")
      : new WeftError("device/lost", `the device was lost (${reason})`, {
          hint: `what it held is gone: start a new process, for ${only}`,
        })
  const end = (why: string) => {
    reason ??= why
    resolve(reason)
    for (const ending of endings) ending(refusal())
  }
  const failed = (error: unknown): unknown => {
    if (!isSticky(error)) return error
    end((error as WeftError).reason)
    return refusal()
  }
  const driver = heard(native, failed)
  return {
    lost,
    /** The same calls; what fails for good ends the device. */
    driver,
    /** Called with what is to be told to everyone who waits, when it ends. */
    atEnd: (ending: (error: WeftError) => void) => endings.push(ending),
    /** Makes the context the thread's current one. @throws WeftError `device/lost` */
    alive() {
      if (disposed || reason !== undefined) throw refusal()
      driver.useContext(context)
    },
    /** Makes a call that may fail where nothing is left. */
    giveBack(call: () => void) {
      try {
        native.useContext(context)
        call()
      } catch {
        // It went with the context.
      }
    },
    over: (): boolean => disposed || reason !== undefined,
    /** False when it was so before. */
    dispose(): boolean {
      const first = !disposed
      disposed = true
      if (first) end("this device has been disposed of")
      return first
    },
  }
}

function heard(driver: Driver, failed: (error: unknown) => unknown): Driver {
  const calls = Object.entries(driver).map(([name, call]: [string, (...given: never[]) => unknown]) => [
    name,
    (...given: never[]) => {
      try {
        const found = call(...given)
        return found instanceof Promise ? found.catch((error: unknown) => Promise.reject(failed(error))) : found
      } catch (error) {
        throw failed(error)
      }
    },
  ])
  return Object.fromEntries(calls) as Driver
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

/** A launch of one block. */
const single = (kernel: number, threads: number, early: boolean): Launch => ({
  kernel,
  groups: 1,
  threads,
  sharedBytes: 0,
  parameters: [],
  early,
})

function openContext(
  native: Driver,
  context: number,
  facts: CudaFacts,
  load: LoadModules,
  delay: number | undefined,
): CudaDevice {
  const life = createLife(native, context)
  const { driver, lost, alive, giveBack } = life
  const counters = { pipelines: 0, submits: 0, commands: 0, allocatedBytes: 0 }
  const freeHost = (memory: HostMemory) => giveBack(() => native.freeHost(memory))
  const stream = driver.createStream()
  const waiter = createWaiter(driver, stream, giveBack)
  life.atEnd(waiter.end)
  const memory = createMemory(driver, stream, counters, giveBack)
  const symbolArray = memory.allocate(4 * mostSymbols, "symbols")
  const ring = createRing(driver, stream, giveBack)
  const isEarly = architectureOf(facts.arch)!.capability >= earlyFrom
  const kernels = createKernels(driver, { early: isEarly, made: () => counters.pipelines++, giveBack })
  const copy = loadCopy(kernels)
  /** Words by a kernel, for which nothing has to stop. */
  const toHost = (to: number, from: number, bytes: number) => {
    if (copy === undefined || bytes > 4 * mostWords || from % 4 !== 0 || bytes % 4 !== 0)
      driver.toHost(to, from, bytes, stream)
    else driver.launch({ ...single(copy, mostWords, false), parameters: [to, from, bytes / 4] }, stream)
  }
  const reads = createReads(driver, toHost, waiter, freeHost)
  const compiled = new WeakSet<object>()
  const graphs = createGraphs({
    driver,
    stream,
    symbols: symbolArray.pointer,
    delay: delay === undefined ? undefined : single(loadDelay(kernels, delay, isEarly), 1, isEarly),
    giveBack,
    bufferOf: memory.own,
    kernelOf({ kernel }) {
      if (!compiled.has(kernel))
        throw new WeftError("device/record-kernel", `kernel '${kernel.name}' is not of this device`)
      return kernel as CudaKernel
    },
  })
  const addressOf = (...[to, offset, bytes]: [Parameters<Device["upload"]>[0], number, number]) => {
    alive()
    return memory.inside(to, offset, bytes, "upload").pointer + offset
  }
  const upload: Device["upload"] = (to, offset, data) => ring.upload(addressOf(to, offset, data.length), data)
  const staging = createStaging(driver, stream, waiter, { alive, upload, addressOf }, freeHost)
  const few = (symbols: number) => {
    if (symbols > mostSymbols)
      throw new WeftError("device/too-many-symbols", `${symbols} size symbols; a device holds ${mostSymbols}`)
  }
  const setSymbols = (symbols: Int32Array) => {
    if (symbols.length > 0)
      ring.upload(symbolArray.pointer, new Uint8Array(symbols.buffer, symbols.byteOffset, symbols.byteLength))
  }
  /** Of the context when it was asked last. */
  let free = driver.memory().free
  /** A thread may wait still, and somebody may fill memory still. */
  const close = async () => {
    staging.free()
    reads.free()
    await Promise.all([waiter.close(), staging.empty()])
    for (const part of [graphs, kernels, ring]) part.free()
    giveBack(() => native.destroyStream(stream))
    giveBack(() => native.destroyContext(context))
  }
  return {
    kind: "cuda",
    description: `${facts.name}, ${facts.arch}, driver ${versionText(facts.driver)}`,
    fallback: false,
    // A turn of the event loop may come late by as much as several steps of a small model take.
    ahead: 8,
    limits: {
      bufferBytes: facts.memory,
      bindingBytes: facts.memory,
      /** What is free, and what this device holds. */
      get memoryBytes() {
        if (!life.over()) {
          alive()
          free = driver.memory().free
        }
        return free + counters.allocatedBytes
      },
    },
    unchecked: true,
    facts,
    counters,
    lost,
    allocate(bytes, label) {
      alive()
      return memory.allocate(bytes, label)
    },
    upload,
    async stage(regions) {
      for (const { to, offset, bytes } of regions) addressOf(to, offset, bytes)
      return staging.stage(regions)
    },
    clear(buffer, bytes) {
      alive()
      const { pointer } = memory.inside(buffer, 0, bytes, "clear")
      if (bytes > 0) driver.zero(pointer, bytes, stream)
    },
    async compile(code, symbols) {
      alive()
      few(symbols)
      for (const kernel of code.kernels) checkShared(kernel, facts)
      const binaries = await load(code, facts.arch)
      alive()
      const made = kernels.load(code.kernels, binaries)
      for (const kernel of made) compiled.add(kernel)
      return made
    },
    release(given) {
      const own = given.filter((kernel): kernel is CudaKernel => compiled.has(kernel))
      if (life.over() || own.length === 0) return
      alive()
      driver.synchronize(stream)
      graphs.forget(own)
      for (const kernel of own) compiled.delete(kernel)
      kernels.unload(own)
    },
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
      few(symbols.length)
      graphs.check(recordings)
      setSymbols(symbols)
      graphs.run(recordings)
      counters.submits++
      for (const { commands } of recordings) counters.commands += commands
    },
    async profile(recordings, symbols, count) {
      alive()
      few(symbols.length)
      graphs.check(recordings)
      setSymbols(symbols)
      const holding = (microseconds: number) => single(loadDelay(kernels, microseconds, isEarly), 1, false)
      return profileRecordings({ driver, stream, graphs, holding }, recordings, count)
    },
    async read(from, offset, bytes) {
      alive()
      return reads.read(memory.inside(from, offset, bytes, "read").pointer + offset, bytes)
    },
    dispose() {
      if (!life.dispose()) return
      memory.free()
      void close()
    },
  }
}
