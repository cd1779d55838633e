/**
 * The bundler's plugin: each import leads where the checker says, and each text is the one that was checked, with what is inserted.
 */
import { readFileSync } from "node:fs"
import { dirname, extname } from "node:path"
import { pathToFileURL } from "node:url"
import type { Loader, OnResolveResult, Plugin } from "esbuild"
import { ts } from "ts-morph"
import { fromWorkingDirectory } from "./diagnostics.js"
import { isInternalEntry, isLanguagePath } from "./language.js"
import type { Observer } from "./observed.js"
import { outsideOf } from "./outside.js"
import { placeOfRange } from "./places.js"
import { installedPackage, type OpenProject, type TransformedProject } from "./project.js"
import type { Resolver } from "./resolve.js"

export interface Modules {
  readonly project: OpenProject
  readonly texts: TransformedProject["texts"]
  readonly observer: Observer
  readonly resolver: Resolver
  /** Folders of packages that stay outside. */
  readonly external: ReadonlySet<string>
  /** Called with what leads outside of the text, and the file that does. */
  readonly leads: (path: string, what: string) => void
}

/** A package that looks at the clock and the like in functions which the schema of a config does not call. */
const trusted = /[\\/]node_modules[\\/]zod$/

export function modulePlugin(modules: Modules): Plugin {
  return {
    name: "modules as they are checked",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /.*/ }, ({ path, importer, kind }) =>
        kind === "entry-point" ? { path } : resolved(path, importer, kind, modules),
      )
      onLoad({ filter: /.*/, namespace: "file" }, ({ path }) => loaded(path, modules))
    },
  }
}

function resolved(
  specifier: string,
  importer: string,
  kind: string,
  { project: { folder, language }, observer, resolver, external, leads }: Modules,
): OnResolveResult {
  const found = isInternalEntry(specifier, language)
    ? resolver.entry(specifier, folder)
    : resolver.resolve(specifier, importer, kind)
  const leadsOut = () => leads(importer, `${fromWorkingDirectory(importer)} imports ${JSON.stringify(specifier)}`)
  if (found.kind === "builtin") {
    leadsOut()
    return { path: specifier, external: true }
  }
  if (found.kind === "missing") {
    if (installedPackage(importer, folder) === undefined)
      return { errors: [{ text: `Could not resolve ${JSON.stringify(specifier)}` }] }
    leadsOut()
    return { path: specifier, external: true }
  }
  const owner = installedPackage(found.path, folder)
  if (owner === undefined) return { path: found.path }
  if (external.has(owner)) {
    leadsOut()
    return { path: kind.startsWith("require") ? found.path : pathToFileURL(found.path).href, external: true }
  }
  const manifest = observer.host.readFile(`${owner}/package.json`) ?? ""
  return { path: found.path, sideEffects: !/"sideEffects"\s*:\s*false/.test(manifest) }
}

function loaded(path: string, { project, texts, observer, leads }: Modules) {
  const { folder, language, sources } = project
  const source = sources.find(({ fileName }) => fileName === slashed(path))
  const bytes = source === undefined ? readFileSync(path) : undefined
  const text = source?.text ?? bytes!.toString("utf8")
  observer.used(path, bytes ?? text)
  if (isScript(path) && !isLanguagePath(path, language) && !trusted.test(installedPackage(path, folder) ?? "")) {
    const file = source ?? ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
    const found = outsideOf(file, source && language.checker)
    if (found !== undefined) {
      const [line, column] = placeOfRange(file, found.start, found.start + 1)
      leads(path, `${fromWorkingDirectory(path)}:${line}:${column} uses ${found.what}`)
    }
  }
  const transformed = texts.get(path)
  const map = transformed && Buffer.from(transformed.map).toString("base64")
  const contents = transformed
    ? `${transformed.text}//# ${mapComment}=data:application/json;base64,${map}\n`
    : (bytes ?? text)
  return { contents, loader: loaderOf(path), resolveDir: dirname(path) }
}

/** In two parts: tools that read this file would look for a map of it here. */
const mapComment = ["sourceMapping", "URL"].join("")
const slashed = (path: string) => path.replaceAll("\\", "/")
const isScript = (path: string) => /\.[cm]?[jt]sx?$/.test(path)

function loaderOf(path: string): Loader {
  const kind = /\.[cm]?([jt]sx?)$/.exec(path)?.[1]
  if (kind === "ts" || kind === "tsx" || kind === "jsx") return kind
  return kind === "js" ? "jsx" : extname(path) === ".json" ? "json" : "default"
}
