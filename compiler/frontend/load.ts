/**
 * A model's file → its module, ready to be traced.
 *
 *     const { module, bundle } = await loadModel("models/tiny.ts")
 *
 *     tsconfig → program → TypeScript's diagnostics → transformed files → one bundle → import
 *
 * Importing a model runs it: a model's file is a program. The bundle is imported from memory, under a name of its own each time: nothing is
 * written, no file has to be trusted, and what a model reads while it runs is read anew. Its source map leads an error that is thrown by
 * the model's own code back to its line. What comes before the import is done again only when the disk has changed.
 */
import { randomUUID } from "node:crypto"
import { basename, resolve } from "node:path"
import { type Span, thrownText, WeftError } from "../../runtime/errors.js"
import { type Bundle, bundleModel } from "./bundle.js"
import { fromWorkingDirectory, throwDiagnostics } from "./diagnostics.js"
import { type Observed, stillHolds } from "./observed.js"
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
import { modelFile as existingModel, readSettings } from "./tsconfig.js"

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
  const { bundle, files, folder, texts } = await preparedModel(modelFile, options)
  const { text, map, observed, outside } = bundle
  const name = basename(modelFile).replace(/\.\w+$/, "")
  const bundleName = `weft:${encodeURIComponent(name)}-${randomUUID()}.mjs`
  const address = `data:text/javascript;base64,${Buffer.from(`${text}\n//# sourceURL=${bundleName}\n`).toString("base64")}`
  const placeOf = (error: unknown) => placeInSources(error, { bundle: bundleName, address, map, files: texts })
  try {
    const module: Record<string, unknown> = await import(/* @vite-ignore */ address)
    return { module, bundle: text, files, folder, observed, outside, placeOf }
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

/** A model before its import. */
interface Prepared extends Pick<LoadedModel, "files" | "folder"> {
  readonly bundle: Bundle
  /** The model's own sources by absolute path. */
  readonly texts: ReadonlyMap<string, string>
}

/** What this process has prepared, the latest last, each with what its check saw of the disk. */
const kept = new Map<string, { readonly prepared: Prepared; readonly seen: Observed }>()
/** Each is about a megabyte of text; a process that goes back and forth has few models. */
const mostKept = 16

/** Checked and bundled; as it was when it has been, the settings are the same, and the disk answers the same to all that was asked of it. */
async function preparedModel(modelFile: string, options: ProjectOptions): Promise<Prepared> {
  const entry = existingModel(modelFile)
  const settings = readSettings(entry, options.tsconfig)
  const key = JSON.stringify([process.cwd(), modelFile, entry, options, settings])
  const known = kept.get(key)
  kept.delete(key)
  if (known !== undefined && stillHolds(known.seen) && stillHolds(known.prepared.bundle.observed)) {
    kept.set(key, known)
    return known.prepared
  }
  const { project, alone } = checkedProject(modelFile, options)
  const transformed = transformProject(project)
  throwDiagnostics("scalar/function", transformed.diagnostics)
  const prepared = {
    bundle: await bundleModel(entry, project, transformed),
    files: transformed.files,
    folder: project.folder,
    texts: new Map(modelFiles(project).map((source) => [resolve(source.fileName), source.text])),
  }
  if (alone) kept.set(key, { prepared, seen: project.seen })
  for (const oldest of kept.keys()) if (kept.size > mostKept) kept.delete(oldest)
  return prepared
}

/**
 * The project without errors of types, and whether it needs nothing of the platform. Most models name nothing of it; one that does is opened
 * again, and so is one beside files of declarations, which may: a type that is not found there would be `any`, and hide errors here.
 */
function checkedProject(
  modelFile: string,
  options: ProjectOptions,
): { readonly project: OpenProject; readonly alone: boolean } {
  const alone = openProject([modelFile], options, false)
  if (!hasOwnDeclarations(alone) && typeDiagnostics(alone).length === 0) return { project: alone, alone: true }
  const project = openProject([modelFile], options)
  throwDiagnostics("model/type-error", typeDiagnostics(project))
  return { project, alone: false }
}
