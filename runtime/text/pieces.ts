/**
 * Cuts a text into the pieces that are merged into tokens, each by itself.
 *
 *     "it's 12 o'clock"  →  "it" "'s" " " "1" "2" " o" "'clock"        by Qwen's pattern
 *
 * The patterns are those that published byte-level tokenizers have, written out for JavaScript: its `\s` takes U+FEFF for a space and
 * U+0085 for none, its `\d` knows ASCII only, and `(?i:…)` is not in every engine. Other patterns are refused: a tokenizer.json is a
 * stranger's, and some patterns take for ever on some texts. Each of these takes time in proportion to its text.
 */

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const gaps = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
const cased = (end: string) =>
  [`${upper}*${lower}+${end}`, `${upper}+${lower}*${end}`].map((w) => `[^\\r\\n\\p{L}\\p{N}]?${w}`)

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** The patterns as tokenizer.json has them, by the family that introduced them. */
export const knownPatterns: Readonly<Record<string, string>> = {
  "GPT-2": gpt2,
  Qwen2: `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${gaps}`,
  "Qwen3.5": `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${gaps}`,
  "Llama 3": `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${gaps}`,
  "GPT-4o": [...cased(`${contractions}?`), "\\p{N}{1,3}", " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*", gaps].join("|"),
  Tekken: [...cased(""), "\\p{N}", " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*", gaps].join("|"),
}

/** One way to cut: the parts that match stand alone, and so do those between them. */
export type Cut = (text: string) => readonly string[]

/** The cut of a pattern of the table; `undefined` for any other. */
export function cutAtPattern(pattern: string): Cut | undefined {
  return Object.values(knownPatterns).includes(pattern) ? cutAt(inJavaScript(pattern)) : undefined
}

/** The cut that a ByteLevel makes by itself. */
export const cutAtWords: Cut = cutAt(inJavaScript(gpt2))

/** Digits and everything else that has a number's class, one by one or in runs. */
export const cutAtDigits = (single: boolean): Cut => cutAt(single ? "\\p{N}" : "\\p{N}+")

/** The same pattern for a regular expression with the flag `u`. U+017F is an s in another case. */
function inJavaScript(pattern: string): string {
  return pattern
    .replaceAll(contractions, "(?:'[sSſ]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")
    .replaceAll("\\s", "\\p{White_Space}")
    .replaceAll("\\S", "\\P{White_Space}")
}

function cutAt(source: string): Cut {
  const pattern = new RegExp(source, "gu")
  return (text) => {
    const pieces: string[] = []
    let end = 0
    for (const { 0: found, index } of text.matchAll(pattern)) {
      if (index > end) pieces.push(text.slice(end, index))
      pieces.push(found)
      end = index + found.length
    }
    if (end < text.length) pieces.push(text.slice(end))
    return pieces
  }
}
