/**
 * The same two computations by Weft and by jax-js on one WebGPU device, in one process and with the same toggles of Dawn.
 *
 *   node test/peers/bench.mjs compile artifacts.json                        where the compiler is, for an H200
 *   node test/peers/bench.mjs run artifacts.json [--toggles a,b] [--peer]   where the device is; --peer needs @jax-js/jax
 *
 * Times are medians of 20 runs, each waited for, arrays on the device; `chained` is a tenth of ten runs that are waited for once. Results of both
 * are checked against float64 on sampled rows; a result that is off, or a score matrix that a peer cannot bind, is said and not timed.
 */
import { readFileSync } from "node:fs"
import type { Artifact } from "../../runtime/artifact.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { createSession } from "../../runtime/session.js"
import { type Name, names } from "./names.js"

const shapes: Readonly<Record<Exclude<Name, "matmul">, readonly [heads: number, length: number]>> = {
  "attention-16x4096": [16, 4096],
  "attention-32x4096": [32, 4096],
  "attention-32x16384": [32, 16384],
}
const channels = 128
const side = 4096

function random(count: number, seed: number): Float32Array {
  const values = new Float32Array(count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    values[i] = state / 2147483648
  }
  return values
}

const median = (xs: number[]): number => xs.sort((a, b) => a - b)[xs.length >> 1]!

/** Medians of 20 single runs and of ten at once, in ms. */
async function timed(start: () => void, wait: () => Promise<unknown>): Promise<{ single: number; chained: number }> {
  const single: number[] = []
  for (let i = 0; i < 23; i++) {
    const t = performance.now()
    start()
    await wait()
    if (i >= 3) single.push(performance.now() - t)
  }
  const chained: number[] = []
  for (let i = 0; i < 3; i++) {
    const t = performance.now()
    for (let n = 0; n < 10; n++) start()
    await wait()
    chained.push((performance.now() - t) / 10)
  }
  return { single: median(single), chained: median(chained) }
}

/** The largest difference from float64 on sampled places. */
function worstOf(name: Name, [a, b, c]: readonly Float32Array[], y: Float32Array): number {
  let worst = 0
  if (name === "matmul") {
    for (const i of [0, 1, 777, side - 1])
      for (const j of [0, 5, 1234, side - 1]) {
        let sum = 0
        for (let k = 0; k < side; k++) sum += a![i * side + k]! * b![k * side + j]!
        worst = Math.max(worst, Math.abs(sum - y[i * side + j]!))
      }
    return worst
  }
  const [heads, length] = shapes[name]
  const at = (i: number, h: number) => (i * heads + h) * channels
  for (const i of [0, 1, 63, 64, 700, 2048, length - 1])
    for (const h of [0, heads - 1]) {
      const scores = new Float64Array(i + 1)
      for (let j = 0; j <= i; j++) {
        for (let d = 0; d < channels; d++) scores[j]! += a![at(i, h) + d]! * b![at(j, h) + d]!
        scores[j]! /= Math.sqrt(channels)
      }
      const largest = scores.reduce((m, s) => Math.max(m, s), Number.NEGATIVE_INFINITY)
      const weights = scores.map((s) => Math.exp(s - largest))
      const total = weights.reduce((s, w) => s + w, 0)
      for (const d of [0, 64, 127]) {
        let value = 0
        for (let j = 0; j <= i; j++) value += (weights[j]! / total) * c![at(j, h) + d]!
        worst = Math.max(worst, Math.abs(value - y[at(i, h) + d]!))
      }
    }
  return worst
}

const inputsOf = (name: Name): readonly Float32Array[] => {
  if (name === "matmul") return [random(side * side, 1), random(side * side, 2)]
  const [heads, length] = shapes[name]
  return [1, 2, 3].map((seed) => random(heads * length * channels, seed))
}

async function ours(name: Name, artifact: Artifact, toggles: readonly string[]): Promise<void> {
  const device = await createWebgpuDevice({ adapter: "any", toggles })
  const session = await createSession(artifact, device, { read: () => Promise.reject(new Error("no weights")) })
  const arrays = inputsOf(name)
  const { inputs, outputs } = artifact.program!
  for (const [i, input] of inputs.entries())
    session.write(artifact.buffers[input.buffer]!.name, new Uint8Array(arrays[i]!.buffer))
  const output = artifact.buffers[outputs[0]!.buffer]!
  session.run(["run"], {})
  const bytes = await session.read(output.name, output.bytes)
  const worst = worstOf(name, arrays, new Float32Array(bytes.buffer, bytes.byteOffset, output.bytes / 4))
  const { single, chained } = await timed(
    () => session.run(["run"], {}),
    () => session.read(output.name, 4),
  )
  const scratch = artifact.buffers.filter((b) => b.role === "scratch").reduce((n, b) => n + b.bytes, 0)
  const kernels = artifact.entries.run!.launches.length
  console.log(
    `weft   ${name}: ${single.toFixed(3)} ms, chained ${chained.toFixed(3)} ms, worst ${worst.toExponential(1)}, kernels ${kernels}, scratch ${scratch} bytes`,
  )
  session.dispose()
  device.dispose()
}

/** jax-js finds the page's GPU, which has to stay alive for as long as it is used. */
interface PeerArray {
  readonly ref: PeerArray
  reshape(shape: readonly number[]): PeerArray
  data(): Promise<Float32Array>
  blockUntilReady(): Promise<unknown>
  dispose?(): void
}
type Compute = (...arrays: PeerArray[]) => PeerArray
/** What is used of jax-js. */
interface Peer {
  readonly numpy: { array(data: Float32Array): PeerArray; matmul(a: PeerArray, b: PeerArray): PeerArray }
  readonly nn: { dotProductAttention(q: PeerArray, k: PeerArray, v: PeerArray, o: { isCausal: boolean }): PeerArray }
  jit(f: Compute): Compute
  init(device: string): Promise<unknown>
  defaultDevice(device: string): void
}

let opened: Promise<Peer> | undefined
function peerOn(toggles: readonly string[]): Promise<Peer> {
  opened ??= openPeer(toggles)
  return opened
}
async function openPeer(toggles: readonly string[]): Promise<Peer> {
  const { create, globals } = await import("webgpu")
  Object.assign(globalThis, globals)
  const gpu = create(toggles.length === 0 ? [] : [`enable-dawn-features=${toggles.join(",")}`])
  const navigator = { gpu, userAgent: "node", platform: "linux", hardwareConcurrency: 8 }
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true })
  const jaxName = "@jax-js/jax"
  const jax = (await import(jaxName)) as Peer
  await jax.init("webgpu")
  jax.defaultDevice("webgpu")
  return jax
}

async function peer(name: Name, toggles: readonly string[]): Promise<void> {
  const { numpy, jit, nn } = await peerOn(toggles)
  const arrays = inputsOf(name)
  const shape = name === "matmul" ? [side, side] : [shapes[name][1], shapes[name][0], channels]
  const given = arrays.map((x) => numpy.array(x).reshape(shape))
  const compute =
    name === "matmul"
      ? jit((a, b) => numpy.matmul(a!, b!))
      : jit((q, k, v) => nn.dotProductAttention(q!, k!, v!, { isCausal: true }))
  const start = () => compute(...given.map((x) => x.ref))
  const worst = worstOf(name, arrays, await start().data())
  if (worst > 1e-3) return console.log(`jax-js ${name}: wrong by ${worst.toExponential(1)}, not timed`)
  // Runs are started as their results are asked for, so all of them are kept until all have been waited for.
  let pending: PeerArray[] = []
  const { single, chained } = await timed(
    () => {
      pending.push(start())
    },
    async () => {
      for (const y of pending) await y.blockUntilReady()
      for (const y of pending) y.dispose?.()
      pending = []
    },
  )
  console.log(
    `jax-js ${name}: ${single.toFixed(3)} ms, chained ${chained.toFixed(3)} ms, worst ${worst.toExponential(1)}`,
  )
}

const [file, ...rest] = process.argv.slice(3)
const toggles = rest.includes("--toggles") ? rest[rest.indexOf("--toggles") + 1]!.split(",") : []
const artifacts = JSON.parse(readFileSync(file!, "utf8")) as Record<Name, Artifact>
for (const name of names) await ours(name, artifacts[name], toggles)
if (rest.includes("--peer")) for (const name of ["matmul", "attention-16x4096"] as const) await peer(name, toggles)
process.exit(0)
