/**
 * Where the language is, and which calls are calls of it.
 *
 *     import { dot } from "weft"              declared below the package's types   → dot(…) is a call of the language
 *     import { dot } from "../dsl/index.js"   declared in the project's own dsl/   → so is this
 *     block(x, w): Tensor<"seq">              the author's own, returns a tensor   → counts as one, for its span
 *
 * A root is a folder (absolute) or the name of a package. Nothing is recognised by the spelling of an import, only by where the
 * declaration lies, so aliases, namespaces and re-exports make no difference.
 */
import { dirname, join, relative, resolve, sep } from "node:path"
import { ts } from "ts-morph"
import { scalarTakers } from "./scalars/subset.js"

interface Root {
  /** The folder that holds the declarations, with forward slashes and one at the end. */
  readonly folder: string
  /** The one file outside of it that sources of the language import: the errors that they throw. */
  readonly errors: string
  /** The folder that holds what runs: the same, or the package's own. */
  readonly code: string
  /** The module that exports the functions which the transform inserts: an internal entry of a package, or a file without its ending. */
  readonly helpers: { readonly entry: string } | { readonly file: string }
}

export interface Language {
  readonly program: ts.Program
  readonly checker: ts.TypeChecker
  readonly roots: readonly Root[]
}

/** Finds the roots that exist, seen from the project in `folder`; `host` is the program's. */
export function findLanguage(
  program: ts.Program,
  host: ts.CompilerHost,
  folder: string,
  languageRoots: readonly string[],
): Language {
  const roots = languageRoots.flatMap((root): Root[] => {
    if (/^([./\\]|[A-Za-z]:)/.test(root)) {
      const path = resolve(folder, root)
      const file = join(path, "attach")
      if (!host.fileExists(`${file}.ts`)) return []
      const own = slashed(`${path}/`)
      return [{ folder: own, errors: errorsBeside(path), code: own, helpers: { file } }]
    }
    const options = program.getCompilerOptions()
    const found = ts.resolveModuleName(root, join(folder, "model.ts"), options, host, undefined, undefined, moduleKind)
    const file = found.resolvedModule?.resolvedFileName
    if (file === undefined) return []
    const code = slashed(`${packageFolder(file, host) ?? dirname(file)}/`)
    // Where the name leads to sources, by the tsconfig's paths, so does what is inserted.
    const helpers = /\.d\.[cm]?ts$/.test(file)
      ? { entry: internalEntry(root) }
      : { file: join(dirname(file), "attach") }
    return [{ folder: slashed(`${dirname(file)}/`), errors: errorsBeside(dirname(file)), code, helpers }]
  })
  return { program, checker: program.getTypeChecker(), roots }
}

const errorsBeside = (folder: string) => slashed(join(folder, "..", "runtime", "errors.ts"))

/** What a package of the language exports for the transform alone. */
const internalEntry = (name: string) => `${name}/internal/attach`

/** True for a module that only the transform imports. */
export function isInternalEntry(specifier: string, { roots }: Language): boolean {
  return roots.some(({ helpers }) => "entry" in helpers && helpers.entry === specifier)
}

const moduleKind = ts.ModuleKind.ESNext

/** The nearest folder above a file that has a package.json with a name. */
function packageFolder(file: string, host: ts.CompilerHost): string | undefined {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    const manifest = host.readFile(join(folder, "package.json"))
    if (manifest !== undefined && /"name"\s*:/.test(manifest)) return folder
  }
  return undefined
}

/** True for a file of the language as it runs. */
export function isLanguagePath(path: string, { roots }: Language): boolean {
  const file = path.replaceAll("\\", "/")
  return roots.some(({ code, errors }) => file.startsWith(code) || file === errors)
}

function slashed(path: string): string {
  return path.replaceAll("\\", "/").replace(/\/+$/, "/")
}

function rootOf(file: string, language: Language): Root | undefined {
  return language.roots.find(({ folder, errors }) => file.startsWith(folder) || file === errors)
}

export function isLanguageFile(source: ts.SourceFile, language: Language): boolean {
  return rootOf(source.fileName, language) !== undefined
}

/** The symbol that a name stands for, through imports and re-exports. */
export function resolvedSymbol(node: ts.Node, checker: ts.TypeChecker): ts.Symbol | undefined {
  const symbol = checker.getSymbolAtLocation(node)
  return symbol !== undefined && symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
}

export function isDeclaredInLanguage(symbol: ts.Symbol | undefined, language: Language): boolean {
  return symbol?.declarations?.some((declaration) => isLanguageFile(declaration.getSourceFile(), language)) ?? false
}

/** True when the function that is called is declared in the language. */
export function callsLanguage(call: ts.CallExpression, language: Language): boolean {
  const declaration = language.checker.getResolvedSignature(call)?.declaration
  if (declaration !== undefined) return isLanguageFile(declaration.getSourceFile(), language)
  return isDeclaredInLanguage(resolvedSymbol(call.expression, language.checker), language)
}

/** True when the function that is called is one of the language's that read a scalar function. */
export function takesScalarFunction(call: ts.CallExpression, language: Language): boolean {
  const declaration = language.checker.getResolvedSignature(call)?.declaration
  const name = declaration !== undefined && ts.isFunctionDeclaration(declaration) ? declaration.name?.text : undefined
  return name !== undefined && scalarTakers.has(name) && callsLanguage(call, language)
}

/** True when the call's value is a `Tensor` or an `Index` of the language. */
export function returnsTensor(call: ts.CallExpression, language: Language): boolean {
  return isTensor(language.checker.getTypeAtLocation(call), language)
}

export function isTensor(type: ts.Type, language: Language): boolean {
  for (const symbol of [type.aliasSymbol, type.getSymbol()]) {
    if ((symbol?.name === "Tensor" || symbol?.name === "Index") && isDeclaredInLanguage(symbol, language)) return true
  }
  if (type.isUnionOrIntersection()) return type.types.some((part) => isTensor(part, language))
  const constraint =
    type.flags & ts.TypeFlags.TypeParameter ? language.checker.getBaseConstraintOfType(type) : undefined
  return constraint !== undefined && constraint !== type && isTensor(constraint, language)
}

/** The module that declares `__at` and `__scalar`: transforming it would make it call itself. */
export function declaresHelpers(source: ts.SourceFile): boolean {
  return source.statements.some((node) => ts.isFunctionDeclaration(node) && node.name?.text === "__at")
}

/**
 * The module specifier from which `source` imports the inserted functions: the root that the file itself imports, else the first one
 * that the program reaches.
 */
export function helperModule(source: ts.SourceFile, language: Language): string {
  const root =
    rootOf(source.fileName, language) ??
    importedFiles(source, language)
      .map((file) => rootOf(file, language))
      .find((found) => found !== undefined) ??
    language.roots.find(({ folder }) => language.program.getSourceFiles().some((s) => s.fileName.startsWith(folder))) ??
    language.roots[0]
  if (root === undefined) return internalEntry("weft")
  if ("entry" in root.helpers) return root.helpers.entry
  const path = relative(dirname(source.fileName), root.helpers.file).split(sep).join("/")
  return `${path.startsWith(".") ? "" : "./"}${path}.js`
}

function importedFiles(source: ts.SourceFile, language: Language): readonly string[] {
  return source.statements.flatMap((node) => {
    if (!ts.isImportDeclaration(node) && !ts.isExportDeclaration(node)) return []
    const specifier = node.moduleSpecifier
    const module = specifier === undefined ? undefined : language.checker.getSymbolAtLocation(specifier)
    return module?.declarations?.map((declaration) => declaration.getSourceFile().fileName) ?? []
  })
}
