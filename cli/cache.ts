/**
 * Artifacts on disk, by the hash of what they were made of.
 *
 *     ~/.cache/weft/qwen3_moe-wasm-3f9a….json
 *
 * A file is written beside its name and renamed, so that no process reads half of one. What cannot be read or is not valid counts as absent,
 * and a folder that cannot be written only costs time.
 */
import { createHash, randomUUID } from "node:crypto"
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import type { Artifact } from "../runtime/artifact.js"
import { checkArtifact } from "../runtime/artifact-check.js"

/** The user's cache folder: $XDG_CACHE_HOME/weft or ~/.cache/weft. */
export function cacheFolder(): string {
  const own = process.env.XDG_CACHE_HOME
  return join(own !== undefined && isAbsolute(own) ? own : join(homedir(), ".cache"), "weft")
}

/** A file name of `parts`; `label` is for people. */
export function cacheKey(label: string, parts: readonly unknown[]): string {
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32)
  return `${label.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)}-${hash}.json`
}

export async function readCached(folder: string, key: string): Promise<Artifact | undefined> {
  try {
    return checkArtifact(JSON.parse(await readFile(join(folder, key), "utf8")))
  } catch {
    return undefined
  }
}

export async function writeCached(folder: string, key: string, artifact: Artifact): Promise<void> {
  const beside = join(folder, `.${key}.${randomUUID()}`)
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(beside, JSON.stringify(artifact))
    await rename(beside, join(folder, key))
  } catch {
    await rm(beside, { force: true }).catch(() => {})
  }
}
