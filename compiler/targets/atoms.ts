/**
 * Whether a target has the matrix units that a kernel asks for, and what is left of asynchronous copies where they are ordinary ones.
 *
 *   copy tile[o : 8] = x[p : 8] if row < rows   →   if row < rows { tile[o : 8] = x[p : 8] } else { tile[o : 8] = 0 }
 *   commit copies; wait copies but 1            →   nothing
 */
import { WeftError } from "../../runtime/errors.js"
import { fetch, literal, splat } from "../ir/expression.js"
import { atoms } from "../ir/fragments/atoms.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { everyStatement, withBodies } from "../ir/loop-visit.js"
import type { DType } from "../ir/operations.js"

/** Throws where a kernel multiplies by what the target does not print. @throws WeftError */
export function checkAtoms(kernel: LoopKernel, target: string, printed: (atom: string) => boolean): void {
  for (const s of everyStatement(kernel.body)) {
    const name = "atom" in s ? s.atom : s.kind === "alloc" ? s.layout?.atom : undefined
    if (name === undefined || (atoms.has(name) && printed(name))) continue
    throw new WeftError(
      "atom/unknown",
      `kernel '${kernel.name}' multiplies by ${name}, which ${target} does not have`,
      {
        hint: "a schedule without this atom runs everywhere",
      },
    )
  }
}

/** Throws where a kernel copies boxes for a target without a copy engine. @throws WeftError */
export function checkNoBoxes(kernel: LoopKernel, target: string): void {
  if (everyStatement(kernel.body).some((s) => s.kind === "copyBoxes"))
    throw new WeftError("atom/unknown", `kernel '${kernel.name}' copies boxes, which ${target} does not`, {
      hint: "a schedule whose operands all lanes copy runs everywhere",
    })
}

/** The kernel with ordinary loads and stores in place of asynchronous copies: whoever waits finds them done. */
export function withPlainCopies(kernel: LoopKernel): LoopKernel {
  const all = everyStatement(kernel.body)
  if (!all.some((s) => s.kind === "copy" || s.kind === "commit" || s.kind === "wait")) return kernel
  const types = new Map<string, DType>(kernel.buffers.map((b) => [b.name, b.dtype]))
  const visit = (body: readonly Statement[]): readonly Statement[] =>
    body.flatMap((s): readonly Statement[] => {
      if (s.kind === "commit" || s.kind === "wait") return []
      return s.kind === "copy" ? [plainCopy(s, types.get(s.from.array)!)] : [withBodies(s, visit)]
    })
  return { ...kernel, body: visit(kernel.body) }
}

/** An ordinary load and store in place of a copy of elements of a type. */
export function plainCopy({ to, from, width, valid }: Statement & { kind: "copy" }, dtype: DType): Statement {
  const given = { kind: "store", ...to, value: fetch(from.array, from.offset, dtype, width) } as const
  if (valid === undefined) return given
  const nothing = { kind: "store", ...to, value: splat(literal(0, dtype), width) } as const
  return { kind: "if", condition: valid, body: [given], otherwise: [nothing] }
}
