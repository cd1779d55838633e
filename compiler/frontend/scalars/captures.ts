/**
 * What a scalar function may take from around it: constant numbers, constant booleans, and functions.
 *
 *     const { eps } = config;  map((x) => x + eps, t)          captures "eps"
 *     map((x) => x + config.eps, t)                            captures "config.eps"
 *     let scale = 2;           map((x) => x * scale, t)        refused: its value may change
 *
 * A capture is a name that the inserted thunk evaluates beside the function, `() => ({ "config.eps": config.eps })`, while the model is
 * traced. That is the moment at which the language is called, so a property counts as constant when the object that it is read from
 * is one: a `const`, an import, or a parameter that is never assigned to.
 */
import { ts } from "ts-morph"
import { isTensor, type Language, resolvedSymbol } from "../language.js"
import { refuse, refuseSyntax } from "../refusal.js"
import { scalarKind } from "./scalars.js"
import { hints, isAssignment } from "./subset.js"

/** An expression without the parentheses and type annotations around it. */
export function unwrapped(node: ts.Expression): ts.Expression {
  return ts.isParenthesizedExpression(node) ||
    ts.isAsExpression(node) ||
    ts.isSatisfiesExpression(node) ||
    ts.isNonNullExpression(node) ||
    ts.isTypeAssertionExpression(node)
    ? unwrapped(node.expression)
    : node
}

/** The identifiers of `a.b.c`, or undefined when the expression is no such chain. */
export function chainOf(node: ts.Expression): readonly ts.Identifier[] | undefined {
  const expression = unwrapped(node)
  if (ts.isIdentifier(expression)) return [expression]
  if (!ts.isPropertyAccessExpression(expression) || !ts.isIdentifier(expression.name)) return undefined
  if (expression.questionDotToken !== undefined) refuseSyntax(expression, "optional chaining", hints.capture)
  const root = chainOf(expression.expression)
  return root === undefined ? undefined : [...root, expression.name]
}

export function dotted(chain: readonly ts.Identifier[]): string {
  return chain.map((name) => name.text).join(".")
}

/**
 * Refuses `chain`, which is read as a value, unless it is a constant number or boolean. Returns its name. `node` is the chain with
 * the annotations around it, which may make its type narrower: `limit!`.
 */
export function capturedValue(node: ts.Expression, chain: readonly ts.Identifier[], language: Language): string {
  const name = dotted(chain)
  refuseVariable(chain, language.checker)
  const type = language.checker.getTypeAtLocation(node)
  if (scalarKind(type, language.checker) === undefined) {
    const text = language.checker.typeToString(language.checker.getBaseTypeOfLiteralType(type))
    refuse(
      unwrapped(node),
      `\`${name}\` has type ${text}; a scalar function may capture numbers and booleans only`,
      isTensor(type, language) ? hints.argument : hints.capture,
    )
  }
  return name
}

/** Refuses a chain when one of its names is a variable whose value may change. */
export function refuseVariable(chain: readonly ts.Identifier[], checker: ts.TypeChecker): void {
  for (const name of chain) {
    const symbol = resolvedSymbol(name, checker)
    const declared = symbol?.valueDeclaration
    if (symbol === undefined || declared === undefined) continue
    const declaration = ts.isBindingElement(declared) ? ts.walkUpBindingElementsAndPatterns(declared) : declared
    if (ts.isVariableDeclaration(declaration)) {
      const flags = ts.getCombinedNodeFlags(declaration)
      if ((flags & (ts.NodeFlags.Const | ts.NodeFlags.Using)) !== 0) continue
      const keyword = (flags & ts.NodeFlags.Let) !== 0 ? "let" : "var"
      refuse(
        name,
        `\`${name.text}\` is declared with \`${keyword}\`; a scalar function may capture constants only`,
        hints.constant,
      )
    }
    if (ts.isParameter(declaration) && isAssigned(symbol, declaration.parent, checker)) {
      refuse(
        name,
        `\`${name.text}\` is a parameter that is assigned to; a scalar function may capture constants only`,
        hints.constant,
      )
    }
  }
}

/** True when `scope` holds an assignment to `symbol`, also as a part of a pattern. */
function isAssigned(symbol: ts.Symbol, scope: ts.Node, checker: ts.TypeChecker): boolean {
  const isTarget = (node: ts.Node): boolean =>
    ts.isIdentifier(node)
      ? node.text === symbol.name && checker.getSymbolAtLocation(node) === symbol
      : !ts.isPropertyAccessExpression(node) &&
        !ts.isElementAccessExpression(node) &&
        (ts.forEachChild(node, isTarget) ?? false)
  const visit = (node: ts.Node): boolean => {
    if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind) && isTarget(node.left)) {
      return true
    }
    const steps =
      (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) &&
      (node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken)
    if (steps && isTarget(node.operand)) return true
    return ts.forEachChild(node, visit) ?? false
  }
  return visit(scope)
}
