/** A file on disk as a source, opened so that no link of a downloaded folder leads the reader elsewhere. Node only. */

import { constants, type FileHandle, open, readdir, readFile, realpath, stat } from "node:fs/promises"
import { basename, dirname, isAbsolute, join, relative, sep } from "node:path"
import { printable, WeftError } from "../errors.js"
import { type ByteSource, checkRange } from "./source.js"

/** Node refuses a single read of 2 GiB. */
const maxBytesPerRead = 2 ** 30

const folderHint = "give the folder that holds config.json and the weights"

/** A folder whose links may be followed as far as `roots`. */
export interface Folder {
  /** As the user wrote it; for messages. */
  readonly shown: string
  /** With every link resolved. */
  readonly real: string
  readonly roots: readonly string[]
}

/**
 * Resolves a folder. Files may lie in it, or, when it is a snapshot of the Hub's cache (`…/snapshots/<revision>`) or inside of one, in
 * `…/blobs`. A whole repository of that cache (`models--org--name`) stands for the snapshot that its `refs/main` names.
 *
 * @throws WeftError `checkpoint/missing`, `checkpoint/unreadable`
 */
export async function openFolder(path: string): Promise<Folder> {
  const folder = await openDirectory(path)
  const revision = await mainRevision(folder)
  return revision === undefined ? folder : openDirectory(join(path, "snapshots", revision))
}

/** The revision to take of a repository in the Hub's cache; `undefined` for any other folder. */
async function mainRevision({ shown, real }: Folder): Promise<string | undefined> {
  if (!basename(real).startsWith("models--")) return undefined
  const snapshots = await readdir(join(real, "snapshots")).catch((): string[] => [])
  const refs = join(real, "refs", "main")
  const named = (await stat(refs).catch(() => undefined))?.size ?? 0
  const main = named > 0 && named < 1000 ? (await readFile(refs, "utf8").catch(() => "")).trim() : ""
  if (snapshots.includes(main)) return main
  if (snapshots.length <= 1) return snapshots[0]
  throw new WeftError(
    "checkpoint/missing",
    `${printable(shown)} has ${snapshots.length} snapshots, and refs/main names none`,
    {
      hint: `name one of its folders: ${snapshots
        .slice(0, 5)
        .map((name) => join("snapshots", name))
        .map(printable)
        .join(", ")}`,
    },
  )
}

async function openDirectory(path: string): Promise<Folder> {
  const real = await realpath(path).catch((cause: unknown) => {
    if (!isMissing(cause)) throw unreadable(path, cause)
    throw new WeftError("checkpoint/missing", `there is no directory ${printable(path)}`, {
      hint: folderHint,
      cause,
    })
  })
  if (!(await stat(real)).isDirectory()) {
    throw new WeftError("checkpoint/missing", `${printable(path)} is not a directory`, {
      hint: `${folderHint}; of files those are read whose names end in .gguf`,
    })
  }
  const snapshots = snapshotsAbove(real)
  return { shown: path, real, roots: [real, ...(snapshots === undefined ? [] : [join(dirname(snapshots), "blobs")])] }
}

/** The nearest folder above that is named as those of the Hub's cache. */
function snapshotsAbove(path: string): string | undefined {
  for (let above = dirname(path); above !== dirname(above); above = dirname(above))
    if (basename(above) === "snapshots") return above
  return undefined
}

/**
 * Opens a file of a folder, or returns `undefined` when there is none (a link to nothing included).
 *
 * @param name a plain file name
 * @throws WeftError `checkpoint/link` when the file is a link that leads out, `checkpoint/unreadable`
 */
export async function openFile(folder: Folder, name: string): Promise<ByteSource | undefined> {
  const shown = join(folder.shown, name)
  let handle: FileHandle | undefined
  try {
    const real = await realpath(join(folder.real, name))
    if (!folder.roots.some((root) => isInside(root, real))) {
      throw new WeftError("checkpoint/link", `${printable(shown)} is a link that leads out of the folder`, {
        hint: "put the file itself into the folder; only the Hub's cache may link to its blobs",
      })
    }
    // Not to block on a pipe that stands where a file is expected.
    handle = await open(real, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const status = await handle.stat()
    if (!status.isFile()) {
      throw new WeftError("checkpoint/unreadable", `${printable(shown)} is not a file`, {
        hint: "put the file of that name there",
      })
    }
    return fileSource(shown, handle, status.size)
  } catch (cause) {
    await handle?.close()
    if (isMissing(cause)) return undefined
    throw cause instanceof WeftError ? cause : unreadable(shown, cause)
  }
}

function fileSource(name: string, handle: FileHandle, size: number): ByteSource {
  return {
    name,
    size,
    async read(offset, length, into) {
      checkRange(name, size, offset, length)
      try {
        const bytes = into ?? new Uint8Array(length)
        for (let at = 0; at < length; ) {
          const want = Math.min(length - at, maxBytesPerRead)
          const { bytesRead } = await handle.read(bytes, at, want, offset + at)
          if (bytesRead === 0) throw truncated(name, size, offset + at)
          at += bytesRead
        }
        return bytes
      } catch (cause) {
        throw cause instanceof WeftError ? cause : unreadable(name, cause)
      }
    },
    close: () => handle.close(),
  }
}

function isInside(root: string, file: string): boolean {
  const path = relative(root, file)
  return path !== "" && path !== ".." && !path.startsWith(`..${sep}`) && !isAbsolute(path)
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")
}

function unreadable(path: string, cause: unknown): WeftError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new WeftError("checkpoint/unreadable", `${printable(path)} cannot be read: ${why}`, {
    hint: "check the path, the permissions and the free memory",
    cause,
  })
}

function truncated(name: string, size: number, at: number): WeftError {
  return new WeftError("checkpoint/truncated", `${printable(name)}: the file ended at byte ${at} of ${size}`, {
    hint: "the file changed while it was open; fetch it again and leave it alone",
  })
}
