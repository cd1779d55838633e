/**
 * Compilers of shaders may take for granted that there is no NaN and no infinity, and then cancel what is not equal: x − x, x / x,
 * (x + y) − x, x · 0. One operand of such an operation is hidden from them.
 */
import { isLiteral } from "../../ir/expression.js"
import type { Expression, OperationNode } from "../../ir/nodes.js"
import type { Context } from "../text/dialect.js"
import { argument } from "../text/literals.js"
import { typeText } from "./types.js"

/** The operand of `x` that a compiler could cancel with another, if one is. */
export function cancels(x: OperationNode, definitions: Context["definitions"]): number | undefined {
  if (x.dtype !== "f32" || x.args.length !== 2) return undefined
  const seen = (e: Expression) => seenThrough(e, definitions)
  const [a, b] = x.args as [Expression, Expression]
  const isZero = (e: Expression) => (e.kind === "splat" ? isZeroLiteral(e.of) : isZeroLiteral(e))
  const has = (given: Expression, term: Expression) => {
    const sum = seen(given)
    const terms = sum.kind === "operation" && (sum.operation === "add" || sum.operation === "sub") ? sum.args : []
    return terms.some((t) => seen(t) === seen(term))
  }
  switch (x.operation) {
    case "mul":
      return isZero(a) ? 0 : isZero(b) ? 1 : undefined
    case "div":
      return seen(a) === seen(b) ? 1 : isZero(a) ? 0 : undefined
    case "add":
    case "sub":
      if (has(a, b)) return 0
      return has(b, a) || (x.operation === "sub" && seen(a) === seen(b)) ? 1 : undefined
    default:
      return undefined
  }
}

/** The value that has a name, or whose bits are taken and given back, signs changed or numbers spread out: compilers see through these. */
function seenThrough(x: Expression, definitions: Context["definitions"]): Expression {
  const inner = (): Expression | undefined => {
    if (x.kind === "splat") return x.of
    if (x.kind === "variable") return definitions.get(x.name)
    if (x.kind !== "operation") return undefined
    const [first] = x.args
    if (x.operation === "neg") return first
    const back = x.operation === "fromBits" && first!.kind === "operation" && first!.operation === "bits"
    return back ? first.args[0] : undefined
  }
  const of = inner()
  return of === undefined ? x : seenThrough(of, definitions)
}

const isZeroLiteral = (x: Expression): boolean => isLiteral(x) && x.value === 0

/** A value that is what it was, but no compiler knows. */
export const hidden = (text: string, width: number): string => {
  const word = typeText("u32", width)
  return `bitcast<${typeText("f32", width)}>(bitcast<${word}>(${argument(text)}) | ${word}(bitcast<u32>(zero)))`
}
