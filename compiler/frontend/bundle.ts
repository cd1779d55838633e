/**
 * One module of everything that a model reaches, packages included, so that it needs nothing around it and every load runs it anew.
 *
 *     model.ts, curves.ts, node_modules/zod/…   →   one text, its source map, what was seen of the disk, what leads outside
 *
 * A package stays an import of its own file where it cannot be taken in or should not be: it uses Node's modules or what else a process has,
 * or the bundler has no way with a file of it. Then, or when the model itself uses such things, `outside` names the first.
 */
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { type BuildFailure, type BuildOptions, type BuildResult, build } from "esbuild"
import { ts } from "ts-morph"
import { type Diagnostic, throwDiagnostics } from "./diagnostics.js"
import { modulePlugin } from "./modules.js"
import { createObserver, type Observed } from "./observed.js"
import { installedPackage, type OpenProject, type TransformedProject } from "./project.js"
import { createResolver } from "./resolve.js"

export interface Bundle {
  readonly text: string
  /** Its source map, whose sources are absolute paths. */
  readonly map: string
  readonly observed: Observed
  /** The first thing that keeps the result from following from the files alone: `model.ts:3:11 uses process`. */
  readonly outside: string | undefined
}

/** @throws WeftError `model/bundle-failed` */
export async function bundleModel(entry: string, project: OpenProject, { texts }: TransformedProject): Promise<Bundle> {
  const { folder, settings, language } = project
  const options = language.program.getCompilerOptions()
  const external = new Set<string>()
  const outside: string[] = []
  // Each run may find packages that have to stay outside of the bundle, which then is made again.
  for (;;) {
    const known = external.size
    const observer = createObserver()
    for (const { path, text } of settings.read) observer.used(path, text)
    for (const path of settings.missing) observer.host.fileExists(path)
    const resolver = createResolver(options, observer)
    const leads = (path: string, what: string) => {
      const owner = installedPackage(path, folder)
      if (owner !== undefined) external.add(owner)
      outside.push(what)
    }
    const plugin = modulePlugin({ project, texts, observer, resolver, external, leads })
    const result = await build({
      ...bundling(folder),
      entryPoints: [entry],
      tsconfigRaw: { compilerOptions: ofBundler(options) },
      plugins: [plugin],
    }).catch((failure: BuildFailure) => failure)
    const errors = result.errors ?? []
    for (const { location } of errors) {
      const owner = location === null ? undefined : installedPackage(resolve(folder, location.file), folder)
      if (owner !== undefined) external.add(owner)
    }
    if (external.size > known) continue
    throwDiagnostics(
      "model/bundle-failed",
      errors.map((error) => fromBundler(error, folder)),
    )
    if (!("outputFiles" in result)) throw result
    return { ...outputOf(result, folder), observed: observer.observed(), outside: outside[0] }
  }
}

const bundling = (folder: string) =>
  ({
    absWorkingDir: folder,
    outfile: resolve(folder, "model.mjs"),
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    charset: "utf8",
    legalComments: "none",
    sourcemap: "external",
    sourcesContent: false,
    logLevel: "silent",
  }) satisfies BuildOptions

function outputOf({ outputFiles = [] }: BuildResult, folder: string) {
  const text = (suffix: string) => outputFiles.find(({ path }) => path.endsWith(suffix))?.text ?? ""
  const map = JSON.parse(text(".map")) as { sources: string[] }
  map.sources = map.sources.map((source) => resolve(folder, source))
  const code = text(".mjs")
  const from = JSON.stringify(pathToFileURL(resolve(folder, "model.mjs")).href)
  // CommonJS that requires Node's own modules; on the first line, so that the map stays true but for its columns.
  const require = `import { createRequire as __createRequire } from "node:module"; const require = __createRequire(${from}); `
  return { text: /\b__require\(/.test(code) ? require + code : code, map: JSON.stringify(map) }
}

/** The options of a tsconfig that decide how the bundler reads a text, by the names that they have there. */
function ofBundler(options: ts.CompilerOptions) {
  const jsx = {
    [ts.JsxEmit.React]: "react",
    [ts.JsxEmit.ReactJSX]: "react-jsx",
    [ts.JsxEmit.ReactJSXDev]: "react-jsxdev",
  }
  const { experimentalDecorators, useDefineForClassFields, verbatimModuleSyntax, alwaysStrict, strict } = options
  const { jsxFactory, jsxFragmentFactory, jsxImportSource } = options
  const given = {
    experimentalDecorators,
    useDefineForClassFields:
      useDefineForClassFields ?? (options.target ?? ts.ScriptTarget.ESNext) >= ts.ScriptTarget.ES2022,
    verbatimModuleSyntax,
    alwaysStrict,
    strict,
    jsx: options.jsx === undefined ? undefined : (jsx as Record<number, string>)[options.jsx],
    jsxFactory,
    jsxFragmentFactory,
    jsxImportSource,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function fromBundler({ text, location }: BuildFailure["errors"][number], folder: string): Diagnostic {
  if (location === null) return { message: text }
  const { file, line, column, length, lineText } = location
  return { message: text, span: { file: resolve(folder, file), line, column: column + 1, length, text: lineText } }
}
