/** A GGUF file on disk. Node only. */
import { realpath, stat } from "node:fs/promises"
import { basename, dirname } from "node:path"
import { printable, WeftError } from "../../errors.js"
import type { Checkpoint } from "../checkpoint.js"
import { openFile, openFolder } from "../file-source.js"
import { openGguf } from "./checkpoint.js"

/**
 * Opens the file of that path; a link is followed, for whoever names it means what it leads to.
 *
 * @throws WeftError `checkpoint/missing`, `checkpoint/unreadable`, and what `openGguf` throws
 */
export async function openGgufFile(path: string): Promise<Checkpoint> {
  const real = await realpath(path).catch(() => undefined)
  if (real === undefined || !(await stat(real)).isFile()) throw missing(path)
  const source = await openFile(await openFolder(dirname(real)), basename(real))
  if (source === undefined) throw missing(path)
  return openGguf(path, { ...source, name: path })
}

const missing = (path: string): WeftError =>
  new WeftError("checkpoint/missing", `there is no file ${printable(path)}`, {
    hint: "give a .gguf file, or the folder of a checkpoint",
  })
