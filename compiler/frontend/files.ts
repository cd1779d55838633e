/**
 * The same transform for the project's own build, which knows no model file.
 *
 *     transformFiles(["dsl/index.ts"])   →   Map { "/project/dsl/normal.ts" → { text, map, refusals } … }
 */
import { realpathSync } from "node:fs"
import { throwDiagnostics } from "./diagnostics.js"
import { openProject, type ProjectOptions, transformProject } from "./project.js"
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
  throwDiagnostics("scalar/function", diagnostics)
  return new Map([...texts].map(([path, transformed]) => [realpathSync(path), transformed]))
}
