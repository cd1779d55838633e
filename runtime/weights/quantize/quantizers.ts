/** The formats that Weft writes, by their names. */
import { blockTypes } from "../formats/repack.js"
import { quantizeQ4K } from "./q4_k.js"
import { quantizeQ6K } from "./q6_k.js"
import { quantizeQ8_0 } from "./q8_0.js"
import type { Quantize } from "./quantizer.js"

export interface Quantizer {
  readonly quantize: Quantize
  /** Weights of a block, and its bytes in a file. */
  readonly block: number
  readonly bytes: number
}

const quantizer = ({ format, bytes }: (typeof blockTypes)[keyof typeof blockTypes], quantize: Quantize): Quantizer => ({
  quantize,
  block: format.block,
  bytes,
})

export const quantizers = {
  q8_0: quantizer(blockTypes.Q8_0, quantizeQ8_0),
  q6_k: quantizer(blockTypes.Q6_K, quantizeQ6K),
  q4_k: quantizer(blockTypes.Q4_K, quantizeQ4K),
} as const satisfies Readonly<Record<string, Quantizer>>

export type QuantizedName = keyof typeof quantizers
