/**
 * Stop strings that name special tokens, which are no part of a text.
 *
 *     stop "<|im_end|>"      the token <|im_end|>, or its letters one after the other
 *     stop "\n<|im_end|>"    a line feed and then either of these
 *
 * A text that is watched for them carries a mark for each special token, made of two lone surrogates: no decoded text and no stop string
 * holds such, so that a mark is met by nothing but the stop string that means it.
 */

/** Special tokens by id, with their texts. */
export type SpecialTokens = ReadonlyMap<number, string>

/** A stop string with more special tokens than this is watched for with all of them as tokens, or all in letters. */
const mostMixed = 4

/** Stands for a special token in a text. */
export function markOf(id: number): string {
  return String.fromCharCode(0xdc00 + ((id >>> 10) & 0x3ff), 0xdc00 + (id & 0x3ff))
}

/** A text without its marks. */
export function withoutMarks(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "")
}

/** Every way in which a stop string may be written with special tokens, by their marks; none when it names none. */
export function stopVariants(stop: string, special: SpecialTokens): readonly string[] {
  const marks = new Map([...special].filter(([, text]) => text !== "").map(([id, text]) => [text, markOf(id)]))
  const texts = [...marks.keys()].filter((text) => stop.includes(text)).sort((a, b) => b.length - a.length)
  const pieces: string[][] = []
  let count = 0
  for (let at = 0; at < stop.length; ) {
    const text = texts.find((candidate) => stop.startsWith(candidate, at))
    pieces.push(text === undefined ? [stop[at]!] : [text, marks.get(text)!])
    if (text !== undefined) count++
    at += text?.length ?? 1
  }
  if (count > mostMixed) return [pieces.map((ways) => ways.at(-1)!).join("")]
  const variants = pieces.reduce<string[]>(
    (begun, ways) => begun.flatMap((beginning) => ways.map((way) => beginning + way)),
    [""],
  )
  return variants.slice(1) // The first is all in letters.
}
