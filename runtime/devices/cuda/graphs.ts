/**
 * Recordings: the launches of an entry as one CUDA graph, captured from a stream that runs nothing.
 *
 *     launch a │ launch b, early │ launch c          a → b: b may start when the blocks of a allow it, and waits for the end of a itself
 *                                                    b → c: c starts when b has ended
 *     step │ greedy   →   step greedy                joined: one graph, in which the first launch of `greedy` starts early, too
 *
 * A graph holds the addresses of its buffers: it is destroyed with the first of them. The first launch of a graph always waits for what was in
 * the stream before.
 */
import { WeftError } from "../../errors.js"
import type { Command, CompiledKernel, DeviceBuffer, Recording } from "../device.js"
import type { Driver, Launch } from "./driver.js"
import type { CudaKernel } from "./kernels.js"
import type { CudaBuffer } from "./memory.js"

export interface Graphs {
  record(commands: readonly Command[]): Recording
  /** The launches of several recordings as one. */
  join(recordings: readonly Recording[]): Recording
  /** Gives back what launches one of these kernels. */
  forget(kernels: readonly CompiledKernel[]): void
  /** @throws WeftError `device/submit-recording` */
  check(recordings: readonly Recording[]): void
  /**
   * One executable of the launches of all recordings, none of which starts early; `mark` is called with the stream that is captured before the
   * first launch and after each, with how many there were. The caller destroys it.
   */
  marked(recordings: readonly Recording[], mark: (capturing: number, done: number) => void): number
  /** Launches recordings one after the other. */
  run(recordings: readonly Recording[]): void
  free(): void
}

interface CudaRecording extends Recording {
  /** Undefined where there is nothing to launch. */
  readonly executable: number | undefined
  readonly launches: readonly Launch[]
  readonly kernels: ReadonlySet<CompiledKernel>
  readonly bound: ReadonlySet<CudaBuffer>
  readonly destroy: () => void
}

const mostGroups = 2 ** 31 - 1

export interface GraphParts {
  readonly driver: Driver
  readonly stream: number
  /** The kernel when it is of this device. */
  readonly kernelOf: (command: Command) => CudaKernel
  readonly bufferOf: (buffer: DeviceBuffer) => CudaBuffer
  /** Where the symbols lie. */
  readonly symbols: number
  /** Launched in front of each launch: for tests. */
  readonly delay: Launch | undefined
  readonly giveBack: (call: () => void) => void
}

export function createGraphs(parts: GraphParts): Graphs {
  const { driver, stream, bufferOf, delay, giveBack } = parts
  const { capturing, capture } = createCapture(parts)
  const executableOf = (launches: readonly Launch[]): number =>
    capture(() => {
      const all = launches.flatMap((launch) => (delay === undefined ? [launch] : [delay, launch]))
      for (const [i, launch] of all.entries()) driver.launch({ ...launch, early: launch.early && i > 0 }, capturing)
    })
  const { recordings, keep } = createKept(executableOf, (executable) =>
    giveBack(() => driver.destroyExecutable(executable)),
  )
  return {
    record: (commands) =>
      keep({
        launches: commands.map((command) => launchOf(command, parts)),
        kernels: new Set(commands.map((c) => c.kernel)),
        bound: new Set(commands.flatMap((c) => c.buffers.map(bufferOf))),
      }),
    join(given) {
      const joined = given as readonly CudaRecording[]
      return keep({
        launches: joined.flatMap((r) => r.launches),
        kernels: new Set(joined.flatMap((r) => [...r.kernels])),
        bound: new Set(joined.flatMap((r) => [...r.bound])),
      })
    },
    forget(kernels) {
      for (const recording of [...recordings]) if (kernels.some((k) => recording.kernels.has(k))) recording.destroy()
    },
    check(given) {
      for (const r of given)
        if (!recordings.has(r as CudaRecording))
          throw new WeftError(
            "device/submit-recording",
            "a recording is not of this device, or a buffer or a kernel of it was given back",
          )
    },
    marked: (given, mark) =>
      capture(() => {
        mark(capturing, 0)
        for (const [i, launch] of (given as readonly CudaRecording[]).flatMap((r) => r.launches).entries()) {
          driver.launch({ ...launch, early: false }, capturing)
          mark(capturing, i + 1)
        }
      }),
    run(given) {
      for (const { executable } of given as readonly CudaRecording[])
        if (executable !== undefined) driver.launchGraph(executable, stream)
    },
    free() {
      for (const recording of [...recordings]) recording.destroy()
      giveBack(() => driver.destroyStream(capturing))
    },
  }
}

/** Recordings that are alive: each until the first of its buffers goes. */
function createKept(make: (launches: readonly Launch[]) => number, destroyExecutable: (executable: number) => void) {
  const recordings = new Set<CudaRecording>()
  const keep = ({ launches, kernels, bound }: Pick<CudaRecording, "launches" | "kernels" | "bound">): Recording => {
    const executable = launches.length === 0 ? undefined : make(launches)
    const destroy = () => {
      recordings.delete(recording)
      for (const buffer of bound) buffer.users.delete(destroy)
      if (executable !== undefined) destroyExecutable(executable)
    }
    for (const buffer of bound) buffer.users.add(destroy)
    const recording = { commands: launches.length, executable, launches, kernels, bound, destroy }
    recordings.add(recording)
    return recording
  }
  return { recordings, keep }
}

/** @throws WeftError `device/record-bindings`, `device/record-groups`, `device/record-matrix` */
function launchOf(command: Command, { driver, kernelOf, bufferOf, symbols }: GraphParts): Launch {
  const { name, handle, bindings, threads, sharedBytes, early, matrices } = kernelOf(command)
  const { buffers, groups } = command
  if (buffers.length !== bindings)
    throw new WeftError("device/record-bindings", `kernel '${name}' binds ${bindings} buffers, not ${buffers.length}`)
  if (!(Number.isInteger(groups) && groups > 0 && groups <= mostGroups))
    throw new WeftError("device/record-groups", `kernel '${name}' cannot be launched with ${groups} workgroups`)
  const bound = buffers.map(bufferOf)
  const described = matrices.map((matrix) => {
    const { bytes, pointer, label } = bound[matrix.binding]!
    const end = ((matrix.rows - 1) * matrix.stride + matrix.columns) * (matrix.storage.endsWith("16") ? 2 : 4)
    if (end > bytes)
      throw new WeftError(
        "device/record-matrix",
        `kernel '${name}' copies from ${end} bytes of '${label}', which has ${bytes}`,
      )
    return driver.describe({ ...matrix, pointer })
  })
  const parameters = [...bound.map((b) => b.pointer), ...described, symbols]
  return { kernel: handle, groups, threads, sharedBytes, parameters, early }
}

/** What is launched in a stream of its own becomes an executable graph. */
function createCapture({ driver, stream, giveBack }: Pick<GraphParts, "driver" | "stream" | "giveBack">) {
  const capturing = driver.createStream()
  const graphOf = (body: () => void): number => {
    driver.beginCapture(capturing)
    try {
      body()
    } catch (error) {
      // The stream is to be used again, and what was wrong is told, not that it ended the capture.
      giveBack(() => driver.destroyGraph(driver.endCapture(capturing)))
      throw error
    }
    return driver.endCapture(capturing)
  }
  return {
    capturing,
    capture(body: () => void): number {
      const graph = graphOf(body)
      try {
        const executable = driver.instantiate(graph)
        driver.uploadGraph(executable, stream)
        return executable
      } finally {
        driver.destroyGraph(graph)
      }
    },
  }
}
