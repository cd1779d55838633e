/**
 * Operations between numbers that are known when a program is compiled: literals and captured constants.
 *
 *   x * (1 / 3 + eps)     → 1 / 3 + eps is one number, computed in float64, and rounded once where it meets x
 */
import type { ScalarOperation } from "../../dsl/attach.js"

/** The number or truth value, as TypeScript computes it; undefined for what has a type of its own. */
export function folded(operation: ScalarOperation, numbers: readonly number[]): number | boolean | undefined {
  const [a, b] = numbers as [number, number]
  switch (operation) {
    case "+":
      return a + b
    case "-":
      return a - b
    case "*":
      return a * b
    case "/":
      return a / b
    case "%":
      return a % b
    case "negate":
      return -a
    case "<":
      return a < b
    case "<=":
      return a <= b
    case ">":
      return a > b
    case ">=":
      return a >= b
    case "===":
      return a === b
    case "!==":
      return a !== b
    case "&":
      return a & b
    case "|":
      return a | b
    case "^":
      return a ^ b
    case "~":
      return ~a
    case "<<":
      return a << b
    case ">>":
      return a >> b
    case ">>>":
      return a >>> b
    case "isNaN":
      return Number.isNaN(a)
    case "isFinite":
      return Number.isFinite(a)
    case "isInteger":
      return Number.isInteger(a)
    case "pow":
      return a ** b
    case "select":
    case "&&":
    case "||":
    case "!":
    case "bits":
    case "fromBits":
    case "toF32":
    case "toI32":
    case "toU32":
      return undefined
    default:
      return (Math[operation] as (...x: number[]) => number)(...numbers)
  }
}
