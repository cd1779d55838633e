/**
 * Whether an index is known not to be negative, so that `floordiv` is a plain division.
 *
 *   (i * 4 + lane) with loop variables i and lane   → true
 *   i - 1                                           → false (not known)
 *
 * Index arithmetic is taken not to overflow, as everywhere in the compiler.
 */
import type { Statement } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
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

/** The variables of a body that are assigned to and stay at least 0 if they all were before: those of loops, and numbers that go round. */
export function countersOf(body: readonly Statement[]): ReadonlySet<string> {
  const given: { readonly name: string; readonly value: Expression }[] = []
  const found = new Set<string>()
  const fixed = new Set<string>()
  for (const s of everyStatement(body)) {
    if (s.kind === "for") fixed.add(s.variable)
    if (s.kind === "assign" || (s.kind === "let" && s.mutable)) given.push(s)
    if (s.kind === "let" && s.mutable && s.value.dtype === "i32" && s.value.width === 1) found.add(s.name)
  }
  for (let before = -1; before !== found.size; ) {
    before = found.size
    const known = new Set([...fixed, ...found])
    for (const { name, value } of given) if (!isNonNegative(value, known)) found.delete(name)
  }
  return found
}
