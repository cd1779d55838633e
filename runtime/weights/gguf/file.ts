/** A GGUF file on disk, or all files of a model that is cut into several. Node only. */
import { realpath, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { printable, WeftError } from "../../errors.js"
import type { Checkpoint } from "../checkpoint.js"
import { openFile, openFolder } from "../file-source.js"
import type { ByteSource } from "../source.js"
import { openGguf } from "./checkpoint.js"
import { partNames } from "./parts.js"

/**
 * Opens the file of that path, with the parts beside it; a link is followed, for whoever names it means what it leads to.
 *
 * @throws WeftError `checkpoint/missing`, `checkpoint/unreadable`, and what `openGguf` throws
 */
export async function openGgufFile(path: string): Promise<Checkpoint> {
  const paths = partNames(basename(path))?.map((name) => join(dirname(path), name)) ?? [path]
  const parts: ByteSource[] = []
  try {
    for (const part of paths) parts.push(await openPart(part))
  } catch (error) {
    await Promise.all(parts.map((part) => part.close()))
    throw error
  }
  return openGguf(path, parts)
}

async function openPart(path: string): Promise<ByteSource> {
  const real = await realpath(path).catch(() => undefined)
  const found = real !== undefined && (await stat(real)).isFile()
  const source = found ? await openFile(await openFolder(dirname(real)), basename(real)) : undefined
  if (source !== undefined) return { ...source, name: path }
  throw new WeftError("checkpoint/missing", `there is no file ${printable(path)}`, {
    hint: "give a .gguf file with all its parts beside it, or the folder of a checkpoint",
  })
}
