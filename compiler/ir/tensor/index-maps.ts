/**
 * Where a tensor is read: index maps are integer affine with floor division and remainder by positive literals.
 *
 *   2 · row + column // 4   │   row · column is none
 */
import { freeVariables, operands, TypeProblem } from "../expression.js"
import type { Expression } from "../nodes.js"

/** @throws TypeProblem where an index is another */
export function quasiAffine(x: Expression): void {
  if (x.kind === "literal" || x.kind === "variable" || x.kind === "symbol") return
  const fine =
    x.kind === "operation" &&
    (x.operation === "add" ||
      x.operation === "sub" ||
      (x.operation === "mul" && x.args.some((a) => freeVariables(a).size === 0)) ||
      ((x.operation === "floordiv" || x.operation === "floormod") &&
        x.args[1]!.kind === "literal" &&
        x.args[1].value > 0))
  if (!fine) throw new TypeProblem("an index map must be affine, with floor division and remainder by constants")
  for (const o of operands(x)) quasiAffine(o)
}
