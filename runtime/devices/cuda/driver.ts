/**
 * What the device asks of NVIDIA's driver, and how the driver fails. Handles and pointers are numbers: addresses below 2^53.
 *
 *     driver.allocate(2 ** 50)   →   WeftError cuda/driver: cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (2), out of memory
 *
 * What works on a context works on the calling thread's current one. `signatures.ts` is the driver itself.
 */
import { WeftError } from "../../errors.js"

/** Memory of the process that the device reads and writes itself. */
export interface HostMemory {
  readonly pointer: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

export interface Launch {
  readonly kernel: number
  readonly groups: number
  readonly threads: number
  readonly sharedBytes: number
  /** Each is a parameter of 8 bytes, or how the copy engine is told of a matrix. */
  readonly parameters: readonly (number | Uint8Array)[]
  /** It may start when the blocks of the launch before it allow that, and waits for its end itself. */
  readonly early: boolean
}

/** A matrix in memory of which kernels copy boxes: numbers of elements. */
export interface Matrix {
  readonly pointer: number
  readonly storage: "f32" | "i32" | "u32" | "bf16" | "f16"
  readonly rows: number
  readonly columns: number
  readonly stride: number
  readonly box: readonly [height: number, width: number]
}

export interface Driver {
  /** 13000 is 13.0. */
  version(): number
  deviceCount(): number
  /** The device with a number. */
  device(ordinal: number): number
  deviceName(device: number): string
  attribute(device: number, attribute: DeviceAttribute): number
  totalMemory(device: number): number
  createContext(device: number): number
  useContext(context: number): void
  destroyContext(context: number): void
  memory(): { readonly free: number; readonly total: number }
  allocate(bytes: number): number
  free(pointer: number): void
  allocateHost(bytes: number): HostMemory
  freeHost(memory: HostMemory): void
  createStream(): number
  destroyStream(stream: number): void
  synchronize(stream: number): void
  zero(pointer: number, bytes: number, stream: number): void
  toDevice(to: number, from: number, bytes: number, stream: number): void
  toHost(to: number, from: number, bytes: number, stream: number): void
  createEvent(): number
  destroyEvent(event: number): void
  record(event: number, stream: number): void
  /** An event that keeps the device's time. */
  createClock(): number
  /** Records a clock in what is captured. */
  mark(clock: number, stream: number): void
  /** Milliseconds between two clocks that are done. */
  elapsed(from: number, to: number): number
  isDone(event: number): boolean
  wait(event: number): void
  /** Waits on another thread. */
  whenDone(event: number): Promise<void>
  loadModule(image: Uint8Array): number
  unloadModule(module: number): void
  kernel(module: number, symbol: string): number
  /** Lets a kernel have so many bytes of dynamic shared memory. */
  allowShared(kernel: number, bytes: number): void
  /** How the copy engine is told of a matrix: 128 bytes. */
  describe(matrix: Matrix): Uint8Array
  beginCapture(stream: number): void
  launch(launch: Launch, stream: number): void
  endCapture(stream: number): number
  instantiate(graph: number): number
  destroyGraph(graph: number): void
  /** Brings what is instantiated to the device, so that its first launch takes no longer. */
  uploadGraph(executable: number, stream: number): void
  launchGraph(executable: number, stream: number): void
  destroyExecutable(executable: number): void
}

/** A version of CUDA as people write it: 13010 is 13.1. */
export const versionText = (version: number): string =>
  `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`

/** CUdevice_attribute */
export const attributes = {
  multiprocessors: 16,
  l2Bytes: 38,
  major: 75,
  minor: 76,
  sharedBytesOfMultiprocessor: 81,
  registersOfMultiprocessor: 82,
  sharedBytesOfBlock: 97,
} as const
export type DeviceAttribute = (typeof attributes)[keyof typeof attributes]

export const outOfMemory = 2

/** CUresult after which a context computes nothing any more. */
const sticky = new Set([
  4, // deinitialized
  214, // uncorrectable ECC error
  220, // uncorrectable NVLink error
  226, // contained error
  700, // illegal address
  702, // launch timeout
  709, // context is destroyed
  710, // assertion
  714, // hardware stack error
  715, // illegal instruction
  716, // misaligned address
  717, // invalid address space
  718, // invalid program counter
  719, // launch failed
  721, // tensor memory leak
  911, // another device
  999, // unknown
])

export function driverError(call: string, result: number, name: string, text: string): WeftError {
  return new WeftError("cuda/driver", `${call}: ${name} (${result}), ${text}`, { cause: { result } })
}

/** The CUresult of an error that `driverError` made. */
export function resultOf(error: unknown): number | undefined {
  if (!(error instanceof WeftError) || error.code !== "cuda/driver") return undefined
  return (error.cause as { readonly result: number } | undefined)?.result
}

export const isSticky = (error: unknown): boolean => sticky.has(resultOf(error) ?? 0)
