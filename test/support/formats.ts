/**
 * Checkpoints without files whose matrices are stored in formats, and the same with what they decode to: random bytes are valid weights.
 */
import { assembleCheckpoint, type Checkpoint, type StoredTensor } from "../../runtime/weights/checkpoint.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import type { Field, Format } from "../../runtime/weights/formats/format.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { memorySource } from "../../runtime/weights/source.js"

/** Marsaglia's xorshift (2003): numbers from 0 to 2^32. */
export function randomWords(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

/** The bits of scales: f16, bf16 or f32 between a quarter and a half of `around`, which is a power of two. */
function scaleBits(field: Field, around: number, word: number): readonly [bits: number, bytes: 2 | 4] {
  const exponent = Math.log2(around) - 2
  if (field === "f16") return [((exponent + 15) << 10) | (word & 0x3ff), 2]
  if (field === "bf16") return [((exponent + 127) << 7) | (word & 0x7f), 2]
  return [((exponent + 127) << 23) | (word & 0x7fffff), 4]
}

/** Random canonical bytes of weights that are about `1 / sqrt(columns)` large. */
export function randomBytes(format: Format, shape: readonly number[], next: () => number): Uint8Array {
  const bytes = new Uint8Array(formatBytes(format, shape))
  const view = new DataView(bytes.buffer)
  const groups = format.planes.find(({ shared }) => shared)
  for (const { plane, offset, byteLength, storage, fields } of planeLayout(format, shape)) {
    if (storage === "u32") {
      for (let at = 0; at < byteLength; at += 4) {
        const word = next()
        // No NaN among floats, and groups that are there.
        const safe = plane.field === "e4m3" ? word & 0xbfbfbfbf : plane === groups ? 0 : word
        view.setUint32(offset + at, safe >>> 0, true)
      }
      if (plane === groups) {
        const [count] = planeLayout(format, shape).filter((l) => l.plane.by !== undefined)
        for (let f = 0; f < fields; f++) view.setUint16(offset + 2 * f, next() % count!.fields, true)
      }
      continue
    }
    const around = 2 ** Math.round(Math.log2(weightOf(format) / Math.sqrt(shape.at(-1)!)))
    for (let at = 0; at < byteLength; ) {
      const [bits, size] = scaleBits(plane.field, around, next())
      if (size === 2) view.setUint16(offset + at, bits, true)
      else view.setUint32(offset + at, bits, true)
      at += size
    }
  }
  return bytes
}

/** What a scale is for weights of about 1: one over a typical code, times what scales it. */
function weightOf({ name }: Format): number {
  if (/^q[45]_k/.test(name)) return 1 / 128
  if (name === "q6_k" || name === "iq4_xs") return 1 / 512
  return /^(q8|int8|iq4)/.test(name) ? 1 / 32 : /^fp8/.test(name) ? 2 : 1 / 4
}

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
export function randomWeight(name: string, shape: readonly number[], format: string, next: () => number) {
  const of = formatNamed(format)!
  const bytes = randomBytes(of, shape, next)
  const values = decodeTensor(of, shape, bytes)
  return {
    stored: { name, shape, dtype: of.name, bytes },
    plain: { name, shape, dtype: "F32" as const, bytes: new Uint8Array(values.buffer) },
  }
}
