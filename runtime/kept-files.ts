/**
 * Files in the user's own cache: where they lie, and how they are read and written.
 *
 *     ~/.cache/weft/name                    what was kept
 *     ~/.cache/weft/.name.1b9d…             half written: renamed when it is whole, so that no process reads half of one
 *
 * What cannot be written only costs time; what reads them checks that they are what was written.
 */
import { randomUUID } from "node:crypto"
import { accessSync, constants, existsSync, lstatSync, mkdirSync } from "node:fs"
import { open, readdir, rename, rm, stat, writeFile } from "node:fs/promises"
import { homedir, tmpdir } from "node:os"
import { dirname, isAbsolute, join } from "node:path"

/** The user's cache folder: $XDG_CACHE_HOME/weft or ~/.cache/weft, or one of this user's among temporary files where neither can be written. */
export function cacheFolder(): string {
  const own = process.env.XDG_CACHE_HOME
  const places = [own !== undefined && isAbsolute(own) ? own : undefined, homeFolder("~/.cache")]
  const usable = places.find((place) => place !== undefined && canHold(place))
  return usable === undefined ? temporaryFolder() : join(usable, "weft")
}

function homeFolder(path: string): string | undefined {
  try {
    const home = homedir()
    return isAbsolute(home) ? path.replace("~", home) : undefined
  } catch {
    return undefined // A user without an entry and without HOME.
  }
}

function canHold(place: string): boolean {
  try {
    makeFolder(join(place, "weft"))
    accessSync(join(place, "weft"), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** A folder and those above it, one at a time: Node's own `recursive` never ends below /proc/self, where nothing can be made. */
export function makeFolder(path: string, mode?: number): void {
  if (existsSync(path)) return
  const above = dirname(path)
  if (above !== path) makeFolder(above)
  try {
    mkdirSync(path, mode)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
  }
}

/** Others can write among temporary files: a folder of the name that is not this user's alone is left, and one of this process taken. */
function temporaryFolder(): string {
  const user = process.getuid?.() ?? "user"
  const folder = join(tmpdir(), `weft-${user}`)
  return ownFolder(folder) ? folder : `${folder}-${process.pid}-${randomUUID()}`
}

/** Whether the folder is there, made now if need be, and nobody but this user can write to it. */
export function ownFolder(folder: string): boolean {
  try {
    makeFolder(folder, 0o700)
    const found = lstatSync(folder)
    const user = process.getuid?.()
    return found.isDirectory() && (user === undefined || (found.uid === user && (found.mode & 0o022) === 0))
  } catch {
    return false
  }
}

/**
 * What a file holds that is one, and this user's or the system's: a pipe or a device in its place would never end, and what another user puts into
 * a folder that is open to all would be run.
 */
export async function readRegular(path: string): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const found = await file.stat()
    const user = process.getuid?.() ?? found.uid
    return found.isFile() && (found.uid === user || found.uid === 0) ? await file.readFile() : undefined
  } finally {
    await file.close()
  }
}

/** Puts a file into the folder, in the place of whatever lies there; into one that cannot be written, nothing. */
export async function keepFile(folder: string, name: string, content: string | Uint8Array): Promise<void> {
  const beside = join(folder, `.${name}.${randomUUID()}`)
  try {
    makeFolder(folder)
    await removeLeftovers(folder)
    await writeFile(beside, content, { flag: "wx" })
    await rename(beside, join(folder, name)).catch(async () => {
      // A folder in its place does not give way.
      await rm(join(folder, name), { recursive: true, force: true })
      await rename(beside, join(folder, name))
    })
  } catch {
    await rm(beside, { force: true }).catch(() => {})
  }
}

/** What a process that died has left half written. */
async function removeLeftovers(folder: string): Promise<void> {
  const day = 24 * 60 * 60 * 1000
  for (const name of await readdir(folder)) {
    if (!/^\..*\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)) continue
    const path = join(folder, name)
    const written = await stat(path).catch(() => undefined)
    if (written !== undefined && Date.now() - written.mtimeMs > day) await rm(path, { force: true }).catch(() => {})
  }
}
