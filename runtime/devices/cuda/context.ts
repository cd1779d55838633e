/**
 * What a device has in its context: one stream, memory, kernels and recordings, and the ways between host and device.
 *
 *     upload │ symbols │ graph │ copy to the host │ …      all in the stream
 */
import { WeftError } from "../../errors.js"
import type { Device } from "../device.js"
import { loadCopy, loadDelay, mostWords } from "./built-in.js"
import { architectureOf, earlyFrom } from "./compilers/architectures.js"
import type { Driver, HostMemory, Launch } from "./driver.js"
import type { CudaFacts } from "./facts.js"
import { createGraphs, type Graphs } from "./graphs.js"
import { type CudaKernel, createKernels, type Kernels } from "./kernels.js"
import type { Life } from "./life.js"
import { createMemory, type Memory } from "./memory.js"
import { createReads, type Reads } from "./reads.js"
import { createRing, type Ring } from "./ring.js"
import { createStaging, type Staging } from "./staging.js"
import { createWaiter } from "./waiter.js"

/** Numbers that the array of symbols holds. */
const mostSymbols = 4096

export interface Context {
  /** What ends the device when a call of it fails for good. */
  readonly driver: Driver
  readonly stream: number
  readonly memory: Memory
  readonly ring: Ring
  readonly reads: Reads
  readonly staging: Staging
  readonly kernels: Kernels
  /** Kernels that the device has made and not given back. */
  readonly compiled: WeakSet<object>
  readonly graphs: Graphs
  /** Where bytes of a buffer lie. @throws WeftError `device/lost`, `device/out-of-range`, `device/buffer-destroyed` */
  addressOf(...region: [to: Parameters<Device["upload"]>[0], offset: number, bytes: number]): number
  /** @throws WeftError `device/too-many-symbols` */
  checkSymbols(count: number): void
  setSymbols(symbols: Int32Array): void
  /** A launch that takes so long and does nothing. */
  holding(microseconds: number): Launch
  /** Gives everything back, when no thread waits and nobody fills memory any more. */
  close(): Promise<void>
}

export interface ContextParts {
  readonly native: Driver
  readonly context: number
  readonly facts: CudaFacts
  readonly life: Life
  readonly counters: Device["counters"]
  /** Microseconds in front of each kernel. */
  readonly delay: number | undefined
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

export function openContext({ native, context, facts, life, counters, delay }: ContextParts): Context {
  const { driver, alive, giveBack } = life
  const stream = driver.createStream()
  const waiter = createWaiter(driver, stream, giveBack)
  life.atEnd(waiter.end)
  const memory = createMemory(driver, stream, counters, giveBack)
  const symbolArray = memory.allocate(4 * mostSymbols, "symbols")
  const ring = createRing(driver, stream, giveBack)
  const isEarly = architectureOf(facts.arch)!.capability >= earlyFrom
  const kernels = createKernels(driver, { early: isEarly, made: () => counters.pipelines++, giveBack })
  const compiled = new WeakSet<object>()
  const graphs = createGraphs({
    driver,
    stream,
    symbols: symbolArray.pointer,
    delay: delay === undefined ? undefined : single(loadDelay(kernels, delay, isEarly), 1, isEarly),
    giveBack,
    bufferOf: memory.own,
    kernelOf({ kernel }) {
      if (compiled.has(kernel)) return kernel as CudaKernel
      throw new WeftError("device/record-kernel", `kernel '${kernel.name}' is not of this device`)
    },
  })
  const freeHost = (host: HostMemory) => giveBack(() => native.freeHost(host))
  const reads = createReads(driver, copyToHost(driver, stream, loadCopy(kernels)), waiter, freeHost)
  const addressOf: Context["addressOf"] = (to, offset, bytes) => {
    alive()
    return memory.inside(to, offset, bytes, "upload").pointer + offset
  }
  const upload: Device["upload"] = (to, offset, data) => ring.upload(addressOf(to, offset, data.length), data)
  const staging = createStaging(driver, stream, waiter, { alive, upload, addressOf }, freeHost)
  const parts = { driver, stream, memory, ring, reads, staging, kernels, compiled, graphs }
  return {
    ...parts,
    addressOf,
    ...symbolCalls(ring, symbolArray.pointer),
    holding: (microseconds) => single(loadDelay(kernels, microseconds, isEarly), 1, false),
    async close() {
      staging.free()
      reads.free()
      await Promise.all([waiter.close(), staging.empty()])
      for (const part of [graphs, kernels, ring]) part.free()
      giveBack(() => native.destroyStream(stream))
      giveBack(() => native.destroyContext(context))
    },
  }
}

const symbolCalls = (ring: Ring, to: number): Pick<Context, "checkSymbols" | "setSymbols"> => ({
  checkSymbols(count) {
    if (count > mostSymbols)
      throw new WeftError("device/too-many-symbols", `${count} size symbols; a device holds ${mostSymbols}`)
  },
  setSymbols(symbols) {
    if (symbols.length > 0) ring.upload(to, new Uint8Array(symbols.buffer, symbols.byteOffset, symbols.byteLength))
  },
})

/** Copies in the stream's order: few words by a kernel, for which nothing has to stop, where there is one. */
const copyToHost =
  (driver: Driver, stream: number, copy: number | undefined) => (to: number, from: number, bytes: number) => {
    if (copy === undefined || bytes > 4 * mostWords || from % 4 !== 0 || bytes % 4 !== 0)
      driver.toHost(to, from, bytes, stream)
    else driver.launch({ ...single(copy, mostWords, false), parameters: [to, from, bytes / 4] }, stream)
  }
