/**
 * What a device does: allocate, upload, compile, record, submit, read. Three devices implement it; one conformance suite holds them.
 *
 * A recording is made once and submitted many times; nothing in it depends on the values of the symbols.
 */
import type { ArtifactKernel, ArtifactModule, ArtifactTarget } from "../artifact.js"

export interface DeviceBuffer {
  readonly bytes: number
  destroy(): void
}

export interface CompiledKernel {
  readonly name: string
  /** Its compiler says that it keeps in memory what registers have no room for. */
  readonly spills?: true
}

export interface Command {
  readonly kernel: CompiledKernel
  /** One buffer per binding, in the kernel's order. */
  readonly buffers: readonly DeviceBuffer[]
  readonly groups: number
}

/** Commands with everything that can be prepared ahead (bind groups, argument lists). */
export interface Recording {
  readonly commands: number
}

export interface DeviceLimits {
  /** Largest buffer and largest binding, in bytes. */
  readonly bufferBytes: number
  readonly bindingBytes: number
  /** All that it can hold, where it says so; WebGPU does not. */
  readonly memoryBytes?: number
}

/** Kernels in the forms in which a compiler makes them; an artifact says more of each. */
export interface KernelCode {
  readonly kernels: readonly ArtifactKernel[]
  /** WebAssembly: all kernels. */
  readonly module?: Uint8Array | undefined
  /** CUDA: the text before the kernels' sources, and binaries of all of them. */
  readonly prelude?: string | undefined
  readonly modules?: readonly ArtifactModule[] | undefined
  /** They are tried and given back (`release`): nothing of them is kept on the machine. */
  readonly isTrial?: true
}

/** Bytes of a buffer. */
export interface Region {
  readonly to: DeviceBuffer
  readonly offset: number
  readonly bytes: number
}

/** Memory for what regions are to hold. */
export interface Filling {
  /** One for each region; nobody's after `finish` or `abandon`. */
  readonly parts: readonly Uint8Array[]
  /** Puts the parts where they belong, before whatever is uploaded or submitted next. */
  finish(): void
  abandon(): void
}

/** Times of recordings by the device's own clock, in microseconds: means over their runs, without those that are far off. */
export interface RecordingTimes {
  /** Of each command, one recording's after the other's: from where it could start, all before it being done, to its end. */
  readonly commands: readonly number[]
  /** Of all of it as `submit` runs it, where commands may start before those before them are done. */
  readonly whole: number
}

export interface Device {
  readonly kind: ArtifactTarget
  /** For people: adapter or engine, threads. */
  readonly description: string
  /** A software implementation of a GPU interface. */
  readonly fallback: boolean
  readonly limits: DeviceLimits
  /** Submits that should be under way at a time, so that the device does not wait for the host; 1 where each is carried out at once. */
  readonly ahead: number
  /** It does not look whether kernels stay within their buffers: only artifacts whose accesses are proven may run. */
  readonly unchecked?: boolean
  /** Zeroed memory. */
  allocate(bytes: number, label: string): DeviceBuffer
  upload(to: DeviceBuffer, offset: number, data: Uint8Array): void
  /**
   * Memory to read what regions are to hold into, with the fewest copies that the device can do with. Several may be open at a time; who asks
   * for more than the device has ready waits. Absent where `upload` is as good.
   */
  stage?(regions: readonly Region[]): Promise<Filling>
  /** Zeroes the first `bytes` of a buffer, a multiple of 4. Where it is absent, zeros are uploaded. */
  clear?(buffer: DeviceBuffer, bytes: number): void
  /** Makes all kernels ready to run, which read so many symbols. Rejects with a WeftError that names the kernel. */
  compile(code: KernelCode, symbols: number): Promise<readonly CompiledKernel[]>
  /** Gives back all that one `compile` made, with the recordings of it. Absent where nobody has to. */
  release?(kernels: readonly CompiledKernel[]): void
  record(commands: readonly Command[]): Recording
  /**
   * One recording of several, one after the other, with less between them than `submit` leaves there. Absent where it leaves nothing: where a
   * submit of many is as good.
   */
  join?(recordings: readonly Recording[]): Recording
  /**
   * Waits until these are known to be good, with what was uploaded to them; rejects with what is wrong. Absent where every call tells its
   * error at once.
   */
  settle?(made: readonly (DeviceBuffer | Recording)[]): Promise<void>
  /** Sets the symbols (in the artifact's order), then runs the recordings one after the other: one submit. */
  submit(recordings: readonly Recording[], symbols: Int32Array): void
  /**
   * Sets the symbols and runs the recordings `runs` times as `submit` does, then as often with each command by itself between two marks of the
   * device's clock. What they write, they write as often. Absent where the device has no clock that is fine enough.
   */
  profile?(recordings: readonly Recording[], symbols: Int32Array, runs: number): Promise<RecordingTimes>
  /** Waits for what was submitted and returns a copy of the bytes. */
  read(from: DeviceBuffer, offset: number, bytes: number): Promise<Uint8Array>
  /** Resolves with the reason when the device is lost; never rejects. */
  readonly lost: Promise<string>
  /** Counters for tests and timings. */
  readonly counters: { pipelines: number; submits: number; commands: number; allocatedBytes: number }
  dispose(): void
}
