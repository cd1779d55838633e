/**
 * Artifacts on disk, with what they were made of.
 *
 *     ~/.cache/weft/qwen3_moe-wasm-3f9a….json     the key: compiler, model file, config, formats of the weights, target, options
 *
 *     {"sha256":"9c1e…",                          the hash of the key and of all that follows
 *     "seen":{"files":{"/p/qwen3.ts":"f10a…"}…},  what was seen of the disk: the artifact is served as long as it is still so
 *     "format":"weft",…}                          the artifact
 *
 * A file is written beside its name and renamed, so that no process reads half of one. What is not exactly what was written counts as absent
 * and is replaced, whatever lies there; a folder that cannot be written only costs time.
 */
import { createHash } from "node:crypto"
import { realpathSync } from "node:fs"
import { join, resolve } from "node:path"
import { hashOf, type Observed, stillHolds } from "../compiler/frontend/observed.js"
import type { CompiledFile } from "../compiler/internal.js"
import { type Artifact, artifactVersion } from "../runtime/artifact.js"
import { checkArtifact } from "../runtime/artifact-check.js"
import { cacheFolder, keepFile, readRegular } from "../runtime/kept-files.js"
import { compilerStamp } from "./package.js"

/** A file name of `parts`; `label` is for people. */
export function cacheKey(label: string, parts: readonly unknown[]): string {
  const hash = createHash("sha256").update(JSON.stringify(parts, exactly)).digest("hex").slice(0, 32)
  return `${label.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)}-${hash}.json`
}

export interface Kept {
  /** The folder, or false for none; the user's when left out. */
  readonly cache: string | false | undefined
  /** For people, in the name of the file. */
  readonly label: string
  readonly modelFile: string
  /** What the artifact follows from besides the model's file and this compiler. */
  readonly parts: readonly unknown[]
  readonly onWarning?: ((message: string) => void) | undefined
}

/**
 * The artifact from the cache, or compiled and kept. One that depends on more than files that were compiled is compiled each time.
 *
 * @throws what `compile` throws
 */
export async function keptArtifact(
  { cache = cacheFolder(), label, modelFile, parts, onWarning }: Kept,
  compile: () => Promise<CompiledFile>,
): Promise<{ readonly artifact: Artifact; readonly cached: boolean }> {
  if (cache === false) return { artifact: (await compile()).compilation.artifact, cached: false }
  const key = cacheKey(label, [artifactVersion, compilerStamp(), realPathOf(modelFile), ...parts])
  const known = await readCached(cache, key)
  if (known !== undefined) return { artifact: known, cached: true }
  const { compilation, observed, outside } = await compile()
  if (outside === undefined) await writeCached(cache, key, compilation.artifact, observed)
  else onWarning?.(`${outside}, which may differ next time: the compiled model is not kept`)
  return { artifact: compilation.artifact, cached: false }
}

function realPathOf(file: string): string {
  try {
    return realpathSync(resolve(file))
  } catch {
    return resolve(file) // What is not there is told by the compiler.
  }
}

/** Numbers that JSON has no word for, which would all be null or 0. */
function exactly(_: string, value: unknown): unknown {
  const isOther = typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
  return isOther ? { number: Object.is(value, -0) ? "-0" : String(value) } : value
}

const head = /^\{"sha256":"([0-9a-f]{64})",/

/** The artifact that was kept under a key, if all that it was made of is as it was. */
export async function readCached(folder: string, key: string): Promise<Artifact | undefined> {
  try {
    const text = (await readRegular(join(folder, key)))?.toString("utf8")
    const [first, hash] = head.exec(text ?? "") ?? []
    if (text === undefined || first === undefined || hashOf(`${key}\n${text.slice(first.length)}`) !== hash)
      return undefined
    const { sha256: _, seen, ...artifact } = JSON.parse(text)
    return stillHolds(seen as Observed) ? checkArtifact(artifact) : undefined
  } catch {
    return undefined
  }
}

export function writeCached(folder: string, key: string, artifact: Artifact, seen: Observed): Promise<void> {
  const content = `"seen":${JSON.stringify(seen)},\n${JSON.stringify(artifact).slice(1)}`
  return keepFile(folder, key, `{"sha256":"${hashOf(`${key}\n${content}`)}",${content}`)
}
