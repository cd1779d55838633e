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
import { withoutMarks } from "./stop-tokens.js"

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

/** The earliest place in a text where a string is whole, and where one runs past the end; its length when there is none. */
interface Places {
  readonly match: number
  readonly partial: number
}

/**
 * Makes a filter for one text. With no stop strings everything passes.
 *
 * @param marked stop strings with marks for special tokens (`stop-tokens.ts`). The text may then have marks, too: they are not released, and
 * the strings in `stop` lie across them.
 * @throws WeftError `stop/empty` when a stop string is empty
 */
export function createStopFilter(stop: readonly string[], marked: readonly string[] = []): StopFilter {
  if (stop.includes(""))
    throw new WeftError("stop/empty", "a stop string is empty", {
      hint: "leave it out: it would end every text at once",
    })
  const [longest, longestMarked] = [stop, marked].map((strings) => Math.max(0, ...strings.map((s) => s.length)))
  let held = ""
  let stopped = false

  /** Releases what is held up to `end` and, unless the text ends there, keeps the rest. */
  const release = (end: number, ends: boolean): StopResult => {
    const text = withoutMarks(held.slice(0, end))
    held = ends ? "" : held.slice(end)
    stopped ||= ends
    return { text, stopped }
  }

  /** The earliest of both kinds, as places in what is held. */
  const places = (): Places => {
    const own = placesOf(marked, longestMarked!, held)
    const plain = withoutMarks(held)
    const seen = placesOf(stop, longest!, plain)
    if (plain === held) return { match: Math.min(own.match, seen.match), partial: Math.min(own.partial, seen.partial) }
    const at = placesOfCharacters(held)
    const inHeld = (place: number) => at[place] ?? held.length
    return { match: Math.min(own.match, inHeld(seen.match)), partial: Math.min(own.partial, inHeld(seen.partial)) }
  }

  return {
    push(text) {
      if (stopped) return { text: "", stopped }
      held += text
      const { match, partial } = places()
      return release(Math.min(match, partial), match < held.length && match <= partial)
    },
    flush() {
      const { match } = places()
      return release(match, match < held.length)
    },
  }
}

function placesOf(strings: readonly string[], longest: number, text: string): Places {
  const match = strings
    .map((string) => text.indexOf(string))
    .reduce((first, at) => (at >= 0 && at < first ? at : first), text.length)
  for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++)
    if (strings.some((string) => string.length > text.length - at && string.startsWith(text.slice(at))))
      return { match, partial: at }
  return { match, partial: text.length }
}

/** Where in `text` each unit stands of what is left of it without marks. */
function placesOfCharacters(text: string): readonly number[] {
  const at: number[] = []
  let place = 0
  for (const character of text) {
    if (withoutMarks(character) !== "") for (let i = 0; i < character.length; i++) at.push(place + i)
    place += character.length
  }
  return at
}
