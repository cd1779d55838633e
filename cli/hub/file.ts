/**
 * One file of the Hub's into the cache: begun where an earlier attempt ended, checked by its hash, and only then given its name.
 *
 *     blobs/<hash>.incomplete   →   blobs/<hash>
 *
 * Two processes may fetch one file: both write the same bytes to the same places.
 */
import { createHash, type Hash } from "node:crypto"
import { existsSync } from "node:fs"
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"
import { printable, WeftError } from "../../runtime/errors.js"
import type { Asker } from "./answers.js"

/** A file as the Hub lists it. Large ones are named by the SHA-256 of their bytes, others by git's SHA-1. */
export interface Listed {
  readonly path: string
  readonly size: number
  readonly hash: string
  readonly kind: "sha256" | "git"
}

export interface Fetching {
  readonly ask: Asker
  /** Milliseconds without a byte after which a stream has failed. */
  readonly stallMs: number
  /** The bytes from `start` on. */
  readonly bytes: (start: number) => Promise<ReadableStream<Uint8Array>>
  /** Bytes that came, which may be taken back where they were wrong. */
  readonly onBytes: (count: number) => void
}

/** @throws WeftError `hub/integrity`, `hub/disk`, and what `again` throws */
export async function fetchFile(file: Listed, blob: string, fetching: Fetching): Promise<void> {
  if (existsSync(blob)) return fetching.onBytes(file.size)
  const partial = `${blob}.incomplete`
  await onDisk(partial, () => mkdir(dirname(blob), { recursive: true }))
  for (const attempt of [1, 2]) {
    if ((await fetchPartial(file, partial, fetching)) === file.hash) break
    await rm(partial, { force: true })
    fetching.onBytes(-file.size)
    if (attempt === 2)
      throw new WeftError("hub/integrity", `${printable(file.path)}: the bytes are not those that the Hub lists`, {
        hint: "fetch again, over another network or from another HF_ENDPOINT; nothing of the file was kept",
      })
  }
  await rename(partial, blob).catch((error: NodeJS.ErrnoException) => {
    // Another process was first.
    if (error.code !== "ENOENT" || !existsSync(blob)) throw error
  })
}

/** Writes what is missing of a file; its hash. */
async function fetchPartial(file: Listed, partial: string, fetching: Fetching): Promise<string> {
  const handle = await onDisk(partial, () => open(partial, existsSync(partial) ? "r+" : "w+"))
  try {
    const hash = createHash(file.kind === "git" ? "sha1" : "sha256")
    if (file.kind === "git") hash.update(`blob ${file.size}\0`)
    let at = await hashStart(handle, file, hash)
    fetching.onBytes(at)
    let before = at
    const moved = () => at > before
    await fetching.ask.again(async () => {
      before = at
      for await (const chunk of unstalled(await fetching.bytes(at), fetching)) {
        if (at + chunk.length > file.size) throw tooLong(file)
        await onDisk(partial, () => writeAll(handle, chunk, at))
        hash.update(chunk)
        at += chunk.length
        fetching.onBytes(chunk.length)
      }
      if (at < file.size) throw fetching.ask.broken(`${file.path} breaks off after ${at} of ${file.size} bytes`)
    }, moved)
    return hash.digest("hex")
  } finally {
    await handle.close()
  }
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.length; )
    done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten
}

/** Takes what is there already into the hash; how much it is. What is longer than the file is none of it. */
async function hashStart(handle: FileHandle, file: Listed, hash: Hash): Promise<number> {
  const { size } = await handle.stat()
  if (size > file.size) {
    await handle.truncate(0)
    return 0
  }
  const buffer = Buffer.allocUnsafe(1 << 20)
  let at = 0
  while (at < size) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) break
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return at
}

/** The chunks of a stream; it fails when none comes for `stallMs`. */
async function* unstalled(
  stream: ReadableStream<Uint8Array>,
  { ask, stallMs }: Pick<Fetching, "ask" | "stallMs">,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined
      const stall = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(ask.broken(`nothing came for ${stallMs / 1000} s`)), stallMs)
      })
      const { done, value } = await Promise.race([reader.read(), stall]).finally(() => clearTimeout(timer))
      if (done) return
      yield value
    }
  } finally {
    void reader.cancel().catch(() => {})
  }
}

const tooLong = (file: Listed): WeftError =>
  new WeftError("hub/integrity", `${printable(file.path)}: more than the ${file.size} bytes that the Hub lists come`, {
    hint: "fetch again, over another network or from another HF_ENDPOINT",
  })

async function onDisk<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw new WeftError("hub/disk", `${printable(path)} cannot be written: ${printable(code ?? message)}`, {
      hint: "free some room, or name another folder in HF_HUB_CACHE; what was fetched is kept",
      cause,
    })
  }
}
