/**
 * Which type each tensor gets.
 *
 *     --to     matrices                                         embedding, head
 *     q8_0     q8_0                                             q8_0
 *     q6_k     q6_k                                             q8_0
 *     q4_k     q4_k                                             q6_k
 *     mixed    q4_k; values and ffn_down of some layers q6_k    q6_k
 *
 * Vectors (norms, biases) and the routers of experts stay as exact as they are, in F32. The layers of `mixed` are the first and the last eighth and every
 * third between, as in llama.cpp's Q4_K_M. Rows that are no whole number of a type's blocks of 256 are q8_0, and where they are none of 32 either, they
 * stay in the type of the checkpoint.
 */
import { ggufTypes } from "../../runtime/weights/gguf/types.js"
import { type QuantizedName, quantizers } from "../../runtime/weights/quantize/quantizers.js"
import type { Target } from "./targets.js"
import { columnsOf, type FileTensor } from "./tensors.js"

export type FileType = "F32" | "F16" | "BF16" | QuantizedName

/** The number that a type has in a file. */
export const typeNumber = (type: FileType): number =>
  [...ggufTypes].find(([, { name }]) => name === type.toUpperCase())![0]

/** What a file is as a whole (`llama_ftype`). */
export const fileTypes: Readonly<Record<Target, number>> = { q8_0: 7, q4_k: 14, mixed: 15, q6_k: 18 }

const matrices: Readonly<Record<Target, QuantizedName>> = { q8_0: "q8_0", q6_k: "q6_k", q4_k: "q4_k", mixed: "q4_k" }
const ends: Readonly<Record<Target, QuantizedName>> = { q8_0: "q8_0", q6_k: "q8_0", q4_k: "q6_k", mixed: "q6_k" }

export interface TypedTensor extends FileTensor {
  readonly type: FileType
  /** What it would be if its rows were longer. */
  readonly wanted: FileType
}

/** @param layers of the model */
export function typed(tensor: FileTensor, to: Target, layers: number): TypedTensor {
  const stored = storedType(tensor)
  if (isExact(tensor)) return { ...tensor, type: "F32", wanted: "F32" }
  const wanted = wantedType(tensor.name, to, layers)
  const fits = (name: QuantizedName) => columnsOf(tensor) % quantizers[name].block === 0
  const type = fits(wanted) ? wanted : fits("q8_0") ? "q8_0" : stored
  return { ...tensor, type, wanted }
}

/** Norms, biases, and what chooses experts or says how much of one is taken. */
const isExact = ({ name, shape }: FileTensor): boolean =>
  shape.length === 1 || /\.ffn_gate_inp(_shexp)?\.weight$/.test(name)

function wantedType(name: string, to: Target, layers: number): QuantizedName {
  const [, layer, part] = /^blk\.(\d+)\.(.*)\.weight$/.exec(name) ?? []
  if (layer === undefined) return ends[to]
  const isWider =
    to === "mixed" && /^(attn_v|ffn_down(_exps|_shexp)?)$/.test(part!) && hasMoreBits(Number(layer), layers)
  return isWider ? "q6_k" : matrices[to]
}

function hasMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8)
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2
}

/** What holds the numbers of all parts; F64 is rounded. */
function storedType({ parts }: FileTensor): "F32" | "F16" | "BF16" {
  const types = new Set(parts.map(({ dtype }) => dtype))
  const [only] = types
  if (types.size !== 1) return "F32"
  return only === "F16" ? "F16" : only === "BF16" ? "BF16" : "F32"
}

/** Bytes of so many weights, which are whole rows. */
export function typeBytes(type: FileType, weights: number): number {
  if (type === "F32") return 4 * weights
  if (type === "F16" || type === "BF16") return 2 * weights
  return (weights / quantizers[type].block) * quantizers[type].bytes
}
