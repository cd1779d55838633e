/**
 * The Hub's cache folder, as its other clients lay it out: what they have fetched is here, and they find what is fetched here.
 *
 *     models--Qwen--Qwen3-0.6B/refs/main                      the commit that main was
 *     models--Qwen--Qwen3-0.6B/snapshots/<commit>/config.json → ../../blobs/<hash>
 *     models--Qwen--Qwen3-0.6B/blobs/<hash>                   the bytes, once for all commits that have them
 */
import { existsSync } from "node:fs"
import { copyFile, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { parseIndex } from "../../runtime/weights/shards.js"
import { modelsIn, partsOf } from "./gguf.js"
import type { Repository } from "./repository.js"

export const indexFile = "model.safetensors.index.json"
export const singleFile = "model.safetensors"

export interface Places {
  readonly blob: (hash: string) => string
  readonly snapshot: (commit: string) => string
  readonly ref: string
}

export function placesOf(cache: string, { name, revision }: Repository): Places {
  const folder = join(cache, `models--${name.replace("/", "--")}`)
  return {
    blob: (hash) => join(folder, "blobs", hash),
    snapshot: (commit) => join(folder, "snapshots", commit),
    ref: join(folder, "refs", revision),
  }
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

/**
 * The folder of a snapshot that holds the whole checkpoint: its config, and its weights in one file or all that the index names; or the GGUF file
 * that is meant. `whole` asks for all that may be on the Hub besides: a tokenizer, and what stands before a GGUF file that is not named.
 */
export async function snapshotThere(
  { snapshot, ref }: Places,
  repository: Repository,
  whole: boolean,
): Promise<string | undefined> {
  const { revision, file, label } = repository
  const commit = isCommit(revision) ? revision : await readFile(ref, "utf8").catch(() => undefined)
  if (commit === undefined || !isCommit(commit.trim())) return undefined
  const folder = snapshot(commit.trim())
  const has = (file: string) => existsSync(join(folder, file))
  const isNamed = file !== undefined || label !== undefined
  if (isNamed || !has("config.json")) {
    // A file that was fetched by its name may not be all that the Hub has.
    if (!isNamed && whole) return undefined
    const models = modelsIn(await readdir(folder, { recursive: true }).catch(() => []), repository)
    return models.length === 1 && partsOf(models[0]!).every(has) ? join(folder, models[0]!) : undefined
  }
  if (whole && !has("tokenizer.json")) return undefined
  if (has(singleFile)) return folder
  const index = await readFile(join(folder, indexFile), "utf8").catch(() => undefined)
  return index !== undefined && shardsOf(folder, index).every(has) ? folder : undefined
}

/** @throws WeftError `checkpoint/json`, `checkpoint/duplicate`, `checkpoint/index` */
export const shardsOf = (where: string, index: string): readonly string[] => [
  ...new Set(parseIndex(`${where}: ${indexFile}`, index).values()),
]

/** Puts a blob's file into a snapshot: as a link, or as a copy where there are none. */
export async function link(blob: string, file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  if (existsSync(file)) return
  await rm(file, { force: true }) // A link to what is gone.
  await symlink(relative(dirname(file), blob), file).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") return
    await copyFile(blob, `${file}.copy`)
    await rename(`${file}.copy`, file)
  })
}

export async function writeRef(ref: string, commit: string): Promise<void> {
  await mkdir(dirname(ref), { recursive: true })
  await writeFile(ref, commit)
}
