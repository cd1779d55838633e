/**
 * What GPUs under CUDA allow of a kernel, and the check of one against it.
 *
 *   checkCuda(kernel, 232448 bytes)
 *   → { code: "cuda/shared-bytes", message: "kernel 'scores' needs 262144 bytes of shared memory; a block has 232448" }
 */
import { fault, type WeftError } from "../../../runtime/errors.js"
import type { LoopKernel } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"

/** Threads of a block, on every GPU. */
export const mostThreads = 1024
/** Lanes that exchange values, on every GPU. */
export const warp = 32
/** Pointers that a kernel takes: its parameters have 4,096 bytes on every GPU, and the last one is the symbols'. */
const mostBindings = 511

/** A schedule beyond these is a mistake of the compiler: the machine says the same. */
export function checkCuda(kernel: LoopKernel, sharedBytes: number, most: number): WeftError | undefined {
  const refuse = (what: string) => fault(`kernel '${kernel.name}' ${what}`)
  if (kernel.threads > mostThreads) return refuse(`has ${kernel.threads} threads; a block has ${mostThreads}`)
  if (kernel.buffers.length > mostBindings) return refuse(`binds ${kernel.buffers.length} buffers`)
  if (sharedBytes > most) return refuse(`needs ${sharedBytes} bytes of shared memory; a block has ${most}`)
  for (const s of everyStatement(kernel.body))
    if (s.kind === "shuffle" && s.mask >= warp) return refuse(`exchanges over mask ${s.mask}; a warp has ${warp} lanes`)
  return undefined
}
