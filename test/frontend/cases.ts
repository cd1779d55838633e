/**
 * Projects for the tests of the front end, written to a temporary folder: a small language, and one file a case, so that one program
 * serves a whole table.
 *
 *     const project = temporaryProject({ "one.ts": "map((v) => v * 2, x)" })
 */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { ScalarSource } from "../../dsl/attach.js"

const here = dirname(fileURLToPath(import.meta.url))
const read = (...path: readonly string[]) => readFileSync(join(here, ...path), "utf8")

export const compilerOptions = {
  strict: true,
  module: "nodenext",
  target: "es2023",
  lib: ["es2023"], // without the browser's declarations, which take most of the time
  skipLibCheck: true,
  types: [],
}

/** Where the language of a temporary project lies. */
export const languageRoots = ["./language"]

/** Writes `files` beside a copy of the small language and a tsconfig, and returns the folder. */
export function temporaryProject(
  files: Readonly<Record<string, string>>,
  tsconfig: object = { compilerOptions },
): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "weft-frontend-"))
  const all = {
    "tsconfig.json": JSON.stringify(tsconfig),
    "package.json": JSON.stringify({ type: "module" }),
    "language/index.ts": read("fixtures", "language", "index.ts").replaceAll("../../../../dsl/", "./"),
    "language/attach.ts": read("..", "..", "dsl", "attach.ts"),
    "runtime/errors.ts": read("..", "..", "runtime", "errors.ts"),
    "language/tracing.ts": read("..", "..", "dsl", "tracing.ts"),
    ...files,
  }
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

/** A scalar expression as text: `$0` a parameter, `%0` a local, `{eps}` a capture. */
export function printed(source: ScalarSource): string {
  switch (source.kind) {
    case "number":
    case "boolean":
      return String(source.value)
    case "parameter":
      return `$${source.index}`
    case "local":
      return `%${source.index}`
    case "capture":
      return `{${source.name}}`
    case "call":
      return `(call ${[source.name, ...source.args.map(printed)].join(" ")})`
    case "operation":
      return `(${[source.operation, ...source.args.map(printed)].join(" ")})`
    default:
      return source satisfies never
  }
}
