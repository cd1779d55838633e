/**
 * A model's file → the same text with two kinds of calls inserted.
 *
 *     const h = map((g) => g * eps, dot(x, w, "embed"))
 *     →
 *     const h = __at({…}, () => map(__scalar((g) => g * eps, {…, captures: () => ({ "eps": eps })}), __at({…}, () => dot(x, w, "embed"))))
 *
 * `__scalar` hangs its expression on every scalar function, `__at` tells the tracer the place of every call of the language. Both come
 * from the language's internal entry, by one import on a line of its own after the end of the file (imports hoist), so no line changes its number. Where wrapping a
 * call in a function would change what it means (`await`, `yield`, `super`, `arguments`) it is left alone. Inside a scalar function
 * nothing is inserted: its body is never run.
 */
import { basename, dirname, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { ts } from "ts-morph"
import type { SourceSpan } from "../../dsl/attach.js"
import {
  callsLanguage,
  declaresHelpers,
  helperModule,
  isLanguageFile,
  type Language,
  returnsTensor,
  takesScalarFunction,
} from "./language.js"
import { spanOf, spanOfRange } from "./places.js"
import type { Refusal } from "./refusal.js"
import { unwrapped } from "./scalars/captures.js"
import { type InsertedText, type Insertion, insert } from "./scalars/insertions.js"
import { type Lowering, lower } from "./scalars/lower.js"
import { isScalarFunction, type ScalarFunctionNode } from "./scalars/scalars.js"

export interface Transformed extends InsertedText {
  /** Refusals of functions that are handed to the language directly: they cannot be meant otherwise. */
  readonly refusals: readonly Refusal[]
}

/** Transforms one file of the program; `file` is the name that its spans carry. Undefined when nothing is to be inserted. */
export function transform(source: ts.SourceFile, file: string, language: Language): Transformed | undefined {
  if (declaresHelpers(source)) return undefined
  const insertions: Insertion[] = []
  const refusals: Refusal[] = []
  const aliases = new Map<string, string>()
  const inLanguage = isLanguageFile(source, language)

  const placed = (span: SourceSpan): SourceSpan => (inLanguage ? { ...span, library: true } : span)

  const helper = (name: "__scalar" | "__at") => {
    const alias = aliases.get(name) ?? unusedName(name, source)
    aliases.set(name, alias)
    return alias
  }
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node)) return
    if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword) {
      insertions.push({ position: node.getStart(), text: "({ ..." })
      insertions.push({ position: node.end, text: `, ${ownMeta(source.fileName)} })` })
      return
    }
    if (isScalarFunction(node, language.checker) || isMapped(node, language)) {
      const lowering = lower(node, language)
      const end = attach(node, attachmentText(node, lowering, file, placed), helper, insertions)
      if (lowering.kind === "refused") {
        ts.forEachChild(node, visit)
        if (isMapped(node, language)) refusals.push(lowering.refusal)
      }
      insertions.push(...end)
    } else if (ts.isCallExpression(node) && isPlace(node, inLanguage, language)) {
      const span = objectText(placed(spanOf(node, file)))
      insertions.push({ position: node.getStart(), text: `${helper("__at")}(${span}, () => ` })
      ts.forEachChild(node, visit)
      insertions.push({ position: node.end, text: ")" })
    } else {
      ts.forEachChild(node, visit)
    }
  }
  visit(source)
  if (insertions.length === 0) return undefined
  const used = [...aliases].map(([name, alias]) => (alias === name ? name : `${name} as ${alias}`))
  const names = used.sort().reverse().join(", ")
  const trailer = names === "" ? "" : `import { ${names} } from ${JSON.stringify(helperModule(source, language))}`
  return { ...insert(source.text, insertions, trailer, basename(source.fileName)), refusals }
}

/** Where the file lies, which its bundle does not know: `import.meta.url` names the file as it would without one. */
function ownMeta(file: string): string {
  const path = resolve(file)
  const fields = { url: pathToFileURL(path).href, filename: path, dirname: dirname(path) }
  return JSON.stringify(fields).slice(1, -1)
}

/**
 * Opens the call of `__scalar` and returns what closes it. A declaration is attached by a statement at the start of its block, so that it
 * carries its expression before any other statement runs; captures are read later.
 */
function attach(
  fn: ScalarFunctionNode,
  attachment: string,
  helper: (name: "__scalar") => string,
  insertions: Insertion[],
): readonly Insertion[] {
  const call = helper("__scalar")
  if (ts.isFunctionDeclaration(fn) && fn.name !== undefined) {
    const text = `${call}(${fn.name.text}, ${attachment});`
    const position = blockStart(fn.parent)
    if (position === undefined) return [{ position: fn.end, text: `;${text}` }]
    insertions.push({ position, text, statement: true })
    return []
  }
  if (ts.isNewExpression(fn.parent) && fn.parent.expression === fn) return []
  const isDeclaration = ts.isFunctionDeclaration(fn) // without a name: `export default function (x: number) {…}`
  insertions.push({ position: isDeclaration ? functionKeyword(fn) : fn.getStart(), text: `${call}(` })
  return [{ position: fn.end, text: `, ${attachment})${isDeclaration ? ";" : ""}` }]
}

function functionKeyword(fn: ts.FunctionDeclaration): number {
  return (fn.getChildren().find((child) => child.kind === ts.SyntaxKind.FunctionKeyword) ?? fn).getStart()
}

/** The position of the first statement that is no directive, in a file or block. */
function blockStart(parent: ts.Node): number | undefined {
  if (!ts.isSourceFile(parent) && !ts.isBlock(parent) && !ts.isModuleBlock(parent)) return undefined
  return parent.statements.find((node) => !isDirective(node))?.getStart()
}

function isDirective(node: ts.Statement): boolean {
  return ts.isExpressionStatement(node) && ts.isStringLiteral(node.expression)
}

function attachmentText(
  fn: ScalarFunctionNode,
  lowering: Lowering,
  file: string,
  placed: (span: SourceSpan) => SourceSpan,
): string {
  if (lowering.kind === "refused") {
    const { message, hint, start, end } = lowering.refusal
    return objectText({
      kind: "refused",
      message,
      hint,
      span: placed(spanOfRange(fn.getSourceFile(), file, start, end)),
    })
  }
  const { parameters, locals, result } = lowering
  const captures = lowering.captures.map((name) => `${JSON.stringify(name)}: ${name}`).join(", ")
  const fields = objectText({ kind: "function", parameters, locals, result, span: placed(spanOf(fn, file)) })
  return `${fields.slice(0, -1)},"captures":() => (${captures === "" ? "{}" : `{ ${captures} }`})}`
}

/** As TypeScript, which has the numbers that JSON lacks; behind a character that no source has they are told from text. */
function objectText(value: SourceSpan | object): string {
  const spelled = (_: string, x: unknown) => (typeof x === "number" && !Number.isFinite(x) ? `\0${x}` : x)
  return JSON.stringify(value, spelled).replace(/"\\u0000(-?Infinity|NaN)"/g, "$1")
}

/** A name for an inserted import that occurs nowhere in the file. */
function unusedName(name: string, source: ts.SourceFile): string {
  let alias = name
  for (let suffix = 1; new RegExp(`(?<![\\w$])${alias}(?![\\w$])`).test(source.text); suffix++)
    alias = `${name}${suffix}`
  return alias
}

/** True when a function is, but for parentheses and type annotations, handed to a function of the language that reads it: it may lack parameters. */
function isMapped(fn: ts.Node, language: Language): fn is ScalarFunctionNode {
  if (!ts.isArrowFunction(fn) && !ts.isFunctionExpression(fn)) return false
  let node: ts.Node = fn
  while (ts.isExpression(node.parent) && unwrapped(node.parent) === fn) node = node.parent
  const call = node.parent
  return ts.isCallExpression(call) && call.expression !== node && takesScalarFunction(call, language)
}

/**
 * True for a call that gets `__at`. Within the language only calls that give a tensor do: its own checks and constructors are no
 * places of a model.
 */
function isPlace(call: ts.CallExpression, inLanguage: boolean, language: Language): boolean {
  if (call.expression.kind === ts.SyntaxKind.SuperKeyword || call.expression.kind === ts.SyntaxKind.ImportKeyword)
    return false
  const isLinkOfChain = ts.isOptionalChain(call) && ts.isOptionalChain(call.parent) && call.parent.expression === call
  if (isLinkOfChain || !(returnsTensor(call, language) || (!inLanguage && callsLanguage(call, language)))) return false
  return !ts.forEachChild(call, bindsToFunction)
}

/** True when `node` holds an expression whose meaning depends on the function around it. */
function bindsToFunction(node: ts.Node): boolean {
  switch (node.kind) {
    case ts.SyntaxKind.AwaitExpression:
    case ts.SyntaxKind.YieldExpression:
    case ts.SyntaxKind.SuperKeyword:
      return true
    case ts.SyntaxKind.Identifier:
      return (node as ts.Identifier).text === "arguments"
  }
  if (ts.isFunctionLike(node) && !(ts.isArrowFunction(node) && !isAsync(node))) return false
  return ts.forEachChild(node, bindsToFunction) ?? false
}

function isAsync(node: ts.ArrowFunction): boolean {
  return node.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.AsyncKeyword) ?? false
}
