/**
 * A checkpoint from the Hugging Face Hub.
 *
 *     await checkpointFolder("Qwen/Qwen3-0.6B")   →   ~/.cache/huggingface/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899d…
 *
 * What the folder holds is what Weft reads: the configs, the tokenizer's files, and the safetensors that the index names; or a GGUF file, where
 * one is named or there is nothing else. A snapshot that is there is used without asking the Hub; `weft pull` asks.
 */

import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { pathsInfo as PathsInfo } from "@huggingface/hub"
import { printable, WeftError } from "../../runtime/errors.js"
import { textFiles } from "../../runtime/weights/checkpoint.js"
import { askerOf, type Patience, patience as usual } from "./answers.js"
import { indexFile, isCommit, link, placesOf, shardsOf, singleFile, snapshotThere, writeRef } from "./cache.js"
import { fetchFile, type Listed } from "./file.js"
import { chosenFiles, isModelFile } from "./gguf.js"
import { type Hub, hubOf, type Repository, repositoryOf } from "./repository.js"

export interface PullProgress {
  /** The file that is fetched. */
  readonly file: string
  /** Bytes of all files, those that were there among them. */
  readonly done: number
  readonly total: number
}

export interface PullOptions {
  readonly hub?: Hub
  readonly patience?: Patience
  readonly onProgress?: ((progress: PullProgress) => void) | undefined
}

/**
 * A path as it is, and for the name of a model on the Hub the folder of its snapshot, or the GGUF file in it, which is fetched when it is not
 * there.
 */
export async function checkpointFolder(source: string, options: PullOptions = {}): Promise<string> {
  const repository = repositoryOf(source)
  if (repository === undefined) return source
  const hub = options.hub ?? hubOf()
  const there = await snapshotThere(placesOf(hub.cache, repository), repository, !hub.isOffline)
  return there ?? pull(repository, { ...options, hub })
}

/**
 * Fetches what is missing of a checkpoint's newest snapshot; its folder, or its GGUF file.
 *
 * @throws WeftError `hub/missing`, `hub/access`, `hub/busy`, `hub/server`, `hub/network`, `hub/offline`, `hub/response`, `hub/files`,
 * `hub/integrity`, `hub/disk`, and `checkpoint/…` for an index that is none
 */
export async function pull(repository: Repository, options: PullOptions = {}): Promise<string> {
  const { hub = hubOf(), patience = usual, onProgress } = options
  const { name, revision } = repository
  checkHub(hub, repository)
  // Most starts fetch nothing.
  const { downloadFile, modelInfo, pathsInfo } = await import("@huggingface/hub")
  const asker = askerOf(hub, repository, patience)
  const access = { hubUrl: hub.endpoint, fetch: asker.fetch, ...(hub.token && { accessToken: hub.token }) }
  const info = await asker.again(() => modelInfo({ ...access, name, revision, additionalFields: ["sha", "filePaths"] }))
  if (!isCommit(String(info.sha))) throw unexpected(hub, "names no commit")
  const of = { ...access, repo: name, revision: info.sha }
  const places = placesOf(hub.cache, repository)
  const folder = places.snapshot(info.sha)

  let done = 0
  let total = 0
  const fetchAll = async (paths: readonly string[]) => {
    const found = await asker.again(() => pathsInfo({ ...of, paths: [...paths] }))
    const byPath = new Map(found.map((f) => [f.path, f]))
    const files = paths.map((path) => listed(hub, path, byPath.get(path)))
    total += files.reduce((n, f) => n + f.size, 0)
    for (const file of files) {
      const onBytes = (count: number) => {
        done += count
        onProgress?.({ file: file.path, done, total })
      }
      const bytes = async (start: number) => {
        const blob = await downloadFile({ ...of, path: file.path })
        if (blob === null) throw unexpected(hub, `lists ${file.path} and has it not`)
        if (blob.size !== file.size)
          throw unexpected(hub, `lists ${file.size} bytes of ${file.path} and has ${blob.size}`)
        return (start === 0 ? blob : blob.slice(start, blob.size)).stream() as ReadableStream<Uint8Array>
      }
      await fetchFile(file, places.blob(file.hash), { ask: asker, stallMs: patience.stallMs, bytes, onBytes })
      await link(places.blob(file.hash), join(folder, file.path))
    }
  }

  const ref = () => (isCommit(revision) ? undefined : writeRef(places.ref, info.sha))
  if (isOfGguf(repository, info.filePaths)) {
    const parts = chosenFiles(info.filePaths, repository)
    await fetchAll(parts)
    await ref()
    return join(folder, parts[0]!)
  }
  const { texts, weights } = wanted(hub, repository, info.filePaths)
  await fetchAll(weights === indexFile ? [...texts, indexFile] : texts)
  await fetchAll(weights === indexFile ? shardsOf(name, await readFile(join(folder, indexFile), "utf8")) : [weights])
  await ref()
  return folder
}

/** What needs no question. */
function checkHub(hub: Hub, { name, revision }: Repository): void {
  if (hub.isOffline)
    throw new WeftError("hub/offline", `${printable(`${name}@${revision}`)} is not in ${printable(hub.cache)}`, {
      hint: "HF_HUB_OFFLINE is set: unset it, or give the folder of a checkpoint",
    })
  if (hub.token !== undefined && !hub.token.startsWith("hf_"))
    throw new WeftError("hub/access", "the token of the Hub does not begin with hf_", {
      hint: "mend HF_TOKEN, or the file that hf auth login wrote",
    })
}

/** Whether a GGUF file is what is asked for, or all that there is. */
const isOfGguf = ({ file, label }: Repository, files: readonly string[]): boolean =>
  file !== undefined ||
  label !== undefined ||
  (files.some(isModelFile) && ![singleFile, indexFile].some((f) => files.includes(f)))

/** The files that are read before the weights, and what has the weights, or says where they are. */
function wanted(hub: Hub, { name }: Repository, files: readonly string[]) {
  const has = (file: string) => files.includes(file)
  const weights = [singleFile, indexFile].find(has)
  if (!has("config.json") || weights === undefined)
    throw new WeftError(
      "hub/files",
      `${printable(name)} has no ${has("config.json") ? "safetensors" : "config.json"}`,
      {
        hint: `what ${hub.endpoint} has of it is no checkpoint that Weft reads; look for one in safetensors or GGUF`,
      },
    )
  const texts = ["config.json", "quantize_config.json", "generation_config.json", ...Object.keys(textFiles)].filter(has)
  return { texts, weights }
}

function listed(hub: Hub, path: string, found: Awaited<ReturnType<typeof PathsInfo>>[number] | undefined): Listed {
  const size = found?.lfs?.size ?? found?.size
  const hash = found?.lfs?.oid ?? found?.oid
  const kind = found?.lfs === undefined ? "git" : "sha256"
  const isHash = new RegExp(kind === "git" ? "^[0-9a-f]{40}$" : "^[0-9a-f]{64}$")
  if (!Number.isSafeInteger(size) || size! < 0 || typeof hash !== "string" || !isHash.test(hash))
    throw unexpected(hub, `lists no size and hash of ${path}`)
  return { path, size: size!, hash, kind }
}

const unexpected = (hub: Hub, what: string): WeftError =>
  new WeftError("hub/response", `${hub.endpoint} ${printable(what)}`, { hint: "is HF_ENDPOINT a Hub?" })
