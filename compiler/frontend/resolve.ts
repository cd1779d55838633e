/**
 * From an import to the file that runs: TypeScript's own resolution, asked for code instead of declarations.
 *
 *     "./k.js" in model.ts   →   k.ts when there is one, as the checker has it, else k.js
 *     "zod"                  →   node_modules/zod/index.js, where the checker reads index.d.ts
 *
 * The bundler has rules of its own (it takes a `k.js` that lies beside `k.ts`, and reads `paths` in its own way); it is not asked. What was
 * looked for and not found is noted by the observer's host.
 */
import { isBuiltin } from "node:module"
import { dirname, join, resolve } from "node:path"
import { ts } from "ts-morph"
import type { Observer } from "./observed.js"

/** How an import is written, as the bundler says it. */
export type ImportKind = string

export type Resolved =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "builtin"; readonly name: string }
  | { readonly kind: "missing" }

export interface Resolver {
  resolve(specifier: string, importer: string, kind: ImportKind): Resolved
  /** What the transform imports: found from the project's folder, whatever the file that it was inserted into could reach and however. */
  entry(specifier: string, folder: string): Resolved
}

/** A resolver with the settings of the user's program. */
export function createResolver(options: ts.CompilerOptions, { host }: Observer): Resolver {
  const forCode: ts.CompilerOptions = {
    ...options,
    allowJs: true,
    resolveJsonModule: true,
    customConditions: [...(options.customConditions ?? []), "node"],
    // Known to TypeScript's editor service, which goes to a definition by it: implementations, no declarations.
    noDtsResolution: true,
  }
  const modeOf = (importer: string, kind: ImportKind): ts.ResolutionMode => {
    if (kind.startsWith("require")) return ts.ModuleKind.CommonJS
    if (kind === "dynamic-import") return ts.ModuleKind.ESNext
    const implied = ts.getImpliedNodeFormatForFile(importer, undefined, host, options)
    return implied === ts.ModuleKind.CommonJS && /\.[cm]?tsx?$/.test(importer) ? implied : ts.ModuleKind.ESNext
  }
  // By the package's `exports`, which an old way of resolution does not read.
  const byExports = {
    ...forCode,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    resolvePackageJsonExports: true,
  }
  return {
    entry(specifier, folder) {
      const importer = join(folder, "model.ts")
      const mode = ts.ModuleKind.ESNext
      const { resolvedModule } = ts.resolveModuleName(specifier, importer, byExports, host, undefined, undefined, mode)
      return resolvedModule === undefined
        ? { kind: "missing" }
        : { kind: "file", path: resolve(resolvedModule.resolvedFileName) }
    },
    resolve(specifier, importer, kind) {
      if (isBuiltin(specifier)) return { kind: "builtin", name: specifier }
      const mode = modeOf(importer, kind)
      const { resolvedModule } = ts.resolveModuleName(specifier, importer, forCode, host, undefined, undefined, mode)
      if (resolvedModule !== undefined && !/\.d\.[cm]?ts$/.test(resolvedModule.resolvedFileName))
        return { kind: "file", path: resolve(resolvedModule.resolvedFileName) }
      // Texts and other data, which TypeScript knows by a declaration of the pattern only.
      const path = resolve(dirname(importer), specifier)
      return /^\.{0,2}[/\\]/.test(specifier) && host.fileExists(path) ? { kind: "file", path } : { kind: "missing" }
    },
  }
}
