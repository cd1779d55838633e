/**
 * The largest power of two that an index is known to be a multiple of.
 *
 *   64·row + 16·(lane / 8)   →   16
 *   half where let half = (lane / 64)·64   →   64
 */
import { isLiteral } from "../../ir/expression.js"
import type { Expression } from "../../ir/nodes.js"

/** Beyond it nobody asks. */
const most = 2 ** 20

/** `definitions` are what names stand for that nothing is assigned to. */
export function factorOf(x: Expression, definitions: ReadonlyMap<string, Expression>): number {
  const of = (e: Expression) => factorOf(e, definitions)
  if (isLiteral(x)) return lowest(x.value)
  if (x.kind === "variable") {
    const known = definitions.get(x.name)
    return known === undefined ? 1 : of(known)
  }
  if (x.kind !== "operation") return 1
  const [a, b] = x.args as readonly [Expression, Expression]
  switch (x.operation) {
    case "add":
    case "sub":
    case "min":
    case "max":
    case "floormod":
      return Math.min(of(a), of(b))
    case "neg":
      return of(a)
    case "mul":
      return Math.min(most, of(a) * of(b))
    case "select":
      return Math.min(of(b), of(x.args[2]!))
    case "floordiv":
      return isLiteral(b) && b.value === lowest(b.value) ? Math.max(1, of(a) / b.value) : 1
    default:
      return 1
  }
}

/** The lowest bit of a number. */
const lowest = (value: number): number => (value === 0 ? most : Math.min(most, value & -value))
