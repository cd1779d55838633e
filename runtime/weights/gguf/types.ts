/**
 * The types of GGUF's tensors, by their numbers in a file. Source: `ggml_type` of llama.cpp's ggml.h.
 *
 *     30  BF16   elements of 2 bytes, read as they are
 *     12  Q4_K   blocks of 256 weights in 144 bytes, read as the planes of q4_k
 *     10  Q2_K   known by name, and not read
 */
import { bytesPerElement, type StoredType } from "../dtypes.js"
import { type BlockType, blockTypes } from "../formats/repack.js"

export interface GgufType {
  /** As llama.cpp writes it. */
  readonly name: string
  /** Elements that stand or fall together, and their bytes. */
  readonly block: number
  readonly bytes: number
  /** Elements as safetensors has them, or blocks. */
  readonly stored: StoredType | BlockType
}

const plain = (name: StoredType): GgufType => ({ name, block: 1, bytes: bytesPerElement(name), stored: name })
const blocks = (name: keyof typeof blockTypes): GgufType => {
  const stored = blockTypes[name]
  return { name, block: stored.format.block, bytes: stored.bytes, stored }
}

/** The types that are read. */
export const ggufTypes: ReadonlyMap<number, GgufType> = new Map([
  [0, plain("F32")],
  [1, plain("F16")],
  [2, blocks("Q4_0")],
  [3, blocks("Q4_1")],
  [6, blocks("Q5_0")],
  [7, blocks("Q5_1")],
  [8, blocks("Q8_0")],
  [12, blocks("Q4_K")],
  [13, blocks("Q5_K")],
  [14, blocks("Q6_K")],
  [20, blocks("IQ4_NL")],
  [23, blocks("IQ4_XS")],
  [28, plain("F64")],
  [30, plain("BF16")],
])

const unread: Readonly<Record<number, string>> = {
  9: "Q8_1",
  10: "Q2_K",
  11: "Q3_K",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  21: "IQ3_S",
  22: "IQ2_S",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
  40: "NVFP4",
}

/** What a type that is not read is called. */
export const unreadType = (type: number): string => unread[type] ?? `number ${type}`
