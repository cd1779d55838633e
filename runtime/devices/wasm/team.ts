/**
 * Workers that run the same kernel at the same time, each its share: fork, run, join.
 *
 *   team.run(kernel, …)   // writes the call into the control block, counts `generation` up, runs share 0, waits for the others
 *
 * Control block (i32, shared): see `slots`. A worker spins on `generation` for some tens of microseconds, then sleeps; so does the caller on
 * `done`. To receive a module a worker must get back to its event loop: the call `leave` sends it there. Workers do not keep a process alive.
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

/** Indices into the control block; arguments follow. `sleepers` counts workers asleep, `failed` those whose kernel trapped. */
const slots = { generation: 0, done: 16, sleepers: 32, failed: 33, kernel: 48, count: 49, arguments: 50 } as const
const leave = -1
/** Milliseconds of spinning before sleeping: about what falling asleep and waking up costs. */
const patience = 0.05
const mostArguments = 256

export interface Team {
  /** Workers beside the calling thread. */
  readonly size: number
  /** Instantiates a module in every worker; its kernels get the next indices. */
  load(module: WebAssembly.Module, names: readonly string[]): Promise<void>
  run(
    index: number,
    own: KernelFunction,
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
  readonly workers: number
  readonly slots: typeof slots
  readonly leave: number
  readonly patience: number
}
type Message = Setup | { readonly module: WebAssembly.Module; readonly names: readonly string[] }
interface Port {
  postMessage(message: unknown): void
  onMessage(listener: (message: Message) => void): void
}

/** Runs in the worker, as text: it must not refer to anything outside of itself. */
function work(port: Port): void {
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
    generation = (generation + 1) | 0
  }
  const serve = (s: Setup) => {
    const { control, slots, worker, workers } = s
    for (;;) {
      next(s)
      const kernel = control[slots.kernel]!
      const [symbols, scratch, bytes, ...pointers] = control.subarray(
        slots.arguments,
        slots.arguments + control[slots.count]!,
      )
      try {
        if (kernel !== s.leave) kernels[kernel]!(symbols!, scratch! + worker * bytes!, worker, workers, ...pointers)
      } catch {
        Atomics.add(control, slots.failed, 1)
      }
      if (Atomics.add(control, slots.done, 1) === workers - 2) Atomics.notify(control, slots.done)
      if (kernel === s.leave) return
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

const source = `;(${work})(port)`

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
  await send((worker) => ({ control, memory, worker, workers: size + 1, slots, leave, patience }))
  let serving = false

  const fork = (kernel: number, values: readonly number[]) => {
    control[slots.kernel] = kernel
    control[slots.count] = values.length
    control.set(values, slots.arguments)
    Atomics.store(control, slots.done, 0)
    Atomics.add(control, slots.generation, 1)
    if (Atomics.load(control, slots.sleepers) > 0) Atomics.notify(control, slots.generation)
  }
  const join = () => {
    const until = performance.now() + patience
    let tries = 0
    while (Atomics.load(control, slots.done) !== size) if ((++tries & 63) === 0 && performance.now() > until) break
    for (;;) {
      const done = Atomics.load(control, slots.done)
      if (done === size) return
      Atomics.wait(control, slots.done, done)
    }
  }

  return {
    size,
    load: async (module, names) => {
      if (serving) {
        fork(leave, [])
        join()
      }
      await send(() => ({ module, names }))
      serving = true
    },
    run: (index, own, symbols, scratch, bytes, pointers) => {
      if (pointers.length + 3 > mostArguments)
        throw new WeftError(
          "too-many-buffers",
          `${pointers.length} buffers of one kernel; at most ${mostArguments - 3}`,
        )
      fork(index, [symbols, scratch, bytes, ...pointers])
      try {
        own(symbols, scratch, 0, size + 1, ...pointers)
      } finally {
        join()
      }
      if (Atomics.load(control, slots.failed) > 0) throw new Error("it stopped in a worker")
    },
    dispose: () => {
      for (const w of workers) w.terminate()
    },
  }
}
