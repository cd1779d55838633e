/**
 * Whether an index is known not to be negative, so that `floordiv` is a plain division.
 *
 *   (i * 4 + lane) with loop variables i and lane   → true
 *   i - 1                                           → false (not known)
 *
 * Index arithmetic is taken not to overflow, as everywhere in the compiler.
 */
import type { Expression } from "../../ir/nodes.js"

export function isNonNegative(x: Expression, variables: ReadonlySet<string>): boolean {
  const known = (e: Expression) => isNonNegative(e, variables)
  switch (x.kind) {
    case "literal":
      return x.value >= 0
    case "symbol":
      return true
    case "variable":
      return variables.has(x.name)
    case "splat":
    case "ramp":
    case "lane":
      return known(x.of)
    case "vector":
      return x.args.every(known)
    case "operation":
      break
    default:
      return false
  }
  if (x.dtype === "u32" || x.dtype === "bool") return true
  switch (x.operation) {
    case "add":
    case "mul":
    case "div":
    case "rem":
    case "floordiv":
    case "min":
      return x.args.every(known)
    case "max":
    case "bitand":
      return x.args.some(known)
    case "floormod":
      return true
    case "shr":
      return known(x.args[0]!)
    case "select":
      return known(x.args[1]!) && known(x.args[2]!)
    case "toI32":
      return x.args[0]!.dtype === "bool"
    default:
      return false
  }
}
