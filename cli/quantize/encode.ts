/** Weights in a type of a file. */
import { halfBits } from "../../runtime/weights/half.js"
import { quantizers } from "../../runtime/weights/quantize/quantizers.js"
import { type FileType, typeBytes } from "./types.js"

export interface Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Squares of what the weights are off by, all together; it is no finite number where some are too large for the type. */
  readonly error: number
  /** Squares of the weights; they are no finite number where a weight is none. */
  readonly energy: number
  /** The first weight that is no finite number. */
  readonly wrong: number | undefined
}

/** @param weights whole rows */
export function encode(type: FileType, weights: Float32Array): Encoded {
  let energy = 0
  for (const x of weights) energy += x * x
  const wrong = Number.isFinite(energy) ? undefined : weights.find((x) => !Number.isFinite(x))
  const bytes = new Uint8Array(typeBytes(type, weights.length))
  let error = 0
  if (type === "F32") bytes.set(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
  else if (type === "BF16") {
    const words = new Uint32Array(weights.buffer, weights.byteOffset, weights.length)
    new Uint16Array(bytes.buffer).set(words.map((word) => word >>> 16))
  } else if (type === "F16") {
    const halves = new Uint16Array(bytes.buffer)
    for (let i = 0; i < halves.length; i++) halves[i] = halfBits(weights[i]!)
  } else error = quantizers[type].quantize(weights, bytes)
  return { bytes, error, energy, wrong }
}
