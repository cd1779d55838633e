/**
 * Files that a command writes. Whether they can be written is asked when the flag is read, before minutes of computing; missing folders are made when
 * there is something to put there.
 */
import { accessSync, constants, statSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { printable, thrownText, WeftError } from "../runtime/errors.js"

/**
 * `path`, when a file can be written there: by all that can be seen of the disk now.
 *
 * @throws WeftError `cli/out`
 */
export function writablePath(path: string): string {
  const refuse = (why: string): never => {
    throw new WeftError("cli/out", `${printable(path)} cannot be written: ${why}`, { hint: "name a file elsewhere" })
  }
  if (path === "" || path.includes("\0")) refuse("it is no path")
  const kind = kindOf(path)
  if (kind === "folder" || path.endsWith("/")) return refuse("it names a folder")
  if (kind !== undefined) return mayWrite(path) ? path : refuse("permission is denied")
  let folder = dirname(resolve(path))
  while (kindOf(folder) === undefined && dirname(folder) !== folder) folder = dirname(folder)
  if (kindOf(folder) !== "folder") return refuse(`${printable(folder)} is no folder`)
  return mayWrite(folder) ? path : refuse(`permission is denied in ${printable(folder)}`)
}

function kindOf(path: string): "folder" | "file" | undefined {
  try {
    return statSync(path).isDirectory() ? "folder" : "file"
  } catch {
    return undefined
  }
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** @throws WeftError `cli/out` */
export async function writeResult(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  } catch (cause) {
    throw new WeftError("cli/out", `${printable(path)} cannot be written: ${thrownText(cause)}`, { cause })
  }
}
