/**
 * Which buffers of a kernel no launch writes, whatever it is launched with: weights and constants.
 *
 *   k3(b0, b1) launched as (hidden, layers.0.q) and (hidden, layers.1.q)   →   b1 is steady
 */
import type { LoopKernel } from "../ir/loop.js"
import type { Plan } from "./plan.js"

/** The loops of the kernels that a plan launches, each with what is steady marked. */
export function markSteady(
  loops: readonly LoopKernel[],
  plan: Pick<Plan, "entries" | "buffers">,
): readonly LoopKernel[] {
  const steady = loops.map((l) => l.buffers.map(() => true))
  for (const { launches } of Object.values(plan.entries))
    for (const { kernel, buffers } of launches)
      for (const [i, b] of buffers.entries()) {
        const { role } = plan.buffers[b]!
        if (role !== "weight" && role !== "constant") steady[kernel]![i] = false
      }
  return loops.map((kernel, k) => ({
    ...kernel,
    buffers: kernel.buffers.map((b, i) => (steady[k]![i] ? { ...b, steady: true } : b)),
  }))
}
