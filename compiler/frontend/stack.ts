/**
 * The place in a model's sources where an error was thrown.
 *
 *     at block (file:///project/.weft/tiny-3f9a….mjs:67:19)   →   models/tiny.ts:23:19, with its line
 *
 * The topmost frame that lies in the model's own files counts; the language's frames above it do not. Where Node maps stacks itself
 * (`--enable-source-maps`, test runners) the frames name the sources already.
 */
import { SourceMap, type SourceMapPayload } from "node:module"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import type { Span } from "../../runtime/errors.js"
import { fromWorkingDirectory } from "./diagnostics.js"

/** What is needed to read a stack: the bundle's path, its source map, and the model's files by absolute path. */
export interface Sources {
  readonly bundle: string
  readonly map: string
  /** The folder that the map's sources are relative to. */
  readonly folder: string
  readonly files: ReadonlyMap<string, string>
}

export function placeInSources(error: unknown, { bundle, map, folder, files }: Sources): Span | undefined {
  const stack = error instanceof Error ? (error.stack ?? "") : ""
  let sourceMap: SourceMap | undefined
  for (const frame of stack.matchAll(/(?:\(|at (?:async )?)([^()\n]+):(\d+):(\d+)\)?$/gm)) {
    let path = frame[1]!.startsWith("file:") ? fileURLToPath(frame[1]!) : frame[1]!
    let [line, column] = [Number(frame[2]), Number(frame[3])]
    if (path === bundle) {
      sourceMap ??= new SourceMap(JSON.parse(map) as SourceMapPayload)
      const entry = sourceMap.findEntry(line - 1, column - 1)
      if (!("originalSource" in entry)) continue
      path = resolve(folder, entry.originalSource)
      line = entry.originalLine + 1
      column = entry.originalColumn + 1
    }
    const text = files.get(path)?.split(/\r?\n/)[line - 1]
    if (text !== undefined) return { file: fromWorkingDirectory(path), line, column, text: text.replaceAll("\t", " ") }
  }
  return undefined
}
