/**
 * Which loops the compiler of CUDA is told to unroll: those that go through arrays in registers, for an array stays there only where each of its
 * indices is known. What it does with all others is its own choice.
 *
 *   for run < 6 { …; level[free · 8] = sum }   →   #pragma unroll
 */
import { isLiteral } from "../../ir/expression.js"
import type { LoopKernel, Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import { nodesOf } from "../../ir/query.js"

/** Statements that a loop may become, so that they are compiled in time and their values fit. Not measured. */
const most = 256

export function isUnrolled(s: Statement & { kind: "for" }, registers: ReadonlySet<string>): boolean {
  if (s.bind !== "serial" || !isLiteral(s.extent)) return false
  const inside = everyStatement(s.body)
  if (s.extent.value * inside.length > most) return false
  return inside.some(
    (x) =>
      (x.kind === "store" && registers.has(x.array) && !isLiteral(x.offset)) ||
      nodesOf(expressionsOf(x), "fetch").some((f) => registers.has(f.array) && !isLiteral(f.offset)),
  )
}

/** Statements that unrolled loops are printed as, in kernels of fragments; longer ones stay loops, for compilers take long over much text. Not measured. */
export const straight = 4

/** How many statements a loop becomes where it and those inside of it are unrolled. */
export function statementsOf(s: Statement): number {
  const inside = (body: readonly Statement[]): number => body.reduce((sum, x) => sum + statementsOf(x), 0)
  if (s.kind === "if") return 1 + inside(s.body) + inside(s.otherwise)
  if (s.kind === "block") return inside(s.body)
  if (s.kind !== "for") return 1
  return inside(s.body) * (s.bind === "unroll" && isLiteral(s.extent) ? s.extent.value : 1)
}

/** Whether a kernel has what the compiler of CUDA unrolls itself: matrix units and asynchronous copies. */
export const hasFragments = (kernel: LoopKernel): boolean =>
  everyStatement(kernel.body).some((s) => s.kind === "multiply" || s.kind === "fill" || s.kind === "copy")
