/**
 * The user's tsconfig: found above the model's file, read with all that it extends.
 *
 *     models/tiny.ts   →   ./tsconfig.json   →   compiler options, and the declaration files of its list
 */
import { existsSync, realpathSync, statSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { ts } from "ts-morph"
import { WeftError } from "../../runtime/errors.js"
import { fromTypeScript, fromWorkingDirectory, throwDiagnostics } from "./diagnostics.js"

export interface Settings {
  /** The tsconfig, absolute. */
  readonly path: string
  readonly options: ts.CompilerOptions
  /** Declaration files that the tsconfig includes: they may declare globals. */
  readonly ambient: readonly string[]
}

/** Reads `tsconfig`, or the nearest one above `file`. */
export function readSettings(file: string, tsconfig?: string): Settings {
  const path = tsconfig === undefined ? nearest(file) : existingFile(tsconfig, "tsconfig-missing")
  const read = ts.readConfigFile(path, ts.sys.readFile)
  const folder = dirname(path)
  // The declarations that an installed package was developed with are not installed with it.
  const withoutMissingTypes = folder.split(/[\\/]/).includes("node_modules") ? { types: [] } : {}
  const parsed = ts.parseJsonConfigFileContent(read.config ?? {}, ts.sys, folder, undefined, path)
  const errors = [...(read.error ? [read.error] : []), ...parsed.errors].filter((error) => error.code !== noInputs)
  throwDiagnostics("tsconfig-invalid", errors.map(fromTypeScript))
  return {
    path,
    options: { ...parsed.options, ...withoutMissingTypes, noEmit: true, composite: false, incremental: false },
    ambient: parsed.fileNames.filter((name) => /\.d\.[cm]?ts$/.test(name)),
  }
}

/** "No inputs were found in config file": the list is not used. */
const noInputs = 18003

function nearest(file: string): string {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const path = join(folder, "tsconfig.json")
    if (existsSync(path)) return path
    if (folder === dirname(folder)) break
  }
  throw new WeftError(
    "tsconfig-missing",
    `no tsconfig.json in the folder of ${fromWorkingDirectory(file)} or above it`,
    {
      hint: 'write one; { "compilerOptions": { "strict": true, "module": "nodenext", "target": "es2023" } } is enough',
    },
  )
}

/** The real path of a file to be compiled. */
export function modelFile(file: string): string {
  const path = existingFile(file, "model-missing")
  if (/(?<!\.d)\.[cm]?tsx?$/.test(path)) return path
  throw new WeftError("model-not-typescript", `${fromWorkingDirectory(path)} is not a TypeScript file`, {
    hint: "a model is compiled from its source; name the `.ts` file",
  })
}

function existingFile(file: string, code: "model-missing" | "tsconfig-missing"): string {
  const path = resolve(file)
  if (existsSync(path) && statSync(path).isFile()) return realpathSync(path)
  throw new WeftError(code, `there is no file ${fromWorkingDirectory(path)}`)
}
