/**
 * The WebAssembly device: kernels are functions over one linear memory, run by the calling thread and, where possible, by workers.
 *
 *   const device = await createWasmDevice({ threads: 4 })
 *   const [kernel] = await device.compile({ kernels, module }, symbols)
 *   device.submit([device.record([{ kernel, buffers, groups }])], new Int32Array([length]))
 *
 * `submit` returns when everything has run. The first 64 KiB of memory are never used: kernels count on it for immediate offsets.
 *
 * In a page the main thread may not wait for workers, so that a device made there has one thread. To use more, make the device inside of a
 * worker of the page (which must be cross-origin isolated, for shared memory) and talk to that.
 */
import { WeftError } from "../../errors.js"
import { hostText } from "../../host.js"
import { fillAside } from "../aside.js"
import type {
  Command,
  CompiledKernel,
  Device,
  DeviceBuffer,
  DeviceLimits,
  Filling,
  KernelCode,
  Recording,
  Region,
} from "../device.js"
import { Heap, pageBytes } from "./memory.js"
import { compileModule, hasMultiplyAdd, type KernelFunction, withMultiplyAdd, withSharedMemory } from "./module.js"
import type { Spawn } from "./spawn.js"
import { createTeam, type Team } from "./team.js"

export interface WasmDeviceOptions {
  /** Threads, the calling one included; as many as there are processors when left out. */
  readonly threads?: number
  /** Most bytes of memory; 4 GiB when left out. */
  readonly memoryBytes?: number
  /** Commands over fewer bytes of buffers than this stay on the calling thread. */
  readonly shareFrom?: number
  /** Starts a worker from its source text; Node's and the page's own workers are used when left out. */
  readonly spawn?: Spawn
}

interface WasmBuffer extends DeviceBuffer {
  readonly at: number
  readonly alive: () => boolean
}
interface WasmKernel extends CompiledKernel {
  readonly index: number
  readonly bindings: number
  readonly run: KernelFunction
}
interface Prepared {
  readonly kernel: WasmKernel
  readonly pointers: readonly number[]
  readonly groups: number
  /** Whether workers take part. */
  readonly share: boolean
}
interface WasmRecording extends Recording {
  readonly prepared: readonly Prepared[]
}

const noModule = new Uint8Array(0)
const addressable = 65536 * pageBytes

/**
 * @throws WeftError `device/option`, `device/out-of-memory` when no memory is to be had, `wasm/worker-failed`
 */
export async function createWasmDevice(options: WasmDeviceOptions = {}): Promise<Device> {
  checkOptions(options)
  const allowed = Math.floor(Math.min(options.memoryBytes ?? addressable, addressable) / pageBytes)
  const wanted = Math.max(1, Math.floor(options.threads ?? (await processors())))
  const threaded = wanted > 1 && maySpawn()
  const { memory, maximumBytes } = reserve(allowed, threaded)
  let device: WasmDevice | undefined
  const team = threaded
    ? await createTeam(wanted - 1, memory, options.spawn, (reason) => device?.end(reason))
    : undefined
  device = new WasmDevice(memory, maximumBytes, team, options.shareFrom ?? 65536)
  return device
}

function checkOptions(options: WasmDeviceOptions): void {
  if (typeof options !== "object" || options === null)
    throw new WeftError("device/option", `the options of the device are ${hostText(options)}`)
  const { threads, memoryBytes, shareFrom } = options
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    throw new WeftError("device/option", `threads is ${hostText(threads)}; it is a whole number from 1 to 256`)
  for (const [name, value] of Object.entries({ memoryBytes, shareFrom }))
    if (value !== undefined && !(typeof value === "number" && value >= 0))
      throw new WeftError("device/option", `${name} is ${hostText(value)}; it is a number of bytes`)
}

/** Engines set aside address space for all that a memory may become, and some grant less than 4 GiB. */
function reserve(pages: number, shared: boolean): { memory: WebAssembly.Memory; maximumBytes: number } {
  for (let maximum = pages; ; maximum = Math.floor(maximum / 2)) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 1, maximum, shared }), maximumBytes: maximum * pageBytes }
    } catch (cause) {
      if (maximum > 1024) continue
      throw new WeftError(
        "device/out-of-memory",
        `a WebAssembly memory of at most ${maximum * pageBytes} bytes is refused`,
        {
          cause,
        },
      )
    }
  }
}

/** How many threads can run at the same time. */
async function processors(): Promise<number> {
  if (globalThis.navigator?.hardwareConcurrency !== undefined) return navigator.hardwareConcurrency
  const name = "node:os" // Not a literal in the import: bundlers for pages would look for it.
  const { availableParallelism } = (await import(name)) as typeof import("node:os")
  return availableParallelism()
}

/** Shared memory must exist, and this thread must be allowed to wait. */
function maySpawn(): boolean {
  const mainThreadOfPage = typeof document !== "undefined"
  return typeof SharedArrayBuffer !== "undefined" && !mainThreadOfPage
}

class WasmDevice implements Device {
  readonly kind = "wasm"
  readonly fallback = false
  readonly ahead = 1
  readonly description: string
  readonly limits: Required<DeviceLimits>
  readonly counters = { pipelines: 0, submits: 0, commands: 0, allocatedBytes: 0 }
  readonly lost: Promise<string>
  private readonly heap: Heap
  private readonly team: Team | undefined
  private readonly shareFrom: number
  private lose: (reason: string) => void = () => {}
  private reason: string | undefined
  private disposed = false
  private symbols = { at: 0, count: 0 }
  private scratch = { at: 0, bytes: 0 }

  constructor(memory: WebAssembly.Memory, maximumBytes: number, team: Team | undefined, shareFrom: number) {
    this.heap = new Heap(memory, pageBytes, maximumBytes)
    this.team = team
    this.shareFrom = shareFrom
    const memoryBytes = maximumBytes - pageBytes
    this.limits = { bufferBytes: memoryBytes, bindingBytes: memoryBytes, memoryBytes }
    this.description = `WebAssembly, ${this.workers} ${this.workers === 1 ? "thread" : "threads"}`
    this.lost = new Promise((resolve) => {
      this.lose = resolve
    })
  }

  private get workers(): number {
    return 1 + (this.team?.size ?? 0)
  }

  allocate(bytes: number, label: string): DeviceBuffer {
    this.check()
    const at = this.heap.allocate(bytes, label)
    this.counters.allocatedBytes += bytes
    let alive = true
    const destroy = () => {
      if (!alive) return
      alive = false
      this.heap.free(at)
      if (!this.disposed) this.counters.allocatedBytes -= bytes
    }
    const buffer: WasmBuffer = { bytes, at, alive: () => alive, destroy }
    return buffer
  }

  upload(to: DeviceBuffer, offset: number, data: Uint8Array): void {
    this.bytes(to, offset, data.byteLength).set(data)
  }

  /** The memory itself; where it is not shared it moves when it grows, so that what is read meanwhile is read aside. */
  async stage(regions: readonly Region[]): Promise<Filling> {
    const parts = regions.map((r) => this.bytes(r.to, r.offset, r.bytes))
    const { buffer } = this.heap.memory
    if (typeof SharedArrayBuffer === "undefined" || !(buffer instanceof SharedArrayBuffer))
      return fillAside(this, regions)
    return { parts, finish: () => {}, abandon: () => {} }
  }

  clear(buffer: DeviceBuffer, bytes: number): void {
    this.bytes(buffer, 0, bytes).fill(0)
  }

  async compile({ kernels, module = noModule }: KernelCode, symbols: number): Promise<readonly CompiledKernel[]> {
    this.check()
    const { memory } = this.heap
    const fused = hasMultiplyAdd() ? withMultiplyAdd(module) : module
    const compiled = await compileModule(this.team === undefined ? fused : withSharedMemory(fused))
    const { exports } = await WebAssembly.instantiate(compiled, { env: { memory } })
    const run = kernels.map(({ name }) => {
      const run = exports[name]
      if (typeof run !== "function")
        throw new WeftError("wasm/bad-module", `the artifact's WebAssembly module has no kernel '${name}'`)
      return run as KernelFunction
    })
    const names = kernels.map((k) => k.name)
    const loaded = this.team?.load(compiled, names).catch((error: unknown) => {
      if (this.disposed) this.check()
      throw error
    })
    const first = (await loaded) ?? 0
    this.check()
    this.counters.pipelines += kernels.length
    this.reserve(symbols, Math.max(0, ...kernels.map((k) => k.scratch)))
    return kernels.map(({ name, bindings }, i) => ({
      name,
      index: first + i,
      bindings: bindings.length,
      run: run[i]!,
    }))
  }

  /** Symbols and scratch are common to all modules: they only grow. */
  private reserve(symbols: number, scratch: number): void {
    if (symbols > this.symbols.count || this.symbols.at === 0) {
      this.heap.free(this.symbols.at)
      this.symbols = { at: this.heap.allocate(4 * symbols, "symbols"), count: symbols }
    }
    const bytes = Math.ceil(scratch / 64) * 64
    if (bytes > this.scratch.bytes) {
      this.heap.free(this.scratch.at)
      this.scratch = { at: this.heap.allocate(bytes * this.workers, "scratch"), bytes }
    }
  }

  record(commands: readonly Command[]): Recording {
    this.check()
    const prepared = commands.map(({ kernel, buffers, groups }): Prepared => {
      const { name, bindings } = kernel as WasmKernel
      if (buffers.length !== bindings)
        throw new WeftError(
          "device/record-bindings",
          `kernel '${name}' binds ${bindings} buffers, not ${buffers.length}`,
        )
      if (!Number.isInteger(groups) || groups < 1)
        throw new WeftError("device/record-groups", `kernel '${name}' cannot be launched with ${groups} workgroups`)
      const bytes = buffers.reduce((sum, b) => sum + b.bytes, 0)
      const share = this.team !== undefined && groups > 1 && bytes >= this.shareFrom
      return { kernel: kernel as WasmKernel, pointers: buffers.map((b) => (b as WasmBuffer).at), groups, share }
    })
    const recording: WasmRecording = { commands: commands.length, prepared }
    return recording
  }

  submit(recordings: readonly Recording[], symbols: Int32Array): void {
    this.check()
    if (symbols.length > this.symbols.count)
      throw new WeftError(
        "device/too-many-symbols",
        `${symbols.length} size symbols; the kernels know ${this.symbols.count}`,
      )
    new Int32Array(this.heap.memory.buffer, this.symbols.at, symbols.length).set(symbols)
    this.counters.submits++
    for (const recording of recordings) for (const command of (recording as WasmRecording).prepared) this.run(command)
  }

  private run({ kernel, pointers, groups, share }: Prepared): void {
    this.counters.commands++
    try {
      if (share)
        this.team!.run(kernel.index, kernel.run, groups, this.symbols.at, this.scratch.at, this.scratch.bytes, pointers)
      else kernel.run(this.symbols.at, this.scratch.at, 0, 1, ...pointers)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const error = new WeftError("device/kernel-failed", `kernel '${kernel.name}' stopped: ${reason}`, { cause })
      this.end(error.message)
      throw error
    }
  }

  async read(from: DeviceBuffer, offset: number, bytes: number): Promise<Uint8Array> {
    return this.bytes(from, offset, bytes).slice()
  }

  dispose(): void {
    this.disposed = true
    this.counters.allocatedBytes = 0
    this.end("the device was disposed of")
  }

  /** Nothing runs on it any more. */
  end(reason: string): void {
    if (this.reason !== undefined) return
    this.reason = reason
    this.team?.dispose()
    this.lose(reason)
  }

  private check(): void {
    if (this.disposed) throw new WeftError("device/lost", "this device has been disposed of")
    if (this.reason !== undefined) throw new WeftError("device/lost", `the device was lost (${this.reason})`)
  }

  private bytes(buffer: DeviceBuffer, offset: number, length: number): Uint8Array {
    this.check()
    const { at, bytes, alive } = buffer as WasmBuffer
    if (!alive()) throw new WeftError("device/buffer-destroyed", "the buffer was destroyed")
    if (offset < 0 || length < 0 || offset + length > bytes)
      throw new WeftError(
        "device/out-of-range",
        `bytes ${offset} to ${offset + length} are not within a buffer of ${bytes} bytes`,
      )
    return new Uint8Array(this.heap.memory.buffer, at + offset, length)
  }
}
