/**
 * Starts workers: Node's, else the page's; neither is imported before it is needed.
 *
 * A spawn that rejects is the system's refusal: there are no more threads to be had. What fails later is the worker's own failure.
 */
import { WeftError } from "../../errors.js"

/** The part of a worker that both Node's and a page's have. */
export interface WorkerLike {
  postMessage(message: unknown): void
  terminate(): unknown
  onMessage(listener: (message: unknown) => void): void
  /** The worker could not run its source. */
  onError(listener: (reason: string) => void): void
  /** The worker has ended, whatever the cause. Left out by what cannot tell: its silence is taken for its end. */
  onExit?(listener: (reason: string) => void): void
}
export type Spawn = (source: string) => Promise<WorkerLike>

/** Milliseconds in which a thread has to start. */
const startsWithin = 20_000

export const spawnHere: Spawn = (text) =>
  typeof process !== "undefined" && process.versions?.node !== undefined ? spawnInNode(text) : spawnInPage(text)

const spawnInNode: Spawn = async (text) => {
  const name = "node:worker_threads" // Not a literal in the import: bundlers for pages would look for it.
  const { Worker: NodeWorker } = (await import(name)) as typeof import("node:worker_threads")
  const port = `const { parentPort: p } = require("node:worker_threads")
    const port = { postMessage: (m) => p.postMessage(m), onMessage: (f) => p.on("message", f) }`
  // Without the process's own flags: its loaders are not needed, and with --input-type=module the text would not be a script.
  const worker = new NodeWorker(`${port}\n${text}`, { eval: true, execArgv: [] })
  const failed = createSignal()
  const ended = createSignal()
  worker.on("error", (error) => failed.give(String(error)))
  worker.on("exit", (code) => ended.give(`its thread ended with code ${code}`))
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once("online", resolve)
      const refuse = (reason: string) =>
        reject(new WeftError("wasm/worker-failed", `a worker did not start: ${reason}`))
      failed.listen(refuse)
      ended.listen(refuse)
      timer = setTimeout(refuse, startsWithin, "its thread does not start")
    })
  } catch (error) {
    worker.terminate()
    throw error
  } finally {
    clearTimeout(timer)
  }
  worker.unref()
  return {
    postMessage: (m) => worker.postMessage(m),
    terminate: () => worker.terminate(),
    onMessage: (f) => {
      worker.on("message", f)
      worker.unref()
    },
    onError: failed.listen,
    onExit: ended.listen,
  }
}

const spawnInPage: Spawn = async (text) => {
  const port = `const port = { postMessage: (m) => self.postMessage(m), onMessage: (f) => { self.onmessage = (e) => f(e.data) } }`
  const url = URL.createObjectURL(new Blob([`${port}\n${text}`], { type: "text/javascript" }))
  const worker = new Worker(url)
  return {
    postMessage: (m) => worker.postMessage(m),
    terminate: () => {
      worker.terminate()
      URL.revokeObjectURL(url)
    },
    onMessage: (f) => {
      worker.onmessage = (event) => f(event.data)
    },
    onError: (f) => {
      worker.onerror = (event) => f(event.message)
    },
    // A page does not tell; its workers may take long to start.
    onExit: () => {},
  }
}

/** Something that happens once, told to those who listen before and after. */
function createSignal() {
  const listeners: ((reason: string) => void)[] = []
  let given: string | undefined
  return {
    give(reason: string): void {
      if (given !== undefined) return
      given = reason
      for (const f of listeners) f(reason)
    },
    listen(f: (reason: string) => void): void {
      if (given !== undefined) f(given)
      else listeners.push(f)
    },
  }
}
