/**
 * The products of an online fold: of a staged operand, or of fragments that hold its terms, with a staged one.
 *
 *   S = q · k   →   S = q0 · k0;  for step { S += q · k }          fresh: what was there before is not added
 *   O += P · v  →   for step { O += P · v }                        P is in registers
 */
import { add, literal, mul, variable } from "../../ir/expression.js"
import { fragmentSize } from "../../ir/fragments/atoms.js"
import type { Place, Statement, Tile } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { Lowerer, Scope } from "../lowerer.js"
import type { Groups } from "./registers.js"
import { fragmentsOf, termsOf, tilesOf } from "./ring.js"
import type { StagedOperand } from "./staged.js"

interface OnlineProduct {
  readonly groups: Groups
  readonly result: string
  readonly left: StagedOperand | readonly string[]
  /** What is staged, and the stage. */
  readonly right: readonly [StagedOperand, Expression]
  readonly fresh?: true
}

/** Adds a product to fragments, or makes them that. */
export function emitProduct(of: OnlineProduct, scope: Scope, lowerer: Lowerer): void {
  const { groups, right, fresh } = of
  const all = right[0].chunk / groups.atom.k
  const step = lowerer.fresh("step")
  const steps = (extent: number, at: Expression) => {
    const body: Statement[] = []
    emitStep(of, at, false, { ...scope, out: body }, lowerer)
    scope.out.push({ kind: "for", variable: step, extent: literal(extent), bind: "unroll", body })
  }
  if (fresh === undefined) {
    steps(all, variable(step))
    return
  }
  emitStep(of, literal(0), true, scope, lowerer)
  if (all > 1) steps(all - 1, add(variable(step), literal(1)))
}

/** As many elements as the atom folds. */
function emitStep(
  { groups, result, left, right: [right, slot] }: OnlineProduct,
  step: Expression,
  isFirst: boolean,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { atom, down, across } = groups
  const first = mul(step, literal(atom.k))
  const [i, j] = [lowerer.fresh("down"), lowerer.fresh("across")]
  const staged = (operand: "a" | "b", x: StagedOperand, slot: Expression): readonly (Place | Tile)[] => {
    const number = variable(operand === "a" ? i : j)
    if (atom[operand].places.includes("shared")) return tilesOf({ groups }, operand, x, slot, first, number)
    const size = literal(fragmentSize(atom, operand))
    return fragmentsOf({ groups }, operand, x, slot, first, scope.out, lowerer).map((array) => ({
      array,
      offset: mul(number, size),
    }))
  }
  const held = (array: string): Place => {
    const size = fragmentSize(atom, "a")
    const row = mul(variable(i), literal((right.chunk / atom.k) * size))
    return { array, offset: add(row, mul(step, literal(size))) }
  }
  const a = isStaged(left) ? staged("a", left, literal(0)) : left.map(held)
  const b = staged("b", right, slot)
  const number = add(mul(variable(i), literal(across)), variable(j))
  const c = { array: result, offset: mul(number, literal(fragmentSize(atom, "c"))) }
  const multiplies = termsOf(a, b).map(([a, b], n): Statement => {
    const fresh = isFirst && n === 0 ? ({ fresh: true } as const) : {}
    return { kind: "multiply", atom: atom.name, ...fresh, c, a, b }
  })
  const columns: Statement = { kind: "for", variable: j, extent: literal(across), bind: "unroll", body: multiplies }
  scope.out.push({ kind: "for", variable: i, extent: literal(down), bind: "unroll", body: [columns] })
}

const isStaged = (x: StagedOperand | readonly string[]): x is StagedOperand => !Array.isArray(x)
