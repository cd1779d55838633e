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
  checkText(path)
  const kind = kindOf(path)
  if (kind === "folder" || path.endsWith("/")) return refuse(path, "it names a folder")
  if (kind !== undefined) return mayWrite(path) ? path : refuse(path, "permission is denied")
  return nearestFolder(path, dirname(resolve(path)))
}

/**
 * `path`, when it is a folder to write into, or one can be made there: by all that can be seen of the disk now.
 *
 * @throws WeftError `cli/out`
 */
export function writableFolder(path: string): string {
  checkText(path)
  return nearestFolder(path, resolve(path))
}

function refuse(path: string, why: string): never {
  throw new WeftError("cli/out", `${printable(path)} cannot be written: ${why}`, { hint: "name a file elsewhere" })
}

function checkText(path: string): void {
  if (path === "" || path.includes("\0")) refuse(path, "it is no path")
}

/** `path`, when something can be made in the folder, or in the nearest one above it that is there. */
function nearestFolder(path: string, from: string): string {
  let folder = from
  while (kindOf(folder) === undefined && dirname(folder) !== folder) folder = dirname(folder)
  if (kindOf(folder) !== "folder") return refuse(path, `${printable(folder)} is no folder`)
  return mayWrite(folder) ? path : refuse(path, `permission is denied in ${printable(folder)}`)
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
