/**
 * What a generation has said so far: tokens, and their text in whole characters, never beyond a stop string.
 *
 *     tokens     "one", <|x|>, " two"
 *     watched    "one‹x› two"            where stop strings are looked for that name the special token
 *     text       "one two"               where the others are looked for
 */
import { createDetokenizer } from "../text/detokenizer.js"
import { createStopFilter } from "../text/stop.js"
import { markOf, stopVariants } from "../text/stop-tokens.js"
import type { Tokenizer } from "../text/tokenizer.js"
import type { GeneratePart } from "./generation.js"

export interface Output {
  readonly tokens: readonly number[]
  text(): string
  /** Whether the token completes a stop string. */
  push(token: number): boolean
  /** Ends the text; whether what was held back holds a stop string. */
  end(): boolean
  /** What is new, if it is worth a part: text where there is a tokenizer, tokens where there is none or when it is the last part. */
  take(last?: boolean): GeneratePart | undefined
}

export function createOutput(tokenizer: Tokenizer | undefined, stop: readonly string[]): Output {
  const detokenizer = tokenizer === undefined ? undefined : createDetokenizer(tokenizer)
  const special = tokenizer?.specialTokens ?? new Map<number, string>()
  const filter = createStopFilter(
    stop,
    stop.flatMap((string) => stopVariants(string, special)),
  )
  const tokens: number[] = []
  let text = ""
  let taken = { text: 0, tokens: 0 }
  return {
    tokens,
    text: () => text,
    push(token) {
      tokens.push(token)
      const mark = tokenizer?.isSpecial(token) === true ? markOf(token) : ""
      const released = filter.push(mark + (detokenizer?.push(token) ?? ""))
      text += released.text
      return released.stopped
    },
    end() {
      const last = filter.push(detokenizer?.flush() ?? "")
      const rest = filter.flush()
      text += last.text + rest.text
      return rest.stopped
    },
    take(last = false) {
      const part = { text: text.slice(taken.text), tokens: tokens.slice(taken.tokens) }
      const worth = part.text !== "" || (part.tokens.length > 0 && (last || tokenizer === undefined))
      if (!worth) return undefined
      taken = { text: text.length, tokens: tokens.length }
      return part
    },
  }
}
