/**
 * A TypeScript program over a model's file and what it reaches, and the transformed text of its files.
 *
 *     openProject(["models/tiny.ts"])   →   tiny.ts, the files that it imports, the declaration files that the tsconfig includes
 *     transformProject(project)         →   tiny.ts and its imports, with attachments and places inserted
 *
 * The tsconfig's `include` list is not opened: a model is compiled, not the repository around it. Files of packages are part of the
 * program for their types and are never transformed.
 */
import { createHash } from "node:crypto"
import { relative, resolve, sep } from "node:path"
import { ts } from "ts-morph"
import { type Diagnostic, fromTypeScript } from "./diagnostics.js"
import { findLanguage, isLanguageFile, isLanguagePath, type Language } from "./language.js"
import { createObserver, type Observed } from "./observed.js"
import { spanOfRange } from "./places.js"
import { createHost, createProgram } from "./program.js"
import { type Transformed, transform } from "./transform.js"
import { isDeprecation, modelFile, readSettings, type Settings } from "./tsconfig.js"

export interface ProjectOptions {
  /** The tsconfig; without it the nearest one above the first file. */
  readonly tsconfig?: string | undefined
  /** Where the language is: folders (relative to the tsconfig, beginning with `.` or `/`) and names of packages. */
  readonly languageRoots?: readonly string[] | undefined
}

export interface OpenProject {
  readonly settings: Settings
  /** The folder of the tsconfig, or of the first file where there is none; absolute. */
  readonly folder: string
  readonly language: Language
  /** The files that belong to the project rather than to packages: what is transformed. */
  readonly sources: readonly ts.SourceFile[]
  /** What was seen of the disk: with the settings, and without the platform, all that the checker's answers follow from. */
  readonly seen: Observed
}

const defaultLanguageRoots = ["./dsl", "weft"]

/**
 * Opens the program. Throws `model/missing`, `model/not-typescript`, `tsconfig/missing` or `tsconfig/invalid`.
 *
 * @param platform whether the declarations of the platform (Node, the DOM) are read, too, which are most of what there is to read
 */
export function openProject(files: readonly string[], options: ProjectOptions = {}, platform = true): OpenProject {
  const paths = files.map(modelFile)
  const settings = readSettings(paths[0] ?? resolve("tsconfig.json"), options.tsconfig)
  const { folder, options: compilerOptions, ambient } = settings
  const observer = createObserver()
  const chosen = platform ? compilerOptions : withoutPlatform(compilerOptions)
  const host = createHost(chosen, observer)
  const program = createProgram([...paths, ...ambient], chosen, host)
  const sources = program.getSourceFiles().filter((source) => isProjectSource(source, folder))
  const language = findLanguage(program, host, folder, options.languageRoots ?? defaultLanguageRoots)
  return { settings, folder, sources, language, seen: observer.observed() }
}

/** The language's own library, and no packages of types that nobody imports. */
function withoutPlatform(options: ts.CompilerOptions): ts.CompilerOptions {
  const full = /\.full(\.d\.ts)$/
  const standard = ts.getDefaultLibFileName(options)
  const given = options.lib ?? (full.test(standard) ? [standard.replace(full, "$1")] : undefined)
  return { ...options, types: [], ...(given && { lib: given.filter((name) => !/dom|worker|scripthost/.test(name)) }) }
}

/** True for TypeScript text of the project itself and of packages that are linked into it, which lie elsewhere. */
function isProjectSource({ isDeclarationFile, fileName }: ts.SourceFile, folder: string): boolean {
  return !isDeclarationFile && /\.[cm]?tsx?$/.test(fileName) && installedPackage(fileName, folder) === undefined
}

/**
 * The folder of the installed package that a file belongs to. A project that is itself an installed package (its models are shipped as
 * source) does not count as one.
 */
export function installedPackage(path: string, project: string): string | undefined {
  const found = packageOf(path)
  return found === packageOf(`${project}/`) ? undefined : found
}

const packageOf = (path: string): string | undefined =>
  /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/.exec(path)?.[0]

/** The name by which spans call a file: relative to the tsconfig, so that a bundle's text does not depend on where it lies. */
function nameInProject(source: ts.SourceFile, folder: string): string {
  return relative(folder, source.fileName).split(sep).join("/")
}

/** The project's files without those of the language. */
export function modelFiles({ language, sources }: OpenProject): readonly ts.SourceFile[] {
  return sources.filter((source) => !isLanguageFile(source, language))
}

/** The files that a check of `modelFile` depends on: the project's own, as far as they are found, and the tsconfig. */
export function checkedFiles(modelFile: string, options: ProjectOptions = {}): readonly string[] {
  const project = openProject([modelFile], options, false)
  return [...project.settings.read.map(({ path }) => path), ...modelFiles(project).map((s) => resolve(s.fileName))]
}

/** Whether files of declarations are the project's own, rather than the language's, TypeScript's or those of packages. */
export function hasOwnDeclarations({ language }: OpenProject): boolean {
  const { program } = language
  return program
    .getSourceFiles()
    .some(
      (file) =>
        file.isDeclarationFile &&
        !program.isSourceFileDefaultLibrary(file) &&
        !file.fileName.includes("/node_modules/") &&
        !isLanguagePath(file.fileName, language),
    )
}

/** TypeScript's own diagnostics of the project's files. Those of the language itself are its own business. */
export function typeDiagnostics(project: OpenProject): readonly Diagnostic[] {
  const { program } = project.language
  const checked = modelFiles(project)
  const syntactic = checked.flatMap((source) => program.getSyntacticDiagnostics(source))
  const found = syntactic.length > 0 ? syntactic : checked.flatMap((source) => program.getSemanticDiagnostics(source))
  return [...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics(), ...found]
    .filter(({ category, code }) => category === ts.DiagnosticCategory.Error && !isDeprecation(code))
    .map(fromTypeScript)
}

export interface TransformedProject {
  /** The new text by absolute path; a file in which nothing is inserted has none. */
  readonly texts: ReadonlyMap<string, Transformed>
  /** The sources by the names that spans carry. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  readonly diagnostics: readonly Diagnostic[]
}

export function transformProject(project: OpenProject): TransformedProject {
  const texts = new Map<string, Transformed>()
  const diagnostics: Diagnostic[] = []
  const known = languageTexts(project)
  for (const source of project.sources) {
    const path = resolve(source.fileName)
    const isKnown = known?.has(source.fileName) ?? false
    const transformed = isKnown ? known?.get(source.fileName) : transformSource(source, project)
    if (transformed !== undefined) texts.set(path, transformed)
    for (const { message, hint, start, end } of transformed?.refusals ?? []) {
      diagnostics.push({ message, hint, span: spanOfRange(source, path, start, end) })
    }
  }
  const files = project.sources.map((source) => ({ path: nameInProject(source, project.folder), text: source.text }))
  return { texts, files, diagnostics }
}

/** One file of the project; undefined when nothing is to be inserted. */
function transformSource(source: ts.SourceFile, { folder, language }: OpenProject): Transformed | undefined {
  return transform(source, nameInProject(source, folder), language)
}

/** Sources of the language as they have been transformed, by all that this hangs on. */
const transformedLanguage = new Map<string, ReadonlyMap<string, Transformed | undefined>>()

/**
 * The transformed sources of the language, which every model of a process has alike: they import one another and packages alone. Undefined
 * where a model may declare something for them.
 */
function languageTexts(project: OpenProject): ReadonlyMap<string, Transformed | undefined> | undefined {
  const { language, folder, sources } = project
  const { program } = language
  const models = new Set(modelFiles(project))
  if ([...models].some((file) => !ts.isExternalModule(file) || /\bdeclare\b/.test(file.text))) return undefined
  const hash = createHash("sha256").update(JSON.stringify([folder, language.roots, program.getCompilerOptions()]))
  const own = sources.filter((source) => !models.has(source))
  const counts = own.some(importsPackage)
    ? () => true
    : (file: ts.SourceFile) => isLanguageFile(file, language) || declaresForOthers(file)
  for (const file of program.getSourceFiles())
    if (!models.has(file) && !program.isSourceFileDefaultLibrary(file) && counts(file))
      hash.update(`\0${file.fileName}\0${file.text}`)
  const key = hash.digest("hex")
  const texts = transformedLanguage.get(key) ?? new Map(own.map((s) => [s.fileName, transformSource(s, project)]))
  transformedLanguage.set(key, texts)
  return texts
}

const importsPackage = ({ text }: ts.SourceFile): boolean =>
  ts.preProcessFile(text).importedFiles.some(({ fileName }) => !fileName.startsWith("."))

/** Whether a file may give something to those that do not import it. */
const declaresForOthers = (file: ts.SourceFile): boolean =>
  !ts.isExternalModule(file) || /\b(global|module)\s*["'{/]/.test(file.text)
