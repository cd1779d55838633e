/**
 * Waits for a change in folders.
 *
 *     await watchFolders(new Set(["models", "models/shared"]), signal)
 *
 * Folders are watched rather than files: editors write beside a file and rename, and an import that is missing may come to be.
 */
import { type FSWatcher, watch } from "node:fs"

/** Quiet time after a change, in milliseconds: editors write in several steps. */
const settleMs = 50
const heeded = /\.([cm]?[jt]sx?|json)$/

/** Resolves some time after a source or a JSON file in one of the folders has changed, or when `signal` aborts. */
export function watchFolders(folders: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const watchers: FSWatcher[] = []
    let timer: NodeJS.Timeout | undefined
    const end = () => {
      clearTimeout(timer)
      for (const watcher of watchers) watcher.close()
      signal.removeEventListener("abort", end)
      resolve()
    }
    const seen = (_: string, name: string | null) => {
      if (name !== null && !heeded.test(name)) return
      clearTimeout(timer)
      timer = setTimeout(end, settleMs)
    }
    signal.addEventListener("abort", end)
    if (signal.aborted) return end()
    for (const folder of folders) {
      try {
        // A folder that goes away is a change like any other.
        watchers.push(watch(folder, seen).on("error", () => seen("error", null)))
      } catch {
        // One that is not there has no changes.
      }
    }
  })
}
