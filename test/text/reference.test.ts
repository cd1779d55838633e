/** Pieces and ids equal to the reference library's, on texts that are hard to cut (reference.py made reference.json). */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { type Cut, cutAtDigits, cutAtPattern, cutAtWords, knownPatterns } from "../../runtime/text/pieces.js"
import { createTokenizer } from "../../runtime/text/tokenizer.js"
import { tokenizerJson } from "./tales.js"

interface Reference {
  readonly cuts: Readonly<Record<string, readonly (readonly [text: string, lengths: readonly number[]])[]>>
  readonly ids: Readonly<
    Record<
      string,
      {
        readonly added_tokens: readonly object[]
        readonly normalizer: object | null
        readonly changes: { readonly model?: object }
        readonly texts: readonly (readonly [text: string, ids: readonly number[]])[]
      }
    >
  >
}
const reference: Reference = JSON.parse(readFileSync(new URL("./reference.json", import.meta.url), "utf8"))

const others: Readonly<Record<string, Cut>> = {
  "single digits": cutAtDigits(true),
  digits: cutAtDigits(false),
  ByteLevel: cutAtWords,
}

describe("pieces", () => {
  it.each(Object.entries(reference.cuts))("%s", (name, texts) => {
    const cut = others[name] ?? cutAtPattern(knownPatterns[name]!)!
    for (const [text, lengths] of texts)
      expect([text, cut(text).map((piece) => [...piece].length)]).toEqual([text, lengths])
  })

  it("has texts for every pattern", () => {
    expect(Object.keys(reference.cuts)).toEqual([...Object.keys(knownPatterns), ...Object.keys(others)])
  })
})

describe("ids", () => {
  const shipped = JSON.parse(tokenizerJson)
  it.each(Object.entries(reference.ids))("%s", (_, { added_tokens, normalizer, changes, texts }) => {
    const model = { ...shipped.model, ...changes.model }
    const json = JSON.stringify({ ...shipped, added_tokens, normalizer, ...changes, model })
    const tokenizer = createTokenizer(json, undefined)
    for (const [text, ids] of texts) expect([text, tokenizer.encode(text)]).toEqual([text, ids])
  })
})
