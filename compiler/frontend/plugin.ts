/**
 * The same transform for the project's own build and tests, which know no model file.
 *
 *     transformFiles(["dsl/index.ts"])                 →   Map { "/project/dsl/normal.ts" → { text, map, refusals } … }
 *     plugins: [frontendPlugin({ include: ["dsl"] })]   in vitest.config.ts
 *
 * Both open one program over the files. The plugin reports nothing: a function that is not in the subset carries its refusal, and the tracer
 * prints it when it meets the function.
 */
import { readdirSync, realpathSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { throwDiagnostics } from "./diagnostics.js"
import { openProject, type ProjectOptions, transformProject, transformSource } from "./project.js"
import type { Transformed } from "./transform.js"

/**
 * Transforms the files at `paths` and the project files that they reach. Files in which nothing is inserted are not in the map; keys
 * are real paths.
 */
export function transformFiles(
  paths: readonly string[],
  options: ProjectOptions = {},
): ReadonlyMap<string, Transformed> {
  const { texts, diagnostics } = transformProject(openProject(paths, options))
  throwDiagnostics("scalar-function", diagnostics)
  return texts
}

export interface FrontendPlugin {
  readonly name: string
  readonly enforce: "pre"
  transform(code: string, id: string): { code: string; map: string } | undefined
}

/**
 * A plugin of vite's and rollup's shape that transforms the TypeScript files of the folders `include`. The program is opened at the first
 * file and again when a file's text is no longer the one that it was opened with.
 */
export function frontendPlugin(options: ProjectOptions & { readonly include: readonly string[] }): FrontendPlugin {
  const folders = options.include.map((folder) => `${realpathSync(resolve(folder))}/`)
  let sources = new Map<string, () => Transformed | undefined>()
  const seen = new Map<string, string>()
  const open = () => {
    const project = openProject(folders.flatMap(sourcesBelow), options)
    return new Map(project.sources.map((source) => [source.fileName, () => transformSource(source, project)]))
  }
  return {
    name: "weft",
    enforce: "pre",
    transform(code, id) {
      const path = id.replace(/[?#].*$/, "")
      if (!path.endsWith(".ts") || !folders.some((folder) => path.startsWith(folder))) return undefined
      if (!sources.has(path) || (seen.has(path) && seen.get(path) !== code)) sources = open()
      seen.set(path, code)
      const found = sources.get(path)?.()
      return found === undefined ? undefined : { code: found.text, map: found.map }
    },
  }
}

function sourcesBelow(folder: string): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return name === "node_modules" || name === "fixtures" ? [] : sourcesBelow(path)
    return name.endsWith(".ts") && !name.endsWith(".d.ts") ? [path] : []
  })
}
