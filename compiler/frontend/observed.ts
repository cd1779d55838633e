/**
 * What was seen of the disk while a model was compiled, and whether it is still so.
 *
 *     seen = { files: { "/p/model.ts": "9f2c…" }, missing: ["/p/k.ts"], folders: { "/p/node_modules": true }, links: { … } }
 *     stillHolds(seen)   →   false once model.ts has another text, or a k.ts has come to stand beside it
 *
 * A resolution depends on what is not there, too: with `k.js` alone, `./k.js` is that file; beside a `k.ts` it is not. This file loads no
 * compiler, so that what is already compiled starts at once.
 */
import { createHash } from "node:crypto"
import { readFileSync, realpathSync, statSync } from "node:fs"

export interface Observed {
  /** Hashes of the files whose text was used, by absolute path. */
  readonly files: Readonly<Record<string, string>>
  /** Whether there was such a file, where its text was not used. */
  readonly present: Readonly<Record<string, boolean>>
  readonly folders: Readonly<Record<string, boolean>>
  /** Where a path led through symbolic links. */
  readonly links: Readonly<Record<string, string>>
}

export interface Observer {
  /** What a resolution of modules asks of the disk; each answer is noted. */
  readonly host: {
    fileExists(path: string): boolean
    directoryExists(path: string): boolean
    readFile(path: string): string | undefined
    realpath(path: string): string
  }
  /** Notes a text that was used, as it was when it was read. */
  used(path: string, content: string | Uint8Array): void
  observed(): Observed
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false

/** What throws (a name that is too long, a folder that may not be entered) counts as absent. */
function orElse<T>(other: T, ask: () => T): T {
  try {
    return ask()
  } catch {
    return other
  }
}

const fileExists = (path: string) => orElse(false, () => isFile(path))
const folderExists = (path: string) => orElse(false, () => isFolder(path))
const realPath = (path: string) => orElse(path, () => realpathSync.native(path))

/** The mark of UTF-8 at the beginning of a file is no part of its text. */
function withoutMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
}

export function hashOf(content: string | Uint8Array): string {
  const bytes = typeof content === "string" ? Buffer.from(content) : withoutMark(content)
  return createHash("sha256").update(bytes).digest("hex")
}

export function createObserver(): Observer {
  const files: Record<string, string> = {}
  const present: Record<string, boolean> = {}
  const folders: Record<string, boolean> = {}
  const links: Record<string, string> = {}
  const used = (path: string, content: string | Uint8Array) => {
    files[path] = hashOf(content)
  }
  const host: Observer["host"] = {
    fileExists: (path) => (present[path] ??= fileExists(path)),
    directoryExists: (path) => (folders[path] ??= folderExists(path)),
    realpath: (path) => (links[path] ??= realPath(path)),
    readFile(path) {
      if (!host.fileExists(path)) return undefined
      const bytes = withoutMark(readFileSync(path))
      used(path, bytes)
      return Buffer.from(bytes).toString("utf8")
    },
  }
  const observed = (): Observed => {
    const unread = Object.entries(present).filter(([path]) => !Object.hasOwn(files, path))
    return {
      files: sorted(files),
      present: sorted(Object.fromEntries(unread)),
      folders: sorted(folders),
      links: sorted(links),
    }
  }
  return { host, used, observed }
}

/** In one order, whichever file was read first. */
function sorted<T>(part: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** True when everything that was seen would be seen again. What is no record of this form does not hold. */
export function stillHolds(seen: Observed): boolean {
  const all = <T>(part: Readonly<Record<string, T>>, holds: (path: string, was: T) => boolean) =>
    Object.entries(part).every(([path, was]) => holds(path, was))
  return orElse(
    false,
    () =>
      all(seen.files, (path, was) => isFile(path) && hashOf(readFileSync(path)) === was) &&
      all(seen.present, (path, was) => fileExists(path) === was) &&
      all(seen.folders, (path, was) => folderExists(path) === was) &&
      all(seen.links, (path, was) => realPath(path) === was),
  )
}
