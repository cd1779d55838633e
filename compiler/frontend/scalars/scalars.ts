/**
 * Which functions are scalar functions, by their types alone.
 *
 *     (x: number, flag: boolean) => number         is one
 *     (x: Tensor<"seq">) => Tensor<"seq">          is not
 *     (x: number, ...more: number[]) => number     is one, and is refused later with a reason
 *
 * Every parameter is a number or a boolean (there is at least one) and so is the result. Being one by type does not mean that the
 * body is in the subset: an ordinary TypeScript function on numbers qualifies too, and only carries a refusal.
 */
import { ts } from "ts-morph"

export type ScalarFunctionNode = (ts.ArrowFunction | ts.FunctionExpression | ts.FunctionDeclaration) & {
  readonly body: ts.ConciseBody
}

/** What a type holds, when each of its values is a number, or each a boolean. */
export function scalarKind(type: ts.Type, checker: ts.TypeChecker): "number" | "boolean" | undefined {
  if (holds(type, ts.TypeFlags.NumberLike, checker)) return "number"
  if (holds(type, ts.TypeFlags.BooleanLike, checker)) return "boolean"
  return undefined
}

function holds(type: ts.Type, flags: ts.TypeFlags, checker: ts.TypeChecker): boolean {
  if (type.isUnion()) return type.types.every((part) => holds(part, flags, checker))
  if (type.isIntersection()) return type.types.some((part) => holds(part, flags, checker))
  if (type.flags & ts.TypeFlags.TypeParameter) {
    const constraint = checker.getBaseConstraintOfType(type)
    return constraint !== undefined && constraint !== type && holds(constraint, flags, checker)
  }
  return (type.flags & flags) !== 0
}

/** True for a function of numbers and booleans that returns one of them. */
export function isScalarSignature(signature: ts.Signature, at: ts.Node, checker: ts.TypeChecker): boolean {
  const parameters = signature.getParameters()
  return (
    parameters.length > 0 &&
    holds(signature.getReturnType(), ts.TypeFlags.NumberLike | ts.TypeFlags.BooleanLike, checker) &&
    parameters.every((parameter) => parameterTypes(parameter, at, checker).every((type) => scalarKind(type, checker)))
  )
}

/** The types that arrive at a parameter: its own without `undefined`, or those of the elements of a rest parameter. */
function parameterTypes(parameter: ts.Symbol, at: ts.Node, checker: ts.TypeChecker): readonly ts.Type[] {
  const type = checker.getTypeOfSymbolAtLocation(parameter, at)
  const declaration = parameter.valueDeclaration
  if (declaration !== undefined && ts.isParameter(declaration) && declaration.dotDotDotToken !== undefined) {
    return checker.getTypeArguments(type as ts.TypeReference)
  }
  return [checker.getNonNullableType(type)]
}

/** True for an arrow function, function expression or function declaration with a body whose types make it a scalar function. */
export function isScalarFunction(node: ts.Node, checker: ts.TypeChecker): node is ScalarFunctionNode {
  if (!ts.isArrowFunction(node) && !ts.isFunctionExpression(node) && !ts.isFunctionDeclaration(node)) return false
  if (node.body === undefined || node.parameters.length === 0) return false
  const signature = checker.getSignatureFromDeclaration(node)
  return signature !== undefined && isScalarSignature(signature, node, checker)
}
