/**
 * The user's tsconfig: found above the model's file, read with all that it extends.
 *
 *     models/tiny.ts   →   ./tsconfig.json, or the one that it refers to and that lists the file   →   compiler options, declaration files
 *
 * Only what changes types or meaning is taken: what is emitted and where is ours, matters of style are the editor's, and what is deprecated
 * works. Where TypeScript's defaults have changed, those of the version that the project has installed count.
 */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { ts } from "ts-morph"
import { WeftError } from "../../runtime/errors.js"
import { fromTypeScript, fromWorkingDirectory, throwDiagnostics } from "./diagnostics.js"

export interface Settings {
  /** The folder of the tsconfig, or of the file where there is none. */
  readonly folder: string
  readonly options: ts.CompilerOptions
  /** Declaration files that the tsconfig includes: they may declare globals. */
  readonly ambient: readonly string[]
  /** The texts that the settings were made of. */
  readonly read: readonly { readonly path: string; readonly text: string }[]
  /** Places nearer to the file at which there was no tsconfig. */
  readonly missing: readonly string[]
}

/** Reads `tsconfig`, or the nearest one above `file`, or takes what a strict project has. */
export function readSettings(file: string, tsconfig?: string): Settings {
  const { path, missing } =
    tsconfig === undefined ? nearest(file) : { path: existingFile(tsconfig, "tsconfig/missing"), missing: [] }
  const read: { path: string; text: string }[] = []
  const host: ts.ParseConfigHost = {
    ...ts.sys,
    readFile(name) {
      const text = ts.sys.readFile(name)
      if (text !== undefined) read.push({ path: resolve(name), text })
      return text
    },
  }
  if (path === undefined) {
    const folder = dirname(file)
    return { folder, options: { ...withoutConfig, ...ours(folder, withoutConfig) }, ambient: [], read, missing }
  }
  const parsed = parse(path, host)
  const chosen = parsed.fileNames.some(isSame(file))
    ? parsed
    : (referred(parsed, file, host, new Set([path])) ?? parsed)
  throwDiagnostics("tsconfig/invalid", chosen.errors.map(fromTypeScript))
  const folder = dirname(chosen.path)
  const ambient = chosen.fileNames.filter((name) => /\.d\.[cm]?ts$/.test(name))
  return { folder, options: { ...chosen.options, ...ours(folder, chosen.options) }, ambient, read, missing }
}

const withoutConfig: ts.CompilerOptions = {
  strict: true,
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
}

interface Parsed {
  readonly path: string
  readonly options: ts.CompilerOptions
  readonly fileNames: readonly string[]
  readonly references: readonly ts.ProjectReference[]
  readonly errors: readonly ts.Diagnostic[]
}

function parse(path: string, host: ts.ParseConfigHost): Parsed {
  const { config, error } = ts.readConfigFile(path, host.readFile)
  const parsed = ts.parseJsonConfigFileContent(config ?? {}, host, dirname(path), undefined, path)
  const errors = [...(error ? [error] : []), ...parsed.errors].filter(({ code }) => !harmless.has(code))
  const { options, fileNames, projectReferences = [] } = parsed
  return { path, options, fileNames, references: projectReferences, errors }
}

const isSame = (file: string) => (name: string) => name === file.replaceAll("\\", "/") || resolve(name) === file

/** The project among those referred to, at any depth, that lists the file. */
function referred(
  { references }: Parsed,
  file: string,
  host: ts.ParseConfigHost,
  seen: Set<string>,
): Parsed | undefined {
  for (const reference of references) {
    const path = resolve(ts.resolveProjectReferencePath(reference))
    if (seen.has(path) || !existsSync(path)) continue
    seen.add(path)
    const parsed = parse(path, host)
    const found = parsed.fileNames.some(isSame(file)) ? parsed : referred(parsed, file, host, seen)
    if (found !== undefined) return found
  }
  return undefined
}

/** An empty list of files, which is not used; options of other versions, which this one does not know. */
const harmless = new Set([18002, 18003, 5023, 5025])

/** True for the number of a diagnostic that an option or a value of one is deprecated, or was removed. */
export const isDeprecation = (code: number): boolean => [5101, 5102, 5103, 5107, 5108].includes(code)

/** What is set whatever the tsconfig says. */
function ours(folder: string, { strict, types, noUncheckedSideEffectImports }: ts.CompilerOptions): ts.CompilerOptions {
  // The declarations that an installed package was developed with are not installed with it.
  const isInstalled = folder.split(/[\\/]/).includes("node_modules")
  const emit = Object.fromEntries(emitted.map((name) => [name, undefined]))
  const before6 = !isInstalled && (typescriptOf(folder) ?? 6) < 6
  return {
    ...emit,
    ...style,
    ignoreDeprecations: "6.0",
    noEmit: true,
    strict: strict ?? !before6,
    noUncheckedSideEffectImports: noUncheckedSideEffectImports ?? false,
    types: isInstalled ? [] : (types ?? ["*"]),
  }
}

/** Options of what is written, of which some may not stand beside others. */
const emitted = [
  "composite",
  "incremental",
  "tsBuildInfoFile",
  "declaration",
  "declarationMap",
  "declarationDir",
  "emitDeclarationOnly",
  "isolatedDeclarations",
  "noEmitOnError",
  "out",
  "outFile",
  "outDir",
  "rootDir",
  "sourceMap",
  "inlineSourceMap",
  "inlineSources",
  "mapRoot",
  "sourceRoot",
  "removeComments",
]

/** Options by which an editor complains of what is no fault of the program. */
const style: ts.CompilerOptions = {
  noUnusedLocals: false,
  noUnusedParameters: false,
  noImplicitReturns: false,
  noImplicitOverride: false,
  noFallthroughCasesInSwitch: false,
  noPropertyAccessFromIndexSignature: false,
  allowUnreachableCode: true,
  allowUnusedLabels: true,
  erasableSyntaxOnly: false,
}

/** The first number of the version of TypeScript that a project has installed. */
function typescriptOf(folder: string): number | undefined {
  for (let at = folder; ; at = dirname(at)) {
    try {
      const { version } = JSON.parse(readFileSync(join(at, "node_modules", "typescript", "package.json"), "utf8"))
      return Number.parseInt(version, 10)
    } catch {
      if (at === dirname(at)) return undefined
    }
  }
}

function nearest(file: string): { readonly path: string | undefined; readonly missing: readonly string[] } {
  const missing: string[] = []
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    for (const name of ["tsconfig.json", "jsconfig.json"]) {
      const path = join(folder, name)
      if (existsSync(path) && statSync(path).isFile()) return { path, missing }
      missing.push(path)
    }
    if (folder === dirname(folder)) return { path: undefined, missing }
  }
}

/** The real path of a file to be compiled. */
export function modelFile(file: string): string {
  const path = existingFile(file, "model/missing")
  if (/(?<!\.d)\.[cm]?tsx?$/.test(path)) return path
  throw new WeftError("model/not-typescript", `${fromWorkingDirectory(path)} is not a TypeScript file`, {
    hint: "a model is compiled from its source; name the `.ts` file",
  })
}

function existingFile(file: string, code: "model/missing" | "tsconfig/missing"): string {
  const path = resolve(file)
  if (existsSync(path) && statSync(path).isFile()) return realpathSync(path)
  throw new WeftError(code, `there is no file ${fromWorkingDirectory(path)}`)
}
