/**
 * The place in a model's sources where an error was thrown.
 *
 *     at block (weft:tiny-3f9a….mjs:67:19)   →   models/tiny.ts:23:19, with its line
 *
 * The topmost frame that lies in the model's own files counts; the language's frames above it do not. Where Node maps stacks itself
 * (`--enable-source-maps`, test runners) frames name the whole text in place of its name; the name is put back, for people.
 */
import { SourceMap, type SourceMapPayload } from "node:module"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { type Span, WeftError } from "../../runtime/errors.js"
import { fromWorkingDirectory } from "./diagnostics.js"

/** What is needed to read a stack: the bundle's name and the address that it was imported from, its source map with absolute paths, and the model's files by absolute path. */
export interface Sources {
  readonly bundle: string
  readonly address: string
  readonly map: string
  readonly files: ReadonlyMap<string, string>
}

export function placeInSources(error: unknown, { bundle, address, map, files }: Sources): Span | undefined {
  const stack = stackOf(error).replaceAll(address, bundle)
  if (error instanceof Error && stackOf(error).length > stack.length) Reflect.set(error, "stack", stack)
  let sourceMap: SourceMap | undefined
  for (const frame of stack.matchAll(/(?:\(|at (?:async )?)([^()\n]+):(\d+):(\d+)\)?$/gm)) {
    let path = frame[1]!.startsWith("file:") ? fileURLToPath(frame[1]!) : frame[1]!
    let [line, column] = [Number(frame[2]), Number(frame[3])]
    if (path === bundle) {
      sourceMap ??= new SourceMap(JSON.parse(map) as SourceMapPayload)
      const entry = sourceMap.findEntry(line - 1, column - 1)
      if (!("originalSource" in entry)) continue
      path = resolve(entry.originalSource)
      line = entry.originalLine + 1
      column = entry.originalColumn + 1
    }
    const text = files.get(path)?.split(/\r?\n/)[line - 1]
    if (text !== undefined) return { file: fromWorkingDirectory(path), line, column, text: text.replaceAll("\t", " ") }
  }
  return undefined
}

/** An error of the language, which knows no places, with the model's line where it was thrown. */
export function placed(error: WeftError, placeOf: (error: unknown) => Span | undefined): WeftError {
  const { code, reason, hint } = error
  const span = error.span ?? placeOf(error)
  return span === error.span ? error : new WeftError(code, reason, { span, hint, cause: error })
}

/** What is thrown may be anything, a stack that is no text included. */
function stackOf(error: unknown): string {
  try {
    const stack: unknown = error instanceof Error ? error.stack : undefined
    return typeof stack === "string" ? stack : ""
  } catch {
    return ""
  }
}
