/**
 * The package's own folder, and the stamp of this version of the compiler.
 *
 * The build defines WEFT_STAMP as a hash of the sources; run from the sources, as the tests do, the hash is taken here.
 */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

declare const WEFT_STAMP: string

/** cli/ and dist/ lie side by side. */
export const packageFolder: string = fileURLToPath(new URL("..", import.meta.url))

/** The checkpoint that comes with the package. */
export const shippedCheckpoint: string = join(packageFolder, "models", "tales")

/** Equal for equal compilers: a hash of the compiler, the language and the form of artifacts (as scripts/build.mjs takes it). */
export function compilerStamp(): string {
  if (typeof WEFT_STAMP === "string") return WEFT_STAMP
  const folders = ["compiler", "dsl"].flatMap((folder) =>
    readdirSync(join(packageFolder, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
      .sort(),
  )
  const hash = createHash("sha256")
  for (const path of [...folders, "runtime/artifact.ts"])
    hash.update(path).update(readFileSync(join(packageFolder, path)))
  return hash.digest("hex")
}
