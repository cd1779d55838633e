/**
 * One TypeScript function → the scalar expression that its attachment carries, or the reason why there is none.
 *
 *     (g, u) => (g / (1 + Math.exp(-g))) * u
 *     →  parameters ["g", "u"], result (* (/ $0 (+ 1 (exp (negate $0)))) $1)
 *
 *     (x) => { const y = x * scale; return y > 0 ? y : curve(y) }
 *     →  locals [(* $0 {scale})], result (select (> %0 0) %0 (call curve %0)), captures scale and curve
 *
 *     (x) => { if (x > 0) return x; return x * 0.1 }      →  result (select (> $0 0) $0 (* $0 0.1))
 *
 * Nothing is folded, typed or inlined here: the tracer does that when it knows the types of the arguments and the values of the
 * captures. What TypeScript lets pass and a kernel cannot do (`-flag`, `x && y` on numbers) is refused.
 */
import { ts } from "ts-morph"
import type { ScalarOperation, ScalarSource } from "../../../dsl/attach.js"
import { isDeclaredInLanguage, type Language, resolvedSymbol } from "../language.js"
import { placeOf } from "../places.js"
import { Refusal, refuse, refuseSyntax } from "../refusal.js"
import { capturedValue, chainOf, dotted, refuseVariable, unwrapped } from "./captures.js"
import { isScalarSignature, type ScalarFunctionNode, scalarKind } from "./scalars.js"
import {
  binaryOperators,
  hints,
  instead,
  isAssignment,
  languageFunctions,
  mathConstants,
  mathFunctions,
  numberFunctions,
  refusedSyntax,
  specialNumbers,
  unaryOperators,
} from "./subset.js"

/** What an attachment holds, with the names that its thunk has to deliver. */
export interface LoweredFunction {
  readonly kind: "function"
  readonly parameters: readonly string[]
  readonly locals: readonly ScalarSource[]
  readonly result: ScalarSource
  readonly captures: readonly string[]
}

export type Lowering = LoweredFunction | { readonly kind: "refused"; readonly refusal: Refusal }

/** The function that is being read: its names by symbol, and what it has captured so far. */
interface Scope {
  readonly language: Language
  readonly checker: ts.TypeChecker
  readonly fn: ScalarFunctionNode
  readonly names: Map<ts.Symbol, { readonly kind: "parameter" | "local"; readonly index: number }>
  readonly captures: Set<string>
  /** What the branches of `?:` give, where it has been asked. */
  readonly branches: Map<ts.Node, "number" | "boolean">
}

/** Reads `fn`, which is a scalar function by its types. */
export function lower(fn: ScalarFunctionNode, language: Language): Lowering {
  const scope: Scope = {
    language,
    checker: language.checker,
    fn,
    names: new Map(),
    captures: new Set(),
    branches: new Map(),
  }
  try {
    const parameters = fn.parameters.map((parameter, index) => parameterName(parameter, index, scope))
    const { locals, result } = body(fn.body, scope)
    return { kind: "function", parameters, locals, result, captures: [...scope.captures] }
  } catch (error) {
    if (error instanceof Refusal) return { kind: "refused", refusal: error }
    throw error
  }
}

function parameterName(parameter: ts.ParameterDeclaration, index: number, scope: Scope): string {
  const { name } = parameter
  const problem = !ts.isIdentifier(name)
    ? "be destructured"
    : parameter.initializer !== undefined
      ? "have a default value"
      : parameter.dotDotDotToken !== undefined
        ? "be a rest parameter"
        : parameter.questionToken !== undefined
          ? "be optional"
          : undefined
  if (problem !== undefined || !ts.isIdentifier(name)) {
    return refuse(parameter, `a parameter of a scalar function cannot ${problem}`, hints.parameters)
  }
  const symbol = scope.checker.getSymbolAtLocation(name)
  if (symbol !== undefined) scope.names.set(symbol, { kind: "parameter", index })
  return name.text
}

/** An expression, or a block of `const`s, `if`s and `return`s. */
function body(node: ts.ConciseBody, scope: Scope): { locals: readonly ScalarSource[]; result: ScalarSource } {
  const locals: ScalarSource[] = []
  if (!ts.isBlock(node)) return { locals, result: expression(node, scope) }
  return { locals, result: returned(node.statements, [], node, locals, scope) }
}

/**
 * What statements return. `after` are the statements that follow the blocks around them, innermost first: where a branch of an `if` does not
 * return, they go on. Locals of both branches are computed: nothing in them has an effect.
 */
function returned(
  [statement, ...rest]: readonly ts.Statement[],
  after: readonly (readonly ts.Statement[])[],
  block: ts.Block,
  locals: ScalarSource[],
  scope: Scope,
): ScalarSource {
  if (statement === undefined) {
    const [next, ...more] = after
    if (next !== undefined) return returned(next, more, block, locals, scope)
    throw new Refusal("the block of a scalar function must end in `return`", hints.body, block.end - 1, block.end)
  }
  if (ts.isReturnStatement(statement) && statement.expression !== undefined) {
    if (rest[0] !== undefined) refuse(rest[0], "a scalar function ends at its first `return`", hints.body)
    return expression(statement.expression, scope)
  }
  if (ts.isVariableStatement(statement)) {
    constants(statement, locals, scope)
    return returned(rest, after, block, locals, scope)
  }
  if (ts.isIfStatement(statement)) {
    const condition = expression(statement.expression, scope)
    wants("boolean", statement.expression, "if", scope)
    const branch = (part: ts.Statement | undefined) =>
      returned(part === undefined ? [] : statementsOf(part), [rest, ...after], block, locals, scope)
    const args = [condition, branch(statement.thenStatement), branch(statement.elseStatement)]
    if (returnKind(scope) === undefined)
      refuse(statement, "one `return` gives a number, another a boolean", hints.count)
    return operation("select", args, statement)
  }
  if (ts.isExpressionStatement(statement)) expression(statement.expression, scope) // for the more exact reason, if there is one
  return refuseNode(statement)
}

const statementsOf = (part: ts.Statement): readonly ts.Statement[] => (ts.isBlock(part) ? part.statements : [part])

function returnKind({ checker, fn }: Scope) {
  const signature = checker.getSignatureFromDeclaration(fn)
  return signature && scalarKind(signature.getReturnType(), checker)
}

function constants(statement: ts.VariableStatement, locals: ScalarSource[], scope: Scope): void {
  const list = statement.declarationList
  if ((list.flags & ts.NodeFlags.BlockScoped) !== ts.NodeFlags.Const) {
    refuseSyntax(list, `\`${list.getFirstToken()?.getText() ?? "var"}\``, hints.local)
  }
  for (const { name, initializer } of list.declarations) {
    if (!ts.isIdentifier(name)) refuseSyntax(name, "a destructuring pattern", hints.local)
    if (initializer === undefined) refuseSyntax(name, "a `const` without a value", hints.local)
    const value = expression(initializer, scope)
    const symbol = scope.checker.getSymbolAtLocation(name)
    if (symbol !== undefined) scope.names.set(symbol, { kind: "local", index: locals.length })
    locals.push(value)
  }
}

function expression(wrapped: ts.Expression, scope: Scope): ScalarSource {
  const node = unwrapped(wrapped)
  const span = placeOf(node)
  if (ts.isNumericLiteral(node)) return { kind: "number", value: finite(Number(node.text), node), span }
  if (node.kind === ts.SyntaxKind.TrueKeyword) return { kind: "boolean", value: true, span }
  if (node.kind === ts.SyntaxKind.FalseKeyword) return { kind: "boolean", value: false, span }
  if (ts.isIdentifier(node) || ts.isPropertyAccessExpression(node)) return name(node, wrapped, scope)
  if (ts.isPrefixUnaryExpression(node)) return unary(node, scope)
  if (ts.isBinaryExpression(node)) return binary(node, scope)
  if (ts.isConditionalExpression(node)) return conditional(node, scope)
  if (ts.isCallExpression(node)) return call(node, scope)
  return refuseNode(node)
}

function operation(operation: ScalarOperation, args: readonly ScalarSource[], node: ts.Node): ScalarSource {
  return { kind: "operation", operation, args, span: placeOf(node) }
}

/** Refuses a decimal that no f32 holds: rounded, it is infinite. */
function finite(value: number, node: ts.Node): number {
  if (Number.isFinite(Math.fround(value))) return value
  return refuse(node, `\`${node.getText()}\` is infinite as an f32`, hints.finite)
}

/** A parameter, a local, a constant of `Math`, or a capture; `wrapped` is the node with the annotations around it. */
function name(node: ts.Identifier | ts.PropertyAccessExpression, wrapped: ts.Expression, scope: Scope): ScalarSource {
  const span = placeOf(node)
  const chain = chainOf(node)
  const root = chain?.[0]
  if (chain === undefined || root === undefined) {
    if (ts.isPropertyAccessExpression(node)) expression(node.expression, scope) // for the more exact reason, if there is one
    return refuseSyntax(node, "a property of a value", hints.capture)
  }
  const own = ownName(root, scope)
  if (own !== undefined) {
    if (chain.length > 1) refuseSyntax(node, "a property of a parameter or local", hints.subset)
    return { ...own, span }
  }
  if (isGlobal(root, scope)) {
    const text = dotted(chain)
    const constant = chain.length === 2 && root.text === "Math" ? mathConstants.get(chain[1]!.text) : undefined
    if (constant !== undefined) return { kind: "number", value: constant, span }
    const special = specialNumbers.get(text)
    if (special !== undefined) return { kind: "number", value: special, span }
    if (text === "undefined") refuseSyntax(node, "`undefined`", hints.subset)
    if (root.text === "Number")
      refuse(node, `\`${text}\` is a constant of float64, not of f32`, instead.get(text) ?? hints.finite)
    if (root.text === "Math") refuse(node, `\`${text}\` has no kernel form`, hints.math)
  }
  const captured = capturedValue(wrapped, chain, scope.language)
  scope.captures.add(captured)
  return { kind: "capture", name: captured, span }
}

function ownName(node: ts.Identifier, scope: Scope) {
  const symbol = scope.checker.getSymbolAtLocation(node)
  return symbol === undefined ? undefined : scope.names.get(symbol)
}

/** True for a name that no import brings and that only declaration files declare: `Math`, `console`, `parseFloat`. */
function isGlobal(node: ts.Identifier, scope: Scope): boolean {
  const symbol = scope.checker.getSymbolAtLocation(node)
  if (symbol === undefined || symbol.flags & ts.SymbolFlags.Alias) return false
  return symbol.declarations?.every((declaration) => declaration.getSourceFile().isDeclarationFile) ?? true
}

function unary(node: ts.PrefixUnaryExpression, scope: Scope): ScalarSource {
  const operator = unaryOperators.get(node.operator)
  if (operator === undefined) {
    return refuseSyntax(node, `\`${ts.tokenToString(node.operator)}\``, hints.local)
  }
  const operand = expression(node.operand, scope)
  wants(operator.operand, node.operand, ts.tokenToString(node.operator) ?? "", scope)
  return operator.operation === undefined ? operand : operation(operator.operation, [operand], node)
}

function binary(node: ts.BinaryExpression, scope: Scope): ScalarSource {
  const token = node.operatorToken
  const operator = binaryOperators.get(token.kind)
  if (operator === undefined) {
    if (isAssignment(token.kind)) return refuseSyntax(node, "an assignment", hints.local)
    const equality =
      token.kind === ts.SyntaxKind.EqualsEqualsToken || token.kind === ts.SyntaxKind.ExclamationEqualsToken
    return refuseSyntax(token, `\`${token.getText()}\``, equality ? hints.equality : hints.subset)
  }
  const args = [expression(node.left, scope), expression(node.right, scope)]
  if (operator.operands !== "same") {
    wants(operator.operands, node.left, token.getText(), scope)
    wants(operator.operands, node.right, token.getText(), scope)
  }
  return operation(operator.operation, args, node)
}

function conditional(node: ts.ConditionalExpression, scope: Scope): ScalarSource {
  const args = [node.condition, node.whenTrue, node.whenFalse].map((part) => expression(part, scope))
  wants("boolean", node.condition, "?:", scope)
  const [yes, no] = [node.whenTrue, node.whenFalse].map((part) => kind(part, scope))
  if (yes !== no && yes !== undefined && no !== undefined) {
    refuse(node, `one branch of \`?:\` is a ${yes}, the other a ${no}`, hints.count)
  }
  return operation("select", args, node)
}

type Kind = "number" | "boolean" | undefined

/**
 * Whether an expression is a number or a boolean. Operators say it of themselves: the checker would look through all that is below one each
 * time that it is asked, and a sum of n terms asks n times.
 */
function kind(node: ts.Expression, scope: Scope): Kind {
  if (ts.isParenthesizedExpression(node)) return kind(node.expression, scope)
  const operator = ts.isBinaryExpression(node) ? binaryOperators.get(node.operatorToken.kind)?.operation : undefined
  if (operator !== undefined) return truths.has(operator) ? "boolean" : "number"
  if (!ts.isConditionalExpression(node)) return scalarKind(scope.checker.getTypeAtLocation(node), scope.checker)
  const known = scope.branches.get(node)
  if (known !== undefined) return known
  const [yes, no] = [kind(node.whenTrue, scope), kind(node.whenFalse, scope)]
  const both = yes === no ? yes : undefined
  if (both !== undefined) scope.branches.set(node, both)
  return both
}

const truths: ReadonlySet<ScalarOperation> = new Set(["<", "<=", ">", ">=", "===", "!==", "&&", "||"])

/** Refuses an operand that TypeScript accepts by JavaScript's conversions. */
function wants(wanted: "number" | "boolean", node: ts.Expression, operator: string, scope: Scope): void {
  const found = kind(node, scope)
  if (found === undefined || found === wanted) return
  const hint = wanted === "boolean" ? hints.compare : hints.count
  refuse(node, `\`${operator}\` takes a ${wanted}; \`${node.getText()}\` is a ${found}`, hint)
}

function call(node: ts.CallExpression, scope: Scope): ScalarSource {
  if (node.questionDotToken !== undefined) refuseSyntax(node, "optional chaining", hints.capture)
  const spread = node.arguments.find(ts.isSpreadElement)
  if (spread !== undefined) refuseSyntax(spread, "a spread argument", hints.subset)
  const chain = chainOf(node.expression)
  const root = chain?.[0]
  if (chain === undefined || root === undefined) {
    return refuse(node.expression, "a scalar function can call functions by their name only", hints.subset)
  }
  const callee = dotted(chain)
  if (isGlobal(root, scope)) {
    const known = numberFunctions.get(callee)
    if (known !== undefined) {
      const args = node.arguments.map((argument) => expression(argument, scope))
      return operation(known, args, node)
    }
    if (root.text === "Math" && chain.length === 2) return mathCall(node, callee, chain[1]!.text, scope)
  }
  const symbol = resolvedSymbol(chain.at(-1)!, scope.checker)
  const intrinsic = languageFunctions.find((known) => known === symbol?.name)
  if (intrinsic !== undefined && isDeclaredInLanguage(symbol, scope.language)) {
    return operation(
      intrinsic,
      node.arguments.map((argument) => expression(argument, scope)),
      node,
    )
  }
  refuseCallee(node, chain, callee, scope)
  scope.captures.add(callee)
  const args = node.arguments.map((argument) => expression(argument, scope))
  return { kind: "call", name: callee, args, span: placeOf(node) }
}

/** Refuses a function that cannot carry an attachment, or whose types show that it is no scalar function. */
function refuseCallee(node: ts.CallExpression, chain: readonly ts.Identifier[], callee: string, scope: Scope): void {
  const { checker, language, fn } = scope
  const signature = checker.getResolvedSignature(node)
  const declaration = signature?.declaration
  const builtIn = declaration !== undefined && language.program.isSourceFileDefaultLibrary(declaration.getSourceFile())
  if (ownName(chain[0]!, scope) !== undefined || isGlobal(chain[0]!, scope) || builtIn) {
    refuse(
      node.expression,
      `\`${callee}\` is not a scalar function: it has no body that can be read`,
      instead.get(callee) ?? hints.subset,
    )
  }
  refuseVariable(chain, checker)
  if (declaration === fn)
    refuse(node.expression, `\`${callee}\` calls itself; a scalar function is inlined`, hints.loop)
  if (signature !== undefined && !isScalarSignature(signature, node, checker)) {
    const type = checker.typeToString(checker.getTypeAtLocation(node.expression))
    refuse(node.expression, `\`${callee}\` is not a scalar function: its type is ${type}`, hints.subset)
  }
}

function mathCall(node: ts.CallExpression, callee: string, name: string, scope: Scope): ScalarSource {
  const known = mathFunctions.find((candidate) => candidate === name)
  if (known === undefined) {
    return refuse(node.expression, `\`${callee}\` has no kernel form`, instead.get(callee) ?? hints.math)
  }
  const [first, ...rest] = node.arguments.map((argument) => expression(argument, scope))
  if (known !== "min" && known !== "max") return operation(known, first === undefined ? [] : [first, ...rest], node)
  // As in JavaScript: what every number is below, or above.
  if (first === undefined)
    return {
      kind: "number",
      value: known === "min" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY,
      span: placeOf(node),
    }
  return rest.reduce((pair, argument) => operation(known, [pair, argument], node), first)
}

function refuseNode(node: ts.Node): never {
  if (ts.isPostfixUnaryExpression(node)) refuseSyntax(node, `\`${ts.tokenToString(node.operator)}\``, hints.local)
  const [what, hint] = refusedSyntax.get(node.kind) ?? [`this syntax (${ts.SyntaxKind[node.kind]})`, hints.subset]
  return refuseSyntax(node, what, hint)
}
