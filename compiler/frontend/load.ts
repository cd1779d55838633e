/**
 * A model's file → its module, ready to be traced.
 *
 *     const { module, bundle } = await loadModel("models/tiny.ts")
 *
 *     tsconfig → program → TypeScript's diagnostics → transformed files → one bundle → import
 *
 * Importing a model runs it: a model's file is a program. The bundle is imported from memory, under a name of its own each time: nothing is
 * written, no file has to be trusted, and what a model reads while it runs is read anew. Its source map leads an error that is thrown by
 * the model's own code back to its line.
 */
import { randomUUID } from "node:crypto"
import { basename, resolve } from "node:path"
import { type Span, thrownText, WeftError } from "../../runtime/errors.js"
import { bundleModel } from "./bundle.js"
import { fromWorkingDirectory, throwDiagnostics } from "./diagnostics.js"
import type { Observed } from "./observed.js"
import {
  hasOwnDeclarations,
  modelFiles,
  type OpenProject,
  openProject,
  type ProjectOptions,
  transformProject,
  typeDiagnostics,
} from "./project.js"
import { placed, placeInSources } from "./stack.js"
import { modelFile as existingModel } from "./tsconfig.js"

export interface LoadedModel {
  readonly module: Record<string, unknown>
  /** The bundle's text without its source map. */
  readonly bundle: string
  /** The project's sources, the model's and what it reaches, by the names that spans carry: relative to `folder`. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** The folder of the tsconfig, absolute. */
  readonly folder: string
  /** What the module was made of: as long as it holds, the same module would come out. */
  readonly observed: Observed
  /** What the module depends on besides, with its place: files that it reads, the environment, the clock. */
  readonly outside: string | undefined
  /** The place in the sources where an error was thrown, when it was thrown by the model's code. */
  readonly placeOf: (error: unknown) => Span | undefined
}

/**
 * Compiles `modelFile` and imports it.
 *
 * @throws WeftError `model/missing`, `tsconfig/missing`, `tsconfig/invalid`, `model/type-error` (TypeScript's diagnostics), `scalar/function`
 *   (ours), `model/bundle-failed`, `model/failed` (the file threw while it was imported; see `cause`)
 */
export async function loadModel(modelFile: string, options: ProjectOptions = {}): Promise<LoadedModel> {
  const project = checkedProject(modelFile, options)
  const transformed = transformProject(project)
  throwDiagnostics("scalar/function", transformed.diagnostics)
  const { text, map, observed, outside } = await bundleModel(existingModel(modelFile), project, transformed)
  const name = basename(modelFile).replace(/\.\w+$/, "")
  const bundleName = `weft:${encodeURIComponent(name)}-${randomUUID()}.mjs`
  const address = `data:text/javascript;base64,${Buffer.from(`${text}\n//# sourceURL=${bundleName}\n`).toString("base64")}`
  const files = new Map(modelFiles(project).map((source) => [resolve(source.fileName), source.text]))
  const placeOf = (error: unknown) => placeInSources(error, { bundle: bundleName, address, map, files })
  try {
    const module: Record<string, unknown> = await import(/* @vite-ignore */ address)
    return { module, bundle: text, files: transformed.files, folder: project.folder, observed, outside, placeOf }
  } catch (cause) {
    if (cause instanceof WeftError) throw placed(cause, placeOf)
    const message = `${fromWorkingDirectory(resolve(modelFile))} cannot be imported: ${thrownText(cause).replaceAll(address, bundleName)}`
    throw new WeftError("model/failed", message, { span: placeOf(cause), cause, hint: importHint(cause) })
  }
}

/** What Node says of an import that the bundler could not follow: from a bundle, which lies nowhere, or of a file that is no JavaScript. */
const importCodes: readonly unknown[] = [
  "ERR_MODULE_NOT_FOUND",
  "ERR_UNKNOWN_FILE_EXTENSION",
  "ERR_UNSUPPORTED_DIR_IMPORT",
  "ERR_UNSUPPORTED_ESM_URL_SCHEME",
  "ERR_UNSUPPORTED_RESOLVE_REQUEST",
  "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX",
]

function importHint(cause: unknown): string | undefined {
  if (!(cause instanceof Error && "code" in cause && importCodes.includes(cause.code))) return undefined
  return 'name what is imported by a literal, import("./other.ts"): a name that is computed is left to Node, which reads JavaScript and absolute URLs only'
}

/**
 * The project without errors of types. Most models name nothing of the platform; one that does is opened again, and so is one beside files of
 * declarations, which may: a type that is not found there would be `any`, and hide errors here.
 */
function checkedProject(modelFile: string, options: ProjectOptions): OpenProject {
  const alone = openProject([modelFile], options, false)
  if (!hasOwnDeclarations(alone) && typeDiagnostics(alone).length === 0) return alone
  const project = openProject([modelFile], options)
  throwDiagnostics("model/type-error", typeDiagnostics(project))
  return project
}
