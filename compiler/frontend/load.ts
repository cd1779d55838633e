/**
 * A model's file → its module, ready to be traced.
 *
 *     const { module, bundle } = await loadModel("models/tiny.ts")
 *
 *     tsconfig → program → TypeScript's diagnostics → transformed files → one bundle → .weft/tiny-….mjs → import
 *
 * Importing a model runs it: a model's file is a program. Packages stay outside the bundle and are found from `.weft/`, as the project
 * itself finds them. The bundle carries a source map, so that an error thrown by the model's own code can be traced to its line.
 */
import { basename, dirname, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { type BuildFailure, build, type Plugin } from "esbuild"
import { type Span, WeftError } from "../../runtime/errors.js"
import { type Diagnostic, fromWorkingDirectory, throwDiagnostics } from "./diagnostics.js"
import {
  hasOwnDeclarations,
  modelFiles,
  type OpenProject,
  openProject,
  type ProjectOptions,
  type TransformedProject,
  transformProject,
  typeDiagnostics,
} from "./project.js"
import { placeInSources } from "./stack.js"
import { storeBundle } from "./store.js"

export interface LoadedModel {
  readonly module: Record<string, unknown>
  /** The bundle's text without its source map: the same for the same sources, wherever they lie. */
  readonly bundle: string
  /** The project's sources, the model's and what it reaches, by the names that spans carry: relative to `folder`. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** The folder of the tsconfig, absolute. */
  readonly folder: string
  /** The place in the sources where an error was thrown, when it was thrown by the model's code. */
  readonly placeOf: (error: unknown) => Span | undefined
}

/**
 * Compiles `modelFile` and imports it.
 *
 * @throws WeftError `model-missing`, `tsconfig-missing`, `tsconfig-invalid`, `type-error` (TypeScript's diagnostics), `scalar-function`
 *   (ours), `bundle-failed`, `folder-not-writable`, `model-failed` (the file threw while it was imported; see `cause`)
 */
export async function loadModel(modelFile: string, options: ProjectOptions = {}): Promise<LoadedModel> {
  const project = checkedProject(modelFile, options)
  const transformed = transformProject(project)
  throwDiagnostics("scalar-function", transformed.diagnostics)
  const { bundle, map } = await bundled(modelFile, project, transformed)
  const name = basename(modelFile).replace(/\.\w+$/, "")
  const inline = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString("base64")}\n`
  const path = storeBundle(project.folder, name, bundle + inline)
  const files = new Map(modelFiles(project).map((source) => [resolve(source.fileName), source.text]))
  const sources = { bundle: path, map, folder: join(project.folder, ".weft"), files }
  const placeOf = (error: unknown) => placeInSources(error, sources)
  try {
    const module: Record<string, unknown> = await import(/* @vite-ignore */ pathToFileURL(path).href)
    return { module, bundle, files: transformed.files, folder: project.folder, placeOf }
  } catch (cause) {
    if (cause instanceof Error && cause.name === "WeftError") throw cause
    const message = `${fromWorkingDirectory(resolve(modelFile))} cannot be imported: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new WeftError("model-failed", message, { span: placeOf(cause), cause })
  }
}

/**
 * The project without errors of types. Most models name nothing of the platform; one that does is opened again, and so is one beside files of
 * declarations, which may: a type that is not found there would be `any`, and hide errors here.
 */
function checkedProject(modelFile: string, options: ProjectOptions): OpenProject {
  const alone = openProject([modelFile], options, false)
  if (!hasOwnDeclarations(alone) && typeDiagnostics(alone).length === 0) return alone
  const project = openProject([modelFile], options)
  throwDiagnostics("type-error", typeDiagnostics(project))
  return project
}

/** One module of the project's transformed files, and its source map; packages stay imports. */
async function bundled(modelFile: string, project: OpenProject, { texts }: TransformedProject) {
  const outfile = resolve(project.folder, ".weft", "model.mjs")
  const transformedText: Plugin = {
    name: "transformed text",
    setup({ onLoad }) {
      onLoad({ filter: /\.[cm]?tsx?$/ }, ({ path }) => {
        const found = texts.get(path)
        if (found === undefined) return undefined
        const map = Buffer.from(found.map).toString("base64")
        const contents = `${found.text}//# sourceMappingURL=data:application/json;base64,${map}\n`
        return { contents, loader: path.endsWith("x") ? "tsx" : "ts", resolveDir: dirname(path) }
      })
    },
  }
  const result = await build({
    entryPoints: [resolve(modelFile)],
    absWorkingDir: project.folder,
    tsconfig: project.tsconfig,
    outfile,
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    sourcemap: "external",
    logLevel: "silent",
    plugins: [transformedText],
  }).catch((failure: BuildFailure) => {
    throwDiagnostics(
      "bundle-failed",
      (failure.errors ?? []).map((error) => fromBundler(error, project.folder)),
    )
    throw failure
  })
  const text = (suffix: string) => result.outputFiles.find(({ path }) => path.endsWith(suffix))?.text ?? ""
  return { bundle: text(".mjs"), map: text(".map") }
}

function fromBundler({ text, location }: BuildFailure["errors"][number], folder: string): Diagnostic {
  if (location === null) return { message: text }
  const { file, line, column, length, lineText } = location
  return { message: text, span: { file: resolve(folder, file), line, column: column + 1, length, text: lineText } }
}
