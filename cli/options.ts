/** What `load` and `loadProgram` are given: a folder, a file or an artifact, and options, each read once and of its type. */
import { fileURLToPath } from "node:url"
import { precisionNames } from "../runtime/artifact.js"
import { WeftError } from "../runtime/errors.js"
import { countOf, functionOf, hostText, oneOfNames, optionsOf, pathOption } from "../runtime/host.js"
import type { NodeLoadOptions } from "./node.js"
import type { LoadProgramOptions } from "./program.js"

/** True for a path or a URL, of any realm; what is anything else is checked as an artifact. */
export const isFile = (source: unknown): source is string | URL =>
  typeof source === "string" || Object.prototype.toString.call(source) === "[object URL]"

/**
 * The path of a checkpoint's folder; `undefined` for an object, which may be an artifact.
 *
 * @throws WeftError `load/source`
 */
export function sourcePath(source: unknown): string | undefined {
  if (isFile(source)) return typeof source === "string" ? source : fileURLToPath(String(source))
  if (typeof source === "object" && source !== null) return undefined
  throw new WeftError("load/source", `load is given ${hostText(source)}`, {
    hint: "give the folder of a checkpoint, or an artifact and the option 'checkpoint'",
  })
}

/** @throws WeftError `load/option`, `load/precision`, `load/chunk`, `load/context`, `load/memory` */
export function loadOptions(given: NodeLoadOptions): NodeLoadOptions {
  const options = { ...optionsOf(given, "load/option") }
  for (const name of ["model", "checkpoint"] as const) pathOption(options[name], "load/option", name, false)
  for (const name of ["cache", "tuned"] as const) pathOption(options[name], "load/option", name, true)
  functionOf(options.onProgress, "load/option", "onProgress")
  oneOfNames(options.precision, precisionNames, "load/precision", "precision")
  countOf(options.chunk, 4096, "load/chunk", "chunk")
  countOf(options.context, 2 ** 31 - 1, "load/context", "context")
  countOf(options.memory, Number.MAX_SAFE_INTEGER, "load/memory", "memory")
  return options
}

/** @throws WeftError `program/options`, `program/cache`, `program/tuned` */
export function programOptions(given: LoadProgramOptions): LoadProgramOptions {
  const options = { ...optionsOf(given, "program/options") }
  for (const name of ["cache", "tuned"] as const) pathOption(options[name], `program/${name}`, name, true)
  return options
}
