/** A checkpoint on disk: a folder, a snapshot of the Hub's cache or a GGUF file. Node only. */

import { readdir } from "node:fs/promises"
import { join } from "node:path"
import type { Checkpoint } from "./checkpoint.js"
import { openFile, openFolder } from "./file-source.js"
import { openFiles } from "./files.js"
import { openGgufFile } from "./gguf/file.js"

/**
 * Opens a checkpoint: of a folder its configs and the headers of its weights, and checks that they agree; or a GGUF file.
 *
 * @param path a folder, or a file whose name ends in `.gguf`
 * @throws WeftError `checkpoint/link`, `checkpoint/unreadable`, and what `openFiles` or `openGguf` throws
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  if (/\.gguf$/i.test(path)) return openGgufFile(path)
  const folder = await openFolder(path)
  return openFiles({
    shown: folder.shown,
    shownFile: (name) => join(folder.shown, name),
    open: (name) => openFile(folder, name),
    list: () => readdir(folder.real),
  })
}
