/**
 * What a file takes from outside of its text and its imports: the clock, the environment, files, what the host has put into a global.
 *
 *     const k = Number(process.env.K)     →   "process", at its place: what was compiled cannot be kept, for K may be another next time
 *     Math.exp(c.eps)                     →   nothing
 *
 * Names are looked at, not what is done with them: one too many costs the time of compiling again, one too few would serve numbers that
 * are no longer true. So the names that may be used are listed, and what is not on the list counts as outside.
 */
import { ts } from "ts-morph"

export interface Outside {
  readonly what: string
  readonly start: number
}

/** Globals whose values follow from their arguments alone. */
const pure = new Set(
  `undefined NaN Infinity arguments Object Array String Number Boolean BigInt Symbol Math JSON RegExp Map Set WeakMap WeakSet Promise Proxy
  Reflect Iterator Error EvalError RangeError ReferenceError SyntaxError TypeError URIError AggregateError ArrayBuffer DataView Int8Array
  Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array BigInt64Array BigUint64Array Float16Array Float32Array
  Float64Array parseInt parseFloat isNaN isFinite encodeURI encodeURIComponent decodeURI decodeURIComponent escape unescape console URL
  URLSearchParams TextEncoder TextDecoder atob btoa structuredClone queueMicrotask exports module require`.split(/\s+/),
)

/** Names that lead outside even where a file that was not checked has something of its own by that name. */
const never = new Set(
  "process globalThis global window self eval Function Date Intl performance crypto fetch WebSocket XMLHttpRequest Deno Bun navigator __dirname __filename".split(
    " ",
  ),
)

/** Properties by which values lead outside: to `Function`, to the machine's language and place. */
const properties = /^(constructor|__proto__|toLocale\w*|localeCompare|getTimezoneOffset)$/

/**
 * The first thing in `source` that leads outside, or undefined. `checker` tells names of the file's own from those of a global; without
 * one, what is declared anywhere in the file is its own.
 */
export function outsideOf(source: ts.SourceFile, checker?: ts.TypeChecker): Outside | undefined {
  const declared = checker === undefined ? declaredIn(source) : undefined
  const isOwn = (name: ts.Identifier): boolean => {
    if (declared !== undefined) return declared.has(name.text)
    const shorthand = ts.isShorthandPropertyAssignment(name.parent) && name.parent.name === name
    const symbol = shorthand
      ? checker!.getShorthandAssignmentValueSymbol(name.parent)
      : checker!.getSymbolAtLocation(name)
    // An import that leads nowhere is an alias with no other declaration; the bundler decides about it.
    return symbol?.declarations?.some((node) => !node.getSourceFile().isDeclarationFile && !isAmbient(node)) ?? false
  }
  const found = (node: ts.Node, what: string): Outside => ({ what, start: node.getStart(source) })
  const visit = (node: ts.Node): Outside | undefined => {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return undefined
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return undefined
    if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword) return found(node, "import.meta")
    if (ts.isCallExpression(node) && !isLiteralImport(node)) return found(node, "an import of a computed name")
    if (ts.isIdentifier(node)) {
      const { text } = node
      if (isNameOfProperty(node)) return properties.test(text) ? found(node, `\`${text}\``) : undefined
      if (!isReference(node)) return undefined
      if (checker === undefined && never.has(text)) return found(node, `\`${text}\``)
      if (!pure.has(text) && !isOwn(node)) return found(node, `\`${text}\``)
      return text === "Math" ? chanceOf(node) : undefined
    }
    if (ts.isStringLiteralLike(node) && ts.isElementAccessExpression(node.parent) && properties.test(node.text))
      return found(node, `\`${node.text}\``)
    return ts.forEachChild(node, visit)
  }
  return visit(source)
}

/** `Math.random`, and `Math` handed on, which could be asked for it anywhere. */
function chanceOf(math: ts.Identifier): Outside | undefined {
  const { parent } = math
  if (!ts.isPropertyAccessExpression(parent) || parent.expression !== math)
    return { what: "`Math` as a value", start: math.getStart() }
  return parent.name.text === "random" ? { what: "`random`", start: parent.name.getStart() } : undefined
}

/** `declare const WIDTH: number`, which the host provides. */
function isAmbient(node: ts.Node): boolean {
  for (let at: ts.Node | undefined = node; at !== undefined && !ts.isSourceFile(at); at = at.parent)
    if (ts.canHaveModifiers(at) && ts.getModifiers(at)?.some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword))
      return true
  return false
}

/** False for `import(x)` and `require(x)` whose argument is no literal: the bundler cannot follow them. */
function isLiteralImport(call: ts.CallExpression): boolean {
  const { expression, arguments: args } = call
  const imports =
    expression.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(expression) && expression.text === "require")
  return !imports || (args[0] !== undefined && ts.isStringLiteralLike(args[0]))
}

/** The `b` of `a.b`, of `{ b: … }` and of `const { b: c } = a`. */
function isNameOfProperty(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node
  if (ts.isBindingElement(parent))
    return ts.isObjectBindingPattern(parent.parent) && (parent.propertyName ?? parent.name) === node
  return ts.isPropertyAssignment(parent) && parent.name === node
}

/** False for the names of declarations, labels, members, imports and exports from elsewhere. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isShorthandPropertyAssignment(parent)) return true
  if (ts.isExportSpecifier(parent))
    return parent.parent.parent.moduleSpecifier === undefined && (parent.propertyName ?? parent.name) === node
  if (ts.isImportSpecifier(parent) || ts.isImportClause(parent) || ts.isNamespaceImport(parent)) return false
  if (ts.isNamespaceExport(parent) || ts.isImportAttribute(parent)) return false
  if (ts.isLabeledStatement(parent) || ts.isBreakOrContinueStatement(parent)) return false
  if (ts.isJsxAttribute(parent) || ts.isQualifiedName(parent) || ts.isMetaProperty(parent)) return false
  const named = parent as ts.Node & { readonly name?: ts.Node }
  return !(
    named.name === node &&
    (ts.isVariableDeclaration(parent) ||
      !ts.isExpression(parent) ||
      ts.isFunctionExpression(parent) ||
      ts.isClassExpression(parent))
  )
}

/** Every name that the file gives to something. */
function declaredIn(source: ts.SourceFile): ReadonlySet<string> {
  const names = new Set<string>()
  const visit = (node: ts.Node): void => {
    const { name } = node as ts.Node & { readonly name?: ts.Node }
    if (name !== undefined && ts.isIdentifier(name) && !ts.isPropertyAccessExpression(node) && !isAmbient(node))
      names.add(name.text)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return names
}
