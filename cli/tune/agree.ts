/**
 * Whether two schedules of one kernel stored the same: floats up to the order of their sums, everything else bit for bit.
 *
 *   |a − b| ≤ 1e-4 · (|a| + the root mean square of the buffer)      f32
 *                2^-6 there                                           bf16 and f16, which round what they store
 *
 * What is not a number has to be so in both, as in the parts of a buffer that the kernel does not write.
 */
import { fromBytes } from "../../compiler/interpret/memory.js"
import type { KernelBuffer } from "../../compiler/ir/kernel.js"

/** What is wrong with `found`, undefined when it agrees. */
export function disagreement(buffer: KernelBuffer, expected: Uint8Array, found: Uint8Array): string | undefined {
  const [a, b] = [fromBytes(buffer.storage, expected).values, fromBytes(buffer.storage, found).values]
  const float = buffer.storage === "f32" || buffer.storage === "bf16" || buffer.storage === "f16"
  let squares = 0
  let counted = 0
  // The identities of max and min are no part of the scale.
  for (const x of a)
    if (Math.abs(x) < 1e30) {
      squares += x * x
      counted++
    }
  const scale = Math.sqrt(squares / Math.max(1, counted))
  const tolerance = buffer.storage === "f32" ? 1e-4 : 2 ** -6
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!]
    if (Object.is(x, y) || (Number.isNaN(x) && Number.isNaN(y))) continue
    if (float && Number.isFinite(x) && Math.abs(x - y) <= tolerance * (Math.abs(x) + scale)) continue
    return `${buffer.name}[${i}] is ${y}, the heuristic schedule stores ${x}`
  }
  return undefined
}
