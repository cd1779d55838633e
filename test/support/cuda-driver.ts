/**
 * NVIDIA's driver as the device sees it, in this process's memory: what is asked of a stream is carried out late, when somebody waits for it.
 *
 *     driver.toDevice(to, from, 4, stream)     nothing yet: `from` is read when the copy's turn comes
 *     driver.wait(event)                       everything in the stream up to the event
 *
 * Whatever is used after it was freed is kept in `mistakes`, and an Error that no device expects. `live` counts what is not given back.
 */
import { type Driver, driverError, type HostMemory, type Launch } from "../../runtime/devices/cuda/driver.js"

/** A kernel: `at` gives the bytes from a pointer, into the device's memory or the host's, to the end of what lies there. */
export type FakeKernel = (parameters: readonly number[], at: (pointer: number) => Uint8Array) => void

export interface FakeDriver extends Driver {
  /** The kernels by the names of their functions; a module's image is the list of its own, as JSON. */
  readonly kernels: Map<string, FakeKernel>
  readonly live: ReadonlyMap<string, number>
  /** Launches of each graph that was instantiated, in their order. */
  readonly graphs: readonly (readonly Launch[])[]
  /** Launches that were carried out. */
  readonly runs: readonly Launch[]
  /** The names of calls, in their order. */
  readonly calls: string[]
  /** Calls that fail: the next one of a name, with a CUresult. */
  readonly refusals: Map<string, number>
  /** What a kernel throws to leave a fault behind. */
  readonly fault: object
  /** What was used after it was freed, or while its context was not the current one. */
  readonly mistakes: string[]
}

interface Allocation {
  readonly kind: "device" | "host"
  readonly start: number
  readonly bytes: Uint8Array<ArrayBuffer>
}
interface Event {
  done: boolean
  /** Microseconds. */
  time: number
}
/** What is captured: launches and marks, as they are carried out. */
interface Captured {
  readonly launches: Launch[]
  readonly steps: (() => void)[]
}

export const imageOf = (symbols: readonly string[]): Uint8Array => new TextEncoder().encode(JSON.stringify(symbols))

/** `capability`: ten times the compute capability that it says it has. */
export function fakeDriver(total = 2 ** 30, capability = 90): FakeDriver {
  const live = new Map<string, number>()
  const things = new Map<number, { readonly kind: string; readonly context: number; readonly value: unknown }>()
  const memory = new Set<Allocation>()
  const kernels = new Map<string, FakeKernel>()
  const graphs: Launch[][] = []
  const refusals = new Map<string, number>()
  const calls: string[] = []
  const mistakes: string[] = []
  const mistake = (text: string): never => {
    mistakes.push(text)
    throw new Error(text)
  }
  /** Events that a thread waits for. */
  const awaited = new Set<number>()
  const fault = {}
  let names = 2 ** 40
  let used = 0
  let current = 0
  let broken = false
  let queue: (() => void)[] = []
  let capturing: Captured | undefined
  /** A launch takes a microsecond for each of its groups, a mark in a graph a quarter of one, all else no time. */
  let now = 0

  const count = (kind: string, change: number) => live.set(kind, (live.get(kind) ?? 0) + change)
  const make = (kind: string, value: unknown): number => {
    names += 4096
    things.set(names, { kind, context: current, value })
    count(kind, 1)
    return names
  }
  const eventOf = (event: number) => things.get(event)!.value as Event
  const get = <T>(kind: string, handle: number): T => {
    const found = things.get(handle)
    if (found?.kind !== kind) mistake(`${handle} is no ${kind}`)
    if (kind !== "context" && found!.context !== current) mistake(`a ${kind} of another context`)
    return found!.value as T
  }
  const destroy = (kind: string) => (handle: number) => {
    get(kind, handle)
    things.delete(handle)
    count(kind, -1)
  }
  const at = (kind: Allocation["kind"], pointer: number, bytes = 0): Uint8Array<ArrayBuffer> => {
    for (const m of memory)
      if (m.kind === kind && pointer >= m.start && pointer < m.start + m.bytes.length) {
        if (pointer + bytes > m.start + m.bytes.length) mistake(`${bytes} bytes from ${pointer} leave their memory`)
        return m.bytes.subarray(pointer - m.start)
      }
    return mistake(`${pointer} lies in no memory of the ${kind}`)
  }
  const reserve = (kind: Allocation["kind"], bytes: number): number => {
    const start = make(kind, undefined)
    names += Math.ceil(bytes / 4096) * 4096
    // What was there before is not zero.
    memory.add({ kind, start, bytes: new Uint8Array(bytes).fill(0xa5) })
    return start
  }
  const release = (kind: Allocation["kind"], pointer: number) => {
    destroy(kind)(pointer)
    for (const m of memory) if (m.start === pointer) memory.delete(m)
  }
  const failBroken = (call: string): never => {
    throw driverError(call, 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered")
  }
  /** Carries out what is in the stream, as far as `until`. */
  const advance = (until: () => boolean) => {
    while (!until() && queue.length > 0 && !broken) {
      try {
        queue.shift()!()
      } catch (error) {
        if (error !== fault) throw error
        broken = true
        queue = []
      }
    }
    if (broken) failBroken("cuStream")
  }
  const enqueue = (stream: number, work: () => void) => {
    get("stream", stream)
    queue.push(work)
  }
  const kindOf = (pointer: number) =>
    [...memory].find((m) => pointer >= m.start && pointer < m.start + m.bytes.length)?.kind ?? "device"
  const runs: Launch[] = []
  const run = (launch: Launch) => {
    runs.push(launch)
    now += launch.groups
    const kernel = things.get(launch.kernel)!.value as FakeKernel
    const given = launch.parameters.filter((p): p is number => typeof p === "number")
    kernel(given, (p) => at(kindOf(p), p))
  }

  const driver: Driver = {
    version: () => 13000,
    deviceCount: () => 1,
    device: (ordinal) => ordinal,
    deviceName: () => "Fake",
    attribute: (_, attribute) =>
      ({ 75: Math.floor(capability / 10), 76: capability % 10, 16: 132 })[attribute as number] ?? 1 << 20,
    totalMemory: () => total,
    createContext: () => {
      // A fault is the whole process's as long as it runs, as on an H200 with driver 13.0.
      if (broken) return failBroken("cuCtxCreate")
      current = make("context", undefined)
      return current
    },
    useContext: (context) => {
      get("context", context)
      current = context
    },
    destroyContext: destroy("context"),
    memory: () => {
      get("context", current)
      return { free: total - used, total }
    },
    allocate(bytes) {
      if (used + bytes > total) throw driverError("cuMemAlloc", 2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory")
      used += bytes
      return reserve("device", bytes)
    },
    free(pointer) {
      used -= at("device", pointer).length
      release("device", pointer)
    },
    allocateHost(bytes) {
      const pointer = reserve("host", bytes)
      return { pointer, bytes: at("host", pointer) }
    },
    freeHost: ({ pointer }: HostMemory) => release("host", pointer),
    createStream: () => make("stream", undefined),
    destroyStream: destroy("stream"),
    synchronize: (stream) => {
      get("stream", stream)
      advance(() => false)
    },
    zero: (pointer, bytes, stream) => enqueue(stream, () => at("device", pointer, bytes).fill(0, 0, bytes)),
    toDevice: (to, from, bytes, stream) =>
      enqueue(stream, () => at("device", to, bytes).set(at("host", from, bytes).subarray(0, bytes))),
    toHost: (to, from, bytes, stream) =>
      enqueue(stream, () => at("host", to, bytes).set(at("device", from, bytes).subarray(0, bytes))),
    createEvent: () => make("event", { done: true, time: 0 }),
    createClock: () => make("event", { done: true, time: 0 }),
    mark(clock) {
      const found = get<Event>("event", clock)
      if (capturing === undefined) throw new Error("a mark outside of a capture")
      capturing.steps.push(() => {
        now += 0.25
        Object.assign(found, { done: true, time: now })
      })
    },
    elapsed(from, to) {
      const [a, b] = [get<Event>("event", from), get<Event>("event", to)]
      if (!a.done || !b.done) mistake("the time of an event that has not come")
      return (b.time - a.time) / 1000
    },
    destroyEvent(event) {
      if (awaited.has(event)) mistake("an event that a thread waits for is destroyed")
      destroy("event")(event)
    },
    record(event, stream) {
      const found = get<Event>("event", event)
      found.done = false
      enqueue(stream, () => {
        Object.assign(found, { done: true, time: now })
      })
    },
    isDone: (event) => eventOf(event).done,
    wait: (event) => advance(() => eventOf(event).done),
    async whenDone(event) {
      // A thread that waits has no context.
      const found = eventOf(event)
      awaited.add(event)
      await new Promise((resolve) => setImmediate(resolve))
      awaited.delete(event)
      advance(() => found.done)
    },
    loadModule: (image) => {
      const text = new TextDecoder().decode(image)
      const entries = [...text.matchAll(/^\.visible \.entry (\w+)/gm)].map(([, name]) => name)
      return make("module", entries.length > 0 ? entries : JSON.parse(text))
    },
    unloadModule: destroy("module"),
    kernel(module, symbol) {
      const found = get<readonly string[]>("module", module).includes(symbol) ? kernels.get(symbol) : undefined
      if (found === undefined) throw driverError("cuModuleGetFunction", 500, "CUDA_ERROR_NOT_FOUND", "not found")
      const handle = make("kernel", found)
      count("kernel", -1)
      return handle
    },
    allowShared: (kernel) => get("kernel", kernel),
    describe: (matrix) => new TextEncoder().encode(JSON.stringify(matrix)),
    beginCapture(stream) {
      get("stream", stream)
      capturing = { launches: [], steps: [] }
    },
    launch(launch, stream) {
      const kept = { ...launch, parameters: [...launch.parameters] }
      if (capturing === undefined) return enqueue(stream, () => run(kept))
      capturing.launches.push(kept)
      capturing.steps.push(() => run(kept))
    },
    endCapture() {
      const made = make("graph", capturing)
      capturing = undefined
      return made
    },
    instantiate(graph) {
      const captured = get<Captured>("graph", graph)
      graphs.push(captured.launches)
      return make("executable", captured.steps)
    },
    destroyGraph: destroy("graph"),
    uploadGraph: (executable) => get("executable", executable),
    launchGraph(executable, stream) {
      const steps = get<Captured["steps"]>("executable", executable)
      enqueue(stream, () => {
        for (const step of steps) step()
      })
    },
    destroyExecutable: destroy("executable"),
  }
  kernels.set("weft_delay", () => {})
  kernels.set("weft_copy", ([to, from, words], at) => at(to!).set(at(from!).subarray(0, 4 * words!)))

  const watched = Object.entries(driver).map(([name, call]: [string, (...given: never[]) => unknown]) => [
    name,
    (...given: never[]) => {
      calls.push(name)
      if (
        broken &&
        /^(memory|allocate|zero|toDevice|toHost|record|isDone|launch|createStream|createEvent|load)/.test(name)
      )
        failBroken(name)
      const result = refusals.get(name)
      if (result !== undefined) {
        refusals.delete(name)
        throw driverError(name, result, "CUDA_ERROR", "as the test wants it")
      }
      return call(...given)
    },
  ])
  return { ...(Object.fromEntries(watched) as Driver), kernels, live, graphs, runs, calls, refusals, fault, mistakes }
}
