/**
 * Which loops the compiler of CUDA is told to unroll: those that go through arrays in registers, for an array stays there only where each of its
 * indices is known. What it does with all others is its own choice.
 *
 *   for run < 6 { …; level[free · 8] = sum }   →   #pragma unroll
 */
import { isLiteral } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
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
