/**
 * How fast the programs run on a card, beside what it reads when a kernel does nothing else: see bench.mjs.
 *
 *     gathered-sum    541.1 MB that must move   130.2 µs   4,156 GB/s   91.4 % of the ceiling   1 kernel
 *
 * Bytes are those of all inputs and outputs, once. A few rows of each result are checked against float64 first; what is off is said and not timed.
 */
import { readCeiling } from "../../cli/bench/ceiling.js"
import type { Artifact } from "../../runtime/artifact.js"
import { createCudaDevice } from "../../runtime/devices/cuda/device.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { createSession, type Session } from "../../runtime/session.js"
import type { Artifacts } from "./compile.js"
import { type Arrays, described, type Name, names, wrongIn } from "./references.js"

const runs = 20
/** Runs of one submit where the device has no clock of its own, in so many samples. */
const chained = 32
const samples = 7

/** @returns whether all of them compute what they should */
export async function runPrograms(artifacts: Artifacts, kind: "cuda" | "webgpu"): Promise<boolean> {
  const device = await (kind === "cuda" ? createCudaDevice() : createWebgpuDevice())
  try {
    const ceiling = await readCeiling(device)
    console.log(`${device.description}: ${(ceiling / 1e9).toFixed(0)} GB/s read by a kernel that does nothing else`)
    let good = true
    for (const name of names) good = (await measure(name, artifacts[`${kind} ${name}`]!, device, ceiling)) && good
    const after = await readCeiling(device)
    console.log(`the same kernel afterwards: ${(after / 1e9).toFixed(0)} GB/s`)
    return good
  } finally {
    device.dispose()
  }
}

async function measure(name: Name, artifact: Artifact, device: Device, ceiling: number): Promise<boolean> {
  const { large, inputs } = described[name]
  const arrays = inputs(large)
  const session = await createSession(artifact, device, { read: () => Promise.reject(new Error("no weights")) })
  try {
    const bufferOf = (i: number) => artifact.buffers[i]!
    for (const input of artifact.program!.inputs) {
      const { buffer, byteOffset, byteLength } = arrays[input.name]!
      session.write(bufferOf(input.buffer).name, new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength))
    }
    session.run(["run"], {})
    const wrong = await wrongRows(name, arrays, session)
    if (wrong.length > 0) {
      console.log(`${name.padEnd(14)} WRONG, not timed: ${wrong.slice(0, 3).join("; ")}`)
      return false
    }
    const must = artifact.buffers.filter((b) => b.role !== "scratch").reduce((n, b) => n + b.bytes, 0)
    const { whole, each } = await timed(session)
    const rate = (1e6 * must) / whole
    const text = [
      name.padEnd(14),
      `${(must / 1e6).toFixed(1)} MB that must move`,
      `${whole.toFixed(1).padStart(7)} µs`,
      `${(rate / 1e9).toFixed(0)} GB/s`,
      `${((100 * rate) / ceiling).toFixed(1)} % of the ceiling`,
      `kernels: ${each ?? artifact.entries.run!.launches.length}`,
    ]
    console.log(text.join("   "))
    return true
  } finally {
    session.dispose()
  }
}

/** What is out of its bounds in the first, the last and a few other rows. */
async function wrongRows(name: Name, arrays: Arrays, session: Session): Promise<readonly string[]> {
  const { large, row } = described[name]
  const { artifact } = session
  const outputs = new Map<string, Float32Array>()
  for (const output of artifact.program!.outputs) {
    const { name: buffer, bytes } = artifact.buffers[output.buffer]!
    const found = await session.read(buffer, bytes)
    outputs.set(output.name, new Float32Array(found.buffer, found.byteOffset, bytes >> 2))
  }
  const rows = artifact.program!.outputs[0]!.axes[0]!.extent as number
  const sampled = [0, 1, rows >> 1, (rows >> 1) + 5, rows - 1].map((i) => Math.min(i, rows - 1))
  return sampled.flatMap((i) => row(arrays, large, i).flatMap((r) => wrongIn(r, outputs.get(r.output)!)))
}

/** Microseconds of a run, and of each kernel where the device tells. */
async function timed(session: Session): Promise<{ readonly whole: number; readonly each?: string }> {
  const times = await session.profile(["run"], {}, runs)
  if (times !== undefined)
    return { whole: times.whole, each: times.commands.map((t) => `${t.toFixed(1)} µs`).join(", ") }
  const { artifact } = session
  const output = artifact.buffers[artifact.program!.outputs[0]!.buffer]!.name
  const once = async (count: number) => {
    const started = performance.now()
    session.run(Array<string>(count).fill("run"), {})
    await session.read(output, 4)
    return 1000 * (performance.now() - started)
  }
  // What a submit takes besides its launches is the same for both.
  const found: number[] = []
  for (let i = 0; i <= samples; i++) {
    const [some, more] = [await once(chained), await once(2 * chained)]
    if (i > 0) found.push((more - some) / chained)
  }
  return { whole: found.sort((a, b) => a - b)[found.length >> 1]! }
}
