/**
 * Where the elements of a weight go: tensors of the checkpoint, one after the other, over the buffers of the plan.
 *
 *   stack of tensors e0 e1 e2, two rows a part     →   e0 → part 0 byte 0, e1 → part 0 byte n, e2 → part 1 byte 0
 *   table [5, k], two rows a part                  →   table bytes 0 … 4k → part 0, 4k … 8k → part 1, 8k … 10k → part 2
 */
import type { ArtifactBuffer, ArtifactWeight } from "../../runtime/artifact.js"
import { storageBytes } from "../ir/loop.js"
import type { TracedWeight } from "../trace/programs.js"

/** The uploads of a weight; none when no kernel reads it. */
export function weightMap(
  { input, spec }: TracedWeight,
  plan: { readonly buffers: readonly ArtifactBuffer[]; readonly weights: ReadonlyMap<string, readonly number[]> },
): readonly ArtifactWeight[] {
  const shape = spec.dimensions.map((d) => d.reduce((n, a) => n * a.extent, 1))
  const storage = input.storage as ArtifactWeight["storage"]
  const tensorBytes = shape.reduce((n, s) => n * s, 1) * storageBytes(storage)
  let start = 0
  return (plan.weights.get(input.name) ?? []).flatMap((buffer) => {
    const bytes = plan.buffers[buffer]!.shape.reduce((n, s) => n * s, 1) * storageBytes(storage)
    const [first, end] = [start, start + bytes]
    start = end
    return spec.tensors.flatMap((tensor, i) => {
      const begin = Math.max(first, i * tensorBytes)
      const until = Math.min(end, (i + 1) * tensorBytes)
      if (begin >= until && tensorBytes > 0) return []
      const whole = until - begin === tensorBytes
      const part = whole ? {} : { part: { begin: begin - i * tensorBytes, end: until - i * tensorBytes } }
      return [{ buffer, offset: begin - first, tensor, shape, storage, ...part }]
    })
  })
}
