/**
 * Workers that run the same kernel at the same time, piece by piece: fork, claim, run, join.
 *
 *   team.run(kernel, …)   // writes the call into the control block, counts `generation` up, claims pieces like everyone, waits for those of others
 *
 * Control block (i32, shared): see `slots`. The grid is cut into more pieces than there are threads, and whoever is free takes the next, so that a worker
 * that the system has not woken delays nothing. A claim names its generation and what is left of it: a late worker, which may already read the
 * arguments of the next call, finds nothing left of its own, and what it has read of a call is right if its claim succeeds.
 *
 * A worker spins on `generation` for some tens of microseconds, then sleeps; so does the caller on `done`. To receive a module a worker must get
 * back to its event loop: the call `leave`, of which each worker takes one piece, sends it there. Workers do not keep a process alive.
 */
import { WeftError } from "../../errors.js"
import type { KernelFunction } from "./module.js"

/** The part of a worker that both Node's and a page's have. */
export interface WorkerLike {
  postMessage(message: unknown): void
  terminate(): unknown
  onMessage(listener: (message: unknown) => void): void
  /** The worker could not run its source. */
  onError(listener: (reason: string) => void): void
}
export type Spawn = (source: string) => Promise<WorkerLike>

/**
 * Indices into the control block; arguments follow. `claim` is generation · 2^16 + the pieces that are left, `done` counts finished pieces, `sleepers`
 * workers asleep, `failed` traps in workers.
 */
const slots = {
  generation: 0,
  claim: 16,
  done: 32,
  sleepers: 48,
  failed: 49,
  kernel: 64,
  pieces: 65,
  count: 66,
  arguments: 67,
} as const
const leave = -1
const piecesPerThread = 4
/** Milliseconds of spinning before sleeping: about what falling asleep and waking up costs. */
const patience = 0.05
const mostArguments = 256

export interface Team {
  /** Workers beside the calling thread. */
  readonly size: number
  /** Instantiates a module in every worker; its kernels get the next indices. */
  load(module: WebAssembly.Module, names: readonly string[]): Promise<void>
  /** Runs a kernel of `groups` workgroups; `scratch` is that of the caller, and worker w has the `bytes` at scratch + w · bytes. */
  run(
    index: number,
    own: KernelFunction,
    groups: number,
    symbols: number,
    scratch: number,
    bytes: number,
    pointers: readonly number[],
  ): void
  dispose(): void
}

interface Setup {
  readonly control: Int32Array
  readonly memory: WebAssembly.Memory
  readonly worker: number
  readonly slots: typeof slots
  readonly leave: number
  readonly patience: number
}
type Message = Setup | { readonly module: WebAssembly.Module; readonly names: readonly string[] }
interface Port {
  postMessage(message: unknown): void
  onMessage(listener: (message: Message) => void): void
}

/** Takes the last piece that is left of a call, or −1. Runs in workers too, as text: it must not refer to anything outside of itself. */
function claim(control: Int32Array, at: number, generation: number): number {
  for (;;) {
    const seen = Atomics.load(control, at)
    const left = seen & 0xffff
    if (((seen >>> 16) ^ generation) & 0xffff || left === 0) return -1
    if (Atomics.compareExchange(control, at, seen, seen - 1) === seen) return left - 1
  }
}

/** Runs in the worker, as text. */
function work(port: Port, claim: (control: Int32Array, at: number, generation: number) => number): void {
  const kernels: ((...pointers: number[]) => void)[] = []
  let setup: Setup | undefined
  let generation = 0
  const next = ({ control, slots, patience }: Setup) => {
    const until = performance.now() + patience
    let tries = 0
    while (Atomics.load(control, slots.generation) === generation)
      if ((++tries & 63) === 0 && performance.now() > until) break
    while (Atomics.load(control, slots.generation) === generation) {
      Atomics.add(control, slots.sleepers, 1)
      Atomics.wait(control, slots.generation, generation)
      Atomics.sub(control, slots.sleepers, 1)
    }
    generation = Atomics.load(control, slots.generation)
  }
  const serve = (s: Setup) => {
    const { control, slots, worker } = s
    for (;;) {
      next(s)
      const kernel = control[slots.kernel]!
      const pieces = control[slots.pieces]!
      const count = control[slots.count]!
      const [symbols, scratch, bytes, ...pointers] = control.subarray(slots.arguments, slots.arguments + count)
      for (;;) {
        const piece = claim(control, slots.claim, generation)
        if (piece < 0) break
        try {
          if (kernel !== s.leave) kernels[kernel]!(symbols!, scratch! + worker * bytes!, piece, pieces, ...pointers)
        } catch {
          Atomics.add(control, slots.failed, 1)
        }
        if (Atomics.add(control, slots.done, 1) + 1 === pieces) Atomics.notify(control, slots.done)
        if (kernel === s.leave) return
      }
    }
  }
  port.onMessage((message) => {
    if ("control" in message) {
      setup = message
      port.postMessage("ready")
      return
    }
    const { module, names } = message
    try {
      const { exports } = new WebAssembly.Instance(module, { env: { memory: setup!.memory } })
      for (const name of names) kernels.push(exports[name] as (...pointers: number[]) => void)
    } catch (cause) {
      port.postMessage(String(cause))
      return
    }
    port.postMessage("ready")
    serve(setup!)
  })
}

const source = `;(${work})(port, ${claim})`

/** Node's workers, else the page's; neither is imported before it is needed. */
const spawnHere: Spawn = async (text) => {
  if (typeof process !== "undefined" && process.versions?.node !== undefined) {
    const name = "node:worker_threads" // Not a literal in the import: bundlers for pages would look for it.
    const { Worker: NodeWorker } = (await import(name)) as typeof import("node:worker_threads")
    const port = `const { parentPort: p } = require("node:worker_threads")
      const port = { postMessage: (m) => p.postMessage(m), onMessage: (f) => p.on("message", f) }`
    const worker = new NodeWorker(`${port}\n${text}`, { eval: true })
    worker.unref()
    return {
      postMessage: (m) => worker.postMessage(m),
      terminate: () => worker.terminate(),
      onMessage: (f) => {
        worker.on("message", f)
        worker.unref()
      },
      onError: (f) => worker.on("error", (error) => f(String(error))),
    }
  }
  const port = `const port = { postMessage: (m) => self.postMessage(m), onMessage: (f) => { self.onmessage = (e) => f(e.data) } }`
  const url = URL.createObjectURL(new Blob([`${port}\n${text}`], { type: "text/javascript" }))
  const worker = new Worker(url)
  return {
    postMessage: (m) => worker.postMessage(m),
    terminate: () => worker.terminate(),
    onMessage: (f) => {
      worker.onmessage = (event) => f(event.data)
    },
    onError: (f) => {
      worker.onerror = (event) => f(event.message)
    },
  }
}

export async function createTeam(size: number, memory: WebAssembly.Memory, spawn: Spawn = spawnHere): Promise<Team> {
  const control = new Int32Array(new SharedArrayBuffer(4 * (slots.arguments + mostArguments)))
  const workers = await Promise.all(Array.from({ length: size }, () => spawn(source)))
  const answers: ((answer: unknown) => void)[] = []
  for (const w of workers) {
    w.onMessage((answer) => answers.shift()?.(answer))
    w.onError((reason) => answers.shift()?.(reason))
  }
  const send = async (messageOf: (worker: number) => Message) => {
    // The process stays alive while it waits for an answer; workers themselves do not keep it.
    const awake = setInterval(() => {}, 1000)
    const all = workers.map(() => new Promise((resolve) => answers.push(resolve)))
    workers.forEach((w, i) => {
      w.postMessage(messageOf(i + 1))
    })
    const problem = (await Promise.all(all)).find((answer) => answer !== "ready")
    clearInterval(awake)
    if (problem !== undefined) throw new WeftError("worker-failed", `a worker did not start: ${problem}`)
  }
  await send((worker) => ({ control, memory, worker, slots, leave, patience }))
  let serving = false

  const fork = (kernel: number, pieces: number, values: readonly number[]): number => {
    const generation = (Atomics.load(control, slots.generation) + 1) | 0
    control[slots.kernel] = kernel
    control[slots.pieces] = pieces
    control[slots.count] = values.length
    control.set(values, slots.arguments)
    Atomics.store(control, slots.done, 0)
    Atomics.store(control, slots.claim, (generation << 16) | pieces)
    Atomics.store(control, slots.generation, generation)
    if (Atomics.load(control, slots.sleepers) > 0) Atomics.notify(control, slots.generation)
    return generation
  }
  const join = (pieces: number) => {
    const until = performance.now() + patience
    let tries = 0
    while (Atomics.load(control, slots.done) !== pieces) if ((++tries & 63) === 0 && performance.now() > until) break
    for (;;) {
      const done = Atomics.load(control, slots.done)
      if (done === pieces) return
      Atomics.wait(control, slots.done, done)
    }
  }

  return {
    size,
    load: async (module, names) => {
      if (serving) {
        fork(leave, size, [])
        join(size)
      }
      await send(() => ({ module, names }))
      serving = true
    },
    run: (index, own, groups, symbols, scratch, bytes, pointers) => {
      if (pointers.length + 3 > mostArguments)
        throw new WeftError(
          "too-many-buffers",
          `${pointers.length} buffers of one kernel; at most ${mostArguments - 3}`,
        )
      const pieces = Math.min(groups, piecesPerThread * (size + 1))
      const generation = fork(index, pieces, [symbols, scratch, bytes, ...pointers])
      let problem: unknown
      for (;;) {
        const piece = claim(control, slots.claim, generation)
        if (piece < 0) break
        try {
          own(symbols, scratch, piece, pieces, ...pointers)
        } catch (cause) {
          problem ??= cause
        }
        Atomics.add(control, slots.done, 1)
      }
      join(pieces)
      if (problem !== undefined) throw problem
      if (Atomics.load(control, slots.failed) > 0) throw new Error("it stopped in a worker")
    },
    dispose: () => {
      for (const w of workers) w.terminate()
    },
  }
}
