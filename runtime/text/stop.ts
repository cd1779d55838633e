/**
 * Ends a streamed text before the first stop string, wherever tokens break it.
 *
 * Text that may yet turn out to begin a stop string is held back; the rest is released at once. With the stop string "END":
 *
 *     push("The E")  →  "The "        push("Nx")  →  "ENx"        push("END")  →  "", stopped
 *
 * The released text is that before the earliest place where any stop string begins, however the text was split. So when a
 * stop string is complete while an earlier place may still become a longer one ("bc" in "abc" with "abcd" also given), the
 * next characters decide.
 */

import { WeftError } from "../errors.js"

export interface StopResult {
  /** Text that is now certain to be part of the result. */
  readonly text: string
  /** Whether a stop string was met. Nothing is released after that. */
  readonly stopped: boolean
}

export interface StopFilter {
  push(text: string): StopResult
  /** Ends the text and releases what was held back. */
  flush(): StopResult
}

/**
 * Makes a filter for one text. With no stop strings everything passes.
 * @throws WeftError `stop/empty` when a stop string is empty
 */
export function createStopFilter(stop: readonly string[]): StopFilter {
  if (stop.includes(""))
    throw new WeftError("stop/empty", "a stop string is empty", {
      hint: "leave it out: it would end every text at once",
    })
  const longest = Math.max(0, ...stop.map((string) => string.length))
  let held = ""
  let stopped = false

  /** Releases what is held up to `end` and, unless the text ends there, keeps the rest. */
  const release = (end: number, ends: boolean): StopResult => {
    const text = held.slice(0, end)
    held = ends ? "" : held.slice(end)
    stopped ||= ends
    return { text, stopped }
  }

  /** Where the earliest complete stop string begins; the length when there is none. */
  const firstMatch = (): number =>
    stop.map((string) => held.indexOf(string)).reduce((first, at) => (at >= 0 && at < first ? at : first), held.length)

  /** Where the earliest stop string begins that runs past the end; the length when there is none. */
  const firstPartial = (): number => {
    for (let at = Math.max(0, held.length - longest + 1); at < held.length; at++)
      if (stop.some((string) => string.length > held.length - at && string.startsWith(held.slice(at)))) return at
    return held.length
  }

  return {
    push(text) {
      if (stopped) return { text: "", stopped }
      held += text
      const match = firstMatch()
      const partial = firstPartial()
      return release(Math.min(match, partial), match < held.length && match <= partial)
    },
    flush() {
      const match = firstMatch()
      return release(match, match < held.length)
    },
  }
}
