/** A GGUF file on disk, or all files of a model that is cut into several. Node only. */
import { realpath, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import type { Checkpoint } from "../checkpoint.js"
import { openFile, openFolder } from "../file-source.js"
import type { ByteSource } from "../source.js"
import { openGgufNamed } from "./checkpoint.js"

/**
 * Opens the file of that path, with the parts beside it; a link is followed, for whoever names it means what it leads to.
 *
 * @throws WeftError `checkpoint/unreadable`, and what `openGgufNamed` throws
 */
export function openGgufFile(path: string): Promise<Checkpoint> {
  // As it was written where that is the file itself.
  const shownFile = (name: string) => (name === basename(path) ? path : join(dirname(path), name))
  return openGgufNamed(path, basename(path), { shownFile, open: (name) => openPart(shownFile(name)) })
}

async function openPart(path: string): Promise<ByteSource | undefined> {
  const real = await realpath(path).catch(() => undefined)
  if (real === undefined || !(await stat(real)).isFile()) return undefined
  const source = await openFile(await openFolder(dirname(real)), basename(real))
  return source && { ...source, name: path }
}
