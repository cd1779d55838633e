/** Encodes what it is sent, in a thread of its own: an entry of the build. */
import { parentPort } from "node:worker_threads"
import { encode } from "./encode.js"
import type { FileType } from "./types.js"

export interface Task {
  readonly type: FileType
  readonly weights: Float32Array<ArrayBuffer>
}

parentPort!.on("message", ({ type, weights }: Task) => {
  const encoded = encode(type, weights)
  parentPort!.postMessage(encoded, [encoded.bytes.buffer])
})
