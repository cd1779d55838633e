/**
 * Encoders side by side: as many threads as the processor has, where the package is built; run from the sources, as the tests do, the one thread that is
 * there. Either way the bytes are the same.
 */
import { existsSync } from "node:fs"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { type Encoded, encode } from "./encode.js"
import type { FileType } from "./types.js"
import type { Task } from "./worker.js"

export interface Encoders {
  /** So many may be under way. */
  readonly count: number
  /** Takes `weights` away. */
  encode(type: FileType, weights: Float32Array<ArrayBuffer>): Promise<Encoded>
  close(): Promise<void>
}

/** More would wait for the disk. */
const mostThreads = 32

/** @param tasks that there will be, more or less */
export function createEncoders(tasks: number): Encoders {
  const file = new URL("./quantize-worker.js", import.meta.url)
  const count = Math.min(mostThreads, availableParallelism(), tasks)
  if (count < 2 || !existsSync(fileURLToPath(file)))
    return { count: 1, encode: async (type, weights) => encode(type, weights), close: async () => {} }
  const workers = Array.from({ length: count }, () => new Worker(file))
  const idle = [...workers]
  return {
    count,
    async encode(type, weights) {
      const worker = idle.pop()!
      const encoded = await ask(worker, { type, weights })
      idle.push(worker)
      return encoded
    },
    close: async () => void (await Promise.all(workers.map((worker) => worker.terminate()))),
  }
}

function ask(worker: Worker, task: Task): Promise<Encoded> {
  return new Promise((resolve, reject) => {
    const done = (encoded: Encoded) => {
      worker.off("error", reject)
      resolve(encoded)
    }
    worker.once("message", done)
    worker.once("error", reject)
    worker.postMessage(task, [task.weights.buffer])
  })
}
