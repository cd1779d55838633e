/**
 * The tensors of a GGUF file and the weights of a checkpoint that they are made of, and rows of these as float32.
 *
 *     model.layers.0.mlp.experts.0.up_proj.weight, …1…, …   →   blk.0.ffn_up_exps.weight [experts, hidden, embed]
 *     model.layers.0.self_attn.q_proj.weight                →   blk.0.attn_q.weight, in files of Llama with the halves of each head in turns
 */
import { fault, printable, WeftError } from "../../runtime/errors.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { bytesPerElement, isPlainType, toFloat32 } from "../../runtime/weights/dtypes.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { fileName, isInterleaved } from "../../runtime/weights/gguf/file-names.js"
import type { WeightTensor } from "../../runtime/weights/parameters.js"

export interface FileTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** One behind the other, along the first dimension where they are several. */
  readonly parts: readonly WeightTensor[]
  /** Rows of a head, of which those of the first half and of the second lie in turns. */
  readonly head: number | undefined
}

/**
 * The tensors of a file in the order of the model's weights.
 *
 * @param weights by the names that the model has for them
 * @throws WeftError `quantize/config` for a weight that GGUF has no name for
 */
export function fileTensors(
  family: string,
  architecture: string,
  headSize: number,
  weights: ReadonlyMap<string, WeightTensor>,
): readonly FileTensor[] {
  const found = new Map<string, WeightTensor[]>()
  const stacked = new Set<string>()
  for (const [name, tensor] of weights) {
    const there = fileName(family, name)
    if (there === undefined)
      throw new WeftError("quantize/config", `GGUF has no name for the weight ${printable(name)}`, {
        hint: "use the model's folder as it is",
      })
    const parts = found.get(there.name) ?? []
    parts[there.expert ?? 0] = tensor
    if (there.expert !== undefined) stacked.add(there.name)
    found.set(there.name, parts)
  }
  return [...found].map(([name, parts]) => {
    const [{ shape }] = parts as [WeightTensor]
    return {
      name,
      parts,
      shape: stacked.has(name) ? [parts.length, ...shape] : shape,
      head: isInterleaved(architecture, name) ? headSize : undefined,
    }
  })
}

/** Of a row: the last dimension, or what a vector has in all. */
export const columnsOf = ({ shape }: Pick<FileTensor, "shape">): number => shape.at(-1) ?? 1

/** Weights that are in hand at a time: 4 MiB of float32, which the second cache of a processor holds in part and no machine lacks. */
export const chunkWeights = 1 << 20

/**
 * The weights of a tensor as float32, by whole rows, in the order of the file.
 *
 * @param most weights at a time, or as many as have to be read together
 */
export async function* rowChunks(
  checkpoint: Pick<Checkpoint, "read">,
  { parts, head }: FileTensor,
  most = chunkWeights,
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  for (const part of parts) {
    const columns = part.shape.length > 1 ? part.shape.at(-1)! : 1
    const rows = part.shape.reduce((n, extent) => n * extent, 1) / columns
    const step = (head ?? 1) * rowsTogether(part)
    const some = Math.max(step, Math.floor(most / columns / step) * step)
    for (let first = 0; first < rows; first += some) {
      const weights = await weightRows(checkpoint, part, first, Math.min(some, rows - first), columns)
      // Made anew, each of them.
      yield (head === undefined ? weights : inTurns(weights, head, columns)) as Float32Array<ArrayBuffer>
    }
  }
}

/** Rows that share a field of a plane. */
function rowsTogether({ dtype }: WeightTensor): number {
  const planes = formatNamed(dtype)?.planes ?? []
  return planes.reduce((most, { rows }) => (rows === "all" ? most : Math.max(most, rows)), 1)
}

/** Rows of a tensor as float32, whatever it is stored in. */
async function weightRows(
  checkpoint: Pick<Checkpoint, "read">,
  tensor: WeightTensor,
  first: number,
  count: number,
  columns: number,
): Promise<Float32Array> {
  const { dtype } = tensor
  if (isPlainType(dtype)) {
    const row = columns * bytesPerElement(dtype)
    return toFloat32(dtype, await checkpoint.read(tensor, first * row, count * row))
  }
  const format = formatNamed(dtype)!
  const shape = [count, columns]
  const bytes = new Uint8Array(formatBytes(format, shape))
  const whole = planeLayout(format, tensor.shape)
  for (const [i, { offset, byteLength, plane, rows }] of planeLayout(format, shape).entries()) {
    // A plane that rows share is there as a whole; of any other, the rows of fields of these rows.
    const isShared = plane.shared === true || plane.rows === "all"
    const begin = isShared ? 0 : Math.floor(first / Number(plane.rows)) * (whole[i]!.byteLength / whole[i]!.rows)
    if (rows > 0)
      await checkpoint.read(tensor, whole[i]!.offset + begin, byteLength, bytes.subarray(offset, offset + byteLength))
  }
  return decodeTensor(format, shape, bytes)
}

/** Row j of a head's first half and row j of its second, one after the other. */
function inTurns(weights: Float32Array, head: number, columns: number): Float32Array {
  if (weights.length % (head * columns) !== 0 || head % 2 !== 0) throw fault(`rows that are no heads of ${head}`)
  const turned = new Float32Array(weights.length)
  for (let row = 0; row < weights.length / columns; row++) {
    const [base, r] = [row - (row % head), row % head]
    const to = base + 2 * (r % (head / 2)) + Math.floor(r / (head / 2))
    turned.set(weights.subarray(row * columns, (row + 1) * columns), to * columns)
  }
  return turned
}
