/**
 * Random data for an artifact's weights, states and inputs: the same for the same seed, of the size that models have, and indices that stay
 * inside of what they index.
 *
 *   embed[tokens[seq], dim]   with embed: [4096, 256]   →   tokens below 4096
 */
import { memoryOf, toBytes } from "../../compiler/interpret/memory.js"
import { walk } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { StorageName } from "../../runtime/artifact.js"

/** Numbers in 0 … 1. */
export type Random = () => number

/** xorshift: enough for data that is only to be measured with. */
export function createRandom(seed: number): Random {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Bytes of `count` elements: floats in −½ … ½, integers below `limit`. */
export function randomBytes(storage: StorageName, count: number, limit: number, random: Random): Uint8Array {
  const float = storage === "f32" || storage === "bf16" || storage === "f16"
  const most = storage === "bool" ? 2 : limit
  return toBytes(
    memoryOf(
      storage,
      Float64Array.from({ length: count }, () => (float ? random() - 0.5 : Math.floor(random() * most))),
    ),
  )
}

/** How many members the values of a buffer of integers choose among: the least extent that they index, 2 where they index nothing. */
export function indexLimit(kernels: readonly (readonly [kernel: Kernel, buffer: string])[]): number {
  let least = Number.POSITIVE_INFINITY
  for (const [kernel, buffer] of kernels) {
    const shapes = new Map(kernel.buffers.map((b) => [b.name, b.shape]))
    for (const item of kernel.items)
      for (const root of item.kind === "store" ? [item.value, ...item.index] : [item.value])
        walk(root, (x) => {
          if (x.kind !== "load") return
          for (const [d, index] of x.index.entries())
            walk(index, (i) => {
              if (i.kind === "load" && i.buffer === buffer) least = Math.min(least, shapes.get(x.buffer)![d]!)
            })
        })
  }
  return Number.isFinite(least) ? least : 2
}
