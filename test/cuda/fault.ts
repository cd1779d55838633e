/**
 * A fault of a kernel, and what is left after it, told by the process in which it was: such a process gets no device any more, nor do tests that would
 * come after in it.
 *
 *     const { read, another } = await reportOfChild([program])     the program prints `await faultReport(open)` as JSON
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import type { CudaDevice } from "../../runtime/devices/cuda/device.js"
import type { WeftError } from "../../runtime/errors.js"

/** An error as it is told to another process. */
interface Told {
  readonly code?: string
  readonly message: string
  readonly hint?: string
}

export interface FaultReport {
  /** What a read behind the fault is rejected with, a later upload, and another device. */
  readonly read: Told
  readonly upload: Told
  readonly another: Told
  /** What the device's `lost` resolves with. */
  readonly lost: string
}

/** Writes where nothing is. */
export const fault = {
  name: "fault",
  symbol: "fault",
  source: 'extern "C" __global__ void fault(int* x, const int* symbols) { x[1 << 30] = 1; *(volatile int*)8 = 1; }',
  bindings: [{ access: "write" as const }],
  threads: 32,
  sharedBytes: 0,
  scratch: 0,
}

async function told(call: () => unknown): Promise<Told> {
  try {
    await call()
    return { message: "nothing was thrown" }
  } catch (error) {
    const { code, message, hint } = error as WeftError
    return { code, message, ...(hint === undefined ? {} : { hint }) }
  }
}

/** After it this process has no device. */
export async function faultReport(open: () => Promise<CudaDevice>): Promise<FaultReport> {
  const device = await open()
  const [kernel] = await device.compile({ kernels: [fault], prelude: "" }, 1)
  const x = device.allocate(16, "x")
  device.submit([device.record([{ kernel: kernel!, buffers: [x], groups: 1 }])], Int32Array.of(0))
  const read = await told(() => device.read(x, 0, 4))
  const upload = await told(() => device.upload(x, 0, new Uint8Array(4)))
  device.dispose()
  return { read, upload, lost: await device.lost, another: await told(open) }
}

/** What a program prints of a fault: the last line, of JSON. */
export async function reportOfChild(parameters: readonly string[]): Promise<FaultReport> {
  const { stdout } = await promisify(execFile)(process.execPath, [...parameters])
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!)
}
