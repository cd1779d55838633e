/** What `loadProgram` is given: a file or an artifact, and where its caches lie. */
import { WeftError } from "../runtime/errors.js"
import { hostText } from "../runtime/host.js"

/** True for a path or a URL; what is anything else is checked as an artifact. */
export const isFile = (source: unknown): source is string | URL =>
  typeof source === "string" || Object.prototype.toString.call(source) === "[object URL]"

/** @throws WeftError `program/cache`, `program/tuned` */
export function checkFolders(options: { readonly cache?: unknown; readonly tuned?: unknown }): void {
  for (const name of ["cache", "tuned"] as const) {
    const value = options[name]
    if (value === undefined || value === false || (typeof value === "string" && value !== "" && !value.includes("\0")))
      continue
    throw new WeftError(`program/${name}`, `${name} is ${hostText(value)}; it is a path, or false`)
  }
}
