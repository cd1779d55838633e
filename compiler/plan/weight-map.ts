/**
 * Where the elements of a weight go: tensors of the checkpoint, one after the other, over the buffers of the plan.
 *
 *   stack of tensors e0 e1 e2, two rows a part     →   e0 → part 0 byte 0, e1 → part 0 byte n, e2 → part 1 byte 0
 *   table [5, k], two rows a part                  →   table bytes 0 … 4k → part 0, 4k … 8k → part 1, 8k … 10k → part 2
 *   q4_0 [out, k]                                  →   its bytes of codes → one buffer, its bytes of scales → another
 */
import type { ArtifactBuffer, ArtifactWeight } from "../../runtime/artifact.js"
import { planeLayout } from "../../runtime/weights/formats/layout.js"
import { storageBytes } from "../ir/loop.js"
import { planesOf } from "../ir/tensor/planes.js"
import type { Input } from "../ir/tensor.js"
import type { TracedWeight } from "../trace/programs.js"

/** The uploads of a weight, or of the planes of one that is stored in a format; none when no kernel reads it. */
export function weightMap(
  { input, spec }: TracedWeight,
  plan: { readonly buffers: readonly ArtifactBuffer[]; readonly weights: ReadonlyMap<string, readonly number[]> },
): readonly ArtifactWeight[] {
  const shape = spec.dimensions.map((d) => d.reduce((n, a) => n * a.extent, 1))
  return piecesOf(input, shape).flatMap(({ name, storage, format, begin, bytes }) => {
    let start = 0
    return (plan.weights.get(name) ?? []).flatMap((buffer) => {
      const [first, end] = [start, start + plan.buffers[buffer]!.shape.reduce((n, s) => n * s, storageBytes(storage))]
      start = end
      return spec.tensors.flatMap((tensor, i) => {
        const from = Math.max(first, i * bytes)
        const until = Math.min(end, (i + 1) * bytes)
        if (from >= until && bytes > 0) return []
        const isWhole = format === undefined && until - from === bytes
        const part = { begin: begin + from - i * bytes, end: begin + until - i * bytes }
        const of = format === undefined ? {} : { format }
        return [{ buffer, offset: from - first, tensor, shape, storage, ...of, ...(isWhole ? {} : { part }) }]
      })
    })
  })
}

/** What lies in a buffer of its own: a weight, or one plane of it. */
interface Piece {
  readonly name: string
  readonly storage: ArtifactWeight["storage"]
  readonly format?: string
  /** The bytes of a tensor that it is. */
  readonly begin: number
  readonly bytes: number
}

function piecesOf(input: Input, shape: readonly number[]): readonly Piece[] {
  const { packed, name } = input
  if (packed === undefined) {
    const storage = input.storage as ArtifactWeight["storage"]
    return [{ name, storage, begin: 0, bytes: shape.reduce((n, s) => n * s, storageBytes(storage)) }]
  }
  const { format } = packed
  const layouts = planeLayout(format, shape)
  return planesOf(input).map((plane, i) => ({
    name: plane.name,
    storage: layouts[i]!.storage,
    format: format.name,
    begin: layouts[i]!.offset,
    bytes: layouts[i]!.byteLength,
  }))
}
