/**
 * The folder `.weft/` beside the tsconfig, where bundles lie while they are imported: from there a bundle finds the packages that the
 * project has installed.
 *
 *     storeBundle("/project", "tiny", text)   →   /project/.weft/tiny-3f9a….mjs
 *
 * A bundle is written beside its name and renamed, so no process ever reads half of one. The name holds a hash of the text: the same text
 * is the same file, and Node imports it once.
 */
import { createHash, randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { WeftError } from "../../runtime/errors.js"
import { fromWorkingDirectory } from "./diagnostics.js"

/** Bundles that nobody has asked for in this time are removed, in milliseconds. */
const keep = 24 * 60 * 60 * 1000

/** Writes `text` and returns its path. Throws `folder-not-writable`. */
export function storeBundle(project: string, name: string, text: string): string {
  const folder = join(project, ".weft")
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 16)
  const path = join(folder, `${name}-${hash}.mjs`)
  try {
    if (existsSync(path)) {
      utimesSync(path, new Date(), new Date())
      return path
    }
    mkdirSync(folder, { recursive: true })
    writeWhole(join(folder, ".gitignore"), "*\n")
    writeWhole(path, text)
  } catch (cause) {
    throw new WeftError("folder-not-writable", `cannot write to ${fromWorkingDirectory(folder)}: ${reason(cause)}`, {
      hint: "the compiled model is put beside the tsconfig, where it can find the project's packages; make that folder writable",
      cause,
    })
  }
  removeOld(folder)
  return path
}

function writeWhole(path: string, text: string): void {
  const beside = `${path}.${randomUUID()}`
  writeFileSync(beside, text)
  renameSync(beside, path)
}

function removeOld(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (name !== ".gitignore" && Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > keep) {
      rmSync(path, { force: true })
    }
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
