/**
 * The types of GGUF's tensors that Weft reads, by their numbers in a file. Source: `ggml_type` of llama.cpp's ggml.h.
 *
 *     0   F32    elements of 4 bytes
 *     30  BF16   elements of 2 bytes
 */
import type { StoredType } from "../dtypes.js"

export interface BlockType {
  /** As llama.cpp writes it. */
  readonly name: string
  /** As what the tensor is known to the rest of the runtime. */
  readonly dtype: StoredType
  /** Elements that stand or fall together, and their bytes. */
  readonly block: number
  readonly bytes: number
}

const plain = (dtype: StoredType, bytes: number): BlockType => ({ name: dtype, dtype, block: 1, bytes })

export const blockTypes: ReadonlyMap<number, BlockType> = new Map([
  [0, plain("F32", 4)],
  [1, plain("F16", 2)],
  [28, plain("F64", 8)],
  [30, plain("BF16", 2)],
])
