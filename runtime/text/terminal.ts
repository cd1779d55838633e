/**
 * Text from a stranger as a terminal may see it: what would steer the terminal is spelled out, everything else stays.
 *
 *     "red: \x1b[31m"  →  "red: \u001b[31m" in plain letters        "a\r\nb\tc"  →  as it is
 *
 * A model's text, and names from a file, can hold any character. A terminal obeys the control characters among them: it moves the cursor over
 * what was printed before, sets the window's title, puts text into the clipboard, or answers as if somebody had typed.
 */

/**
 * In this order: C0 without tab and line feed, DEL and C1 (of which U+009B alone begins a sequence); the separators that some
 * terminals take for line ends; the embeddings, overrides and isolates that show text in another order than it has; lone surrogates.
 * The marks of single letters (U+200E, U+200F, U+061C) stay: Arabic and Hebrew need them, and they reorder no text but their neighbours.
 */
const steering = /(?!\t|\n|\r\n)\p{Cc}|[\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu

/**
 * `text` with each character that could steer a terminal written as `\u` and four hex digits. Tabs, line feeds and carriage returns before
 * line feeds stay. What is whole characters may be passed in pieces; applying it twice changes nothing more.
 */
export function terminalText(text: string): string {
  return text.replace(steering, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
}
