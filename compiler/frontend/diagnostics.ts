/**
 * TypeScript's diagnostics and the front end's own, as one error that prints like tsc's.
 *
 *     models/tiny.ts:4:13 - TS2345: Argument of type '"dim"' is not assignable to parameter of type '"embed"'.
 *
 *     4 | const y = dot(x, w, "dim")
 *                             ~~~~~
 *
 * The first ten are printed, with paths as seen from the working directory. The error's `mistakes` holds each as an error of its own.
 */
import { isAbsolute, relative } from "node:path"
import { ts } from "ts-morph"
import { type ErrorCode, type Span, WeftError } from "../../runtime/errors.js"
import { spanOfRange } from "./places.js"

export interface Diagnostic {
  readonly message: string
  readonly hint?: string | undefined
  /** The place, with an absolute path. Settings have none. */
  readonly span?: Span | undefined
}

const printed = 10

export function fromTypeScript(diagnostic: ts.Diagnostic): Diagnostic {
  const { file, start, length, code } = diagnostic
  const message = `TS${code}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n")}`
  if (file === undefined || start === undefined) return { message }
  return { message, span: spanOfRange(file, file.fileName, start, start + (length ?? 1)) }
}

/** Throws `code` with all of `diagnostics`, when there are any. */
export function throwDiagnostics(code: ErrorCode, diagnostics: readonly Diagnostic[]): void {
  const errors = diagnostics.map(({ message, hint, span }) => {
    return new WeftError(code, message, { hint, span: span && { ...span, file: fromWorkingDirectory(span.file) } })
  })
  const [first] = errors
  if (first === undefined) return
  if (errors.length === 1) throw first
  const more = errors.length > printed ? [`… and ${errors.length - printed} more`] : []
  const text = [...errors.slice(0, printed).map((error) => error.message), ...more].join("\n\n")
  throw new WeftError(code, text, { mistakes: errors })
}

/** A path as seen from the working directory, or as it is where it lies elsewhere altogether. */
export function fromWorkingDirectory(path: string): string {
  const seen = relative(process.cwd(), path)
  return seen === "" || isAbsolute(seen) ? path : seen.replaceAll("\\", "/")
}
