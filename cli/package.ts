/**
 * The package's own folder, and the stamp of this version of the compiler.
 *
 * The build defines WEFT_STAMP as a hash of the sources; run from the sources, as the tests do, the hash is taken here.
 */
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

declare const WEFT_STAMP: string

/** cli/ and dist/ lie side by side. */
export const packageFolder: string = fileURLToPath(new URL("..", import.meta.url))

/** The checkpoint that comes with the package. */
export const shippedCheckpoint: string = join(packageFolder, "models", "tales")

/** Equal for equal compilers. */
export function compilerStamp(): string {
  if (typeof WEFT_STAMP === "string") return WEFT_STAMP
  const hash = createHash("sha256")
  for (const folder of ["compiler", "dsl", "runtime"])
    for (const path of sourcesBelow(join(packageFolder, folder))) hash.update(path).update(readFileSync(path))
  return hash.digest("hex")
}

function sourcesBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}
