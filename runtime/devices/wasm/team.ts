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
 *
 * Nobody waits for ever for a worker that is gone. Its end is told by its `exit`; while the caller is blocked, by a count that the worker raises
 * on its way out; and where neither comes, by its silence.
 */
import { WeftError } from "../../errors.js"
import { createCrew } from "./crew.js"
import type { KernelFunction } from "./module.js"
import { type Spawn, spawnHere } from "./spawn.js"

/**
 * Indices into the control block; arguments follow. `claim` is generation · 2^16 + the pieces that are left, `done` counts finished pieces, `sleepers`
 * workers asleep, `failed` traps in workers, `ended` workers that are gone.
 */
const slots = {
  generation: 0,
  claim: 16,
  done: 32,
  sleepers: 48,
  failed: 49,
  ended: 50,
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

/** The caller looks up from its wait this often. */
const slice = 100
/** It gives up after so many milliseconds without a finished piece, or this often the time of its own longest one. */
const stall = { least: 30_000, times: 200, unknown: 600_000 } as const

export interface Team {
  /** Workers beside the calling thread. */
  readonly size: number
  /**
   * Instantiates a module in every worker and returns the index of its first kernel; the others follow.
   *
   * @throws WeftError `wasm/worker-failed` when a worker does not take it or has ended
   */
  load(module: WebAssembly.Module, names: readonly string[]): Promise<number>
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
      const { control, slots } = message
      // A worker that ends in the middle of a piece tells it: the caller may be blocked, where no event reaches it.
      if (typeof process !== "undefined")
        process.on("exit", () => {
          Atomics.add(control, slots.ended, 1)
          Atomics.notify(control, slots.done)
        })
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

/**
 * Starts `size` workers, or as many as the system grants. `onLost` is called once when the team cannot go on.
 *
 * @throws WeftError `wasm/worker-failed` when one starts and then fails
 */
export async function createTeam(
  size: number,
  memory: WebAssembly.Memory,
  spawn: Spawn = spawnHere,
  onLost: (reason: string) => void = () => {},
): Promise<Team> {
  const spawned = await Promise.allSettled(Array.from({ length: size }, async () => spawn(source)))
  const workers = spawned.flatMap((s) => (s.status === "fulfilled" ? [s.value] : []))
  const crew = createCrew<Message>(workers, onLost)
  const control = new Int32Array(new SharedArrayBuffer(4 * (slots.arguments + mostArguments)))
  await crew.ask((worker) => ({ control, memory, worker, slots, leave, patience }))
  let state: "apart" | "moving" | "serving" = "apart"
  let kernels = 0
  let loads: Promise<unknown> = Promise.resolve()

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
  /** Blocks until all pieces are done; `own` is the time of the longest that the caller did. */
  const join = (pieces: number, own: number | undefined) => {
    const until = performance.now() + patience
    let tries = 0
    while (Atomics.load(control, slots.done) !== pieces) if ((++tries & 63) === 0 && performance.now() > until) break
    const most = own === undefined ? stall.unknown : Math.max(stall.least, stall.times * own)
    for (let silent = 0; silent < most; ) {
      const done = Atomics.load(control, slots.done)
      if (done === pieces) return
      if (Atomics.load(control, slots.ended) > 0)
        throw new WeftError("wasm/worker-failed", "a worker ended before its part was done")
      silent = Atomics.wait(control, slots.done, done, slice) === "timed-out" ? silent + slice : 0
    }
    throw new WeftError("wasm/worker-failed", "a worker does not come back with its part")
  }
  /** Sends the workers to their event loops, without blocking: their ends are told there. */
  const recall = async () => {
    fork(leave, workers.length, [])
    await crew.within("does not come back to take another module", async (given) => {
      while (!given.up && Atomics.load(control, slots.done) !== workers.length)
        await new Promise((resolve) => setTimeout(resolve, 1))
    })
  }
  const load = async (module: WebAssembly.Module, names: readonly string[]): Promise<number> => {
    crew.check()
    const before = state
    state = "moving"
    if (before === "serving") await recall()
    await crew.ask(() => ({ module, names }))
    state = "serving"
    kernels += names.length
    return kernels - names.length
  }

  return {
    size: workers.length,
    load(module, names) {
      // One after the other: a worker that serves takes no message.
      const loaded = loads.then(() => load(module, names))
      loads = loaded.catch(() => {})
      return loaded
    },
    run: (index, own, groups, symbols, scratch, bytes, pointers) => {
      // Workers that are taking a module do not serve.
      if (state !== "serving") return own(symbols, scratch, 0, 1, ...pointers)
      if (pointers.length + 3 > mostArguments)
        throw new WeftError(
          "device/too-many-buffers",
          `${pointers.length} buffers of one kernel; at most ${mostArguments - 3}`,
        )
      const pieces = Math.min(groups, piecesPerThread * (workers.length + 1))
      const generation = fork(index, pieces, [symbols, scratch, bytes, ...pointers])
      let problem: unknown
      let longest: number | undefined
      for (let began = performance.now(); ; ) {
        const piece = claim(control, slots.claim, generation)
        if (piece < 0) break
        try {
          own(symbols, scratch, piece, pieces, ...pointers)
        } catch (cause) {
          problem ??= cause
        }
        const ended = performance.now()
        longest = Math.max(longest ?? 0, ended - began)
        began = ended
        Atomics.add(control, slots.done, 1)
      }
      join(pieces, longest)
      if (problem !== undefined) throw problem
      if (Atomics.load(control, slots.failed) > 0) throw new WeftError("wasm/worker-failed", "it stopped in a worker")
    },
    dispose: () => crew.dismiss(),
  }
}
