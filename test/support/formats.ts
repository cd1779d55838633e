/**
 * Checkpoints without files whose matrices are stored in formats, and the same with what they decode to: random bytes are valid weights.
 */
import { randomPlanes } from "../../cli/bench/random-formats.js"
import { assembleCheckpoint, type Checkpoint, type StoredTensor } from "../../runtime/weights/checkpoint.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { memorySource } from "../../runtime/weights/source.js"

export interface StoredWeight {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: StoredTensor["dtype"]
  readonly bytes: Uint8Array
}

/** A checkpoint in memory. */
export function checkpointOf(config: Readonly<Record<string, unknown>>, weights: readonly StoredWeight[]): Checkpoint {
  const sources = new Map(weights.map((w) => [w.name, memorySource(w.name, w.bytes)]))
  const tensors = new Map(
    weights.map(({ name, shape, dtype, bytes }): [string, StoredTensor] => [
      name,
      { name, shape, dtype, file: name, begin: 0, end: bytes.length, byteLength: bytes.length },
    ]),
  )
  const folder = "memory"
  return assembleCheckpoint({
    folder,
    config,
    generationConfig: undefined,
    tensors,
    sources,
    readText: async () => undefined,
  })
}

/** A weight in random bytes of a format, and the same decoded. */
export function randomWeight(name: string, shape: readonly number[], format: string, seed: number) {
  const of = formatNamed(format)!
  const bytes = randomPlanes(of, shape, seed)(0, new Uint8Array(formatBytes(of, shape)))
  const values = decodeTensor(of, shape, bytes)
  return {
    stored: { name, shape, dtype: of.name, bytes },
    plain: { name, shape, dtype: "F32" as const, bytes: new Uint8Array(values.buffer) },
  }
}
