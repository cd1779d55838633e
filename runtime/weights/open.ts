/**
 * A checkpoint in a page: a folder or a GGUF file, behind a URL or picked by the user.
 *
 *     await openCheckpoint("models/qwen3/")                                   the files of a folder are asked for by their names
 *     await openCheckpoint("https://huggingface.co/…/resolve/main/x.gguf")    read by ranges, with all parts of the model
 *     await openCheckpoint(input.files)                                       of <input type="file" multiple> or webkitdirectory
 */
import { printable, WeftError } from "../errors.js"
import { hostText } from "../host.js"
import type { Checkpoint } from "./checkpoint.js"
import { type Files, openFiles } from "./files.js"
import { blobSource, type Fetch, urlSource } from "./page-sources.js"

/** A File, or a Blob, which is taken for a GGUF file. */
export type PickedFile = Blob & { readonly name?: string; readonly webkitRelativePath?: string }

export interface OpenOptions {
  /** What asks for URLs, where they want a token or are to be asked again; the page's own when left out. */
  readonly fetch?: Fetch | undefined
}

/**
 * Opens a checkpoint and checks it; weights are read when they are asked for.
 *
 * @param from a URL of a folder or of a file that ends in `.gguf`, where strings may be relative to the page; a file; or the files of a folder
 * or of one model
 * @throws WeftError `checkpoint/…`: there is no such thing, it cannot be read, or is not as it must be
 */
export async function openCheckpoint(
  from: string | URL | PickedFile | ArrayLike<PickedFile>,
  { fetch = (url, init) => globalThis.fetch(url, init) }: OpenOptions = {},
): Promise<Checkpoint> {
  if (typeof from === "string" || from instanceof URL) return openUrl(urlOf(from), fetch)
  if (isFile(from)) {
    const name = from.name ?? "the file"
    const { openGguf } = await import("./gguf/checkpoint.js")
    return openGguf(name, [blobSource(name, from)])
  }
  const files = typeof from === "object" && from !== null && "length" in from ? Array.from(from) : []
  if (files.length > 0 && files.every(isFile)) return openPicked(files)
  throw new WeftError("checkpoint/missing", `there is no checkpoint in ${hostText(from)}`, {
    hint: "give a URL, a File, or the files of a folder",
  })
}

const isFile = (given: unknown): given is PickedFile =>
  typeof given === "object" && given !== null && "size" in given && "slice" in given

function urlOf(from: string | URL): URL {
  try {
    const { location } = globalThis as { readonly location?: { readonly href: string } }
    return new URL(from, location?.href)
  } catch (cause) {
    throw new WeftError("checkpoint/missing", `${printable(String(from))} is no URL`, {
      hint: "outside of pages URLs are whole ones; `load` of weft/node takes paths",
      cause,
    })
  }
}

async function openUrl(url: URL, fetch: Fetch): Promise<Checkpoint> {
  const isGguf = /\.gguf$/i.test(url.pathname)
  const [, folder, name] = /^(.*\/)([^/]*)$/.exec(isGguf ? url.pathname : `${url.pathname}/`.replace(/\/+$/, "/"))!
  const at = (file: string) => {
    const other = new URL(url)
    other.pathname = `${folder}${file}`
    return other
  }
  const shownFile = (file: string) => `${url.protocol}//${url.host}${folder}${file}`
  const files: Files = { shown: shownFile(name!), shownFile, open: (file) => urlSource(at(file), fetch) }
  return isGguf ? openNamed(files, name!) : openFiles(files)
}

/** A model in GGUF files, where no config.json is among them; else a folder. Of files of one name the one that lies highest. */
async function openPicked(picked: readonly PickedFile[]): Promise<Checkpoint> {
  const depth = ({ webkitRelativePath = "" }: PickedFile) => webkitRelativePath.split("/").length
  const byName = new Map(
    [...picked].sort((a, b) => depth(b) - depth(a)).map((file) => [file.name ?? "the file", file] as const),
  )
  const open: Files["open"] = async (name) => {
    const file = byName.get(name)
    return file && blobSource(name, file)
  }
  const models = [...byName.keys()].filter((name) => /\.gguf$/i.test(name)).sort()
  const shown = picked[0]!.webkitRelativePath?.split("/")[0] || "the files"
  const files: Files = { shown, shownFile: (name) => name, open, list: async () => models }
  if (byName.has("config.json") || models.length === 0) return openFiles(files)
  const { partNames } = await import("./gguf/parts.js")
  const parts = partNames(models[0]!) ?? [models[0]!]
  const other = models.find((name) => !parts.includes(name))
  if (other === undefined) return openNamed(files, models[0]!)
  throw new WeftError("checkpoint/parts", `${printable(models[0]!)} and ${printable(other)} are of several models`, {
    hint: "pick the files of one model",
  })
}

async function openNamed(files: Files, name: string): Promise<Checkpoint> {
  const { openGgufNamed } = await import("./gguf/checkpoint.js")
  return openGgufNamed(files.shownFile(name), name, files)
}
