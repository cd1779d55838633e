/** The tokenizer of the shipped checkpoint, for the tests of this folder. */

import { readFileSync } from "node:fs"
import { createTokenizer, type Tokenizer } from "../../runtime/text/tokenizer.js"

export interface GoldenCase {
  readonly prompt: string
  readonly prompt_ids: number[]
  readonly greedy: number[]
  readonly text: string
}

export const tokenizerJson = read("tokenizer.json")
export const tokenizerConfigJson = read("tokenizer_config.json")
export const goldenCases: readonly GoldenCase[] = JSON.parse(read("golden.json")).cases

export const tales: Tokenizer = createTokenizer(tokenizerJson, tokenizerConfigJson)

/** The id of the token that is exactly this byte. */
export function idOfByte(byte: number): number {
  for (let id = 0; id < tales.vocabularySize; id++) {
    const bytes = tales.tokenBytes(id)
    if (bytes.length === 1 && bytes[0] === byte) return id
  }
  throw new Error(`no token for the byte ${byte}`)
}

function read(name: string): string {
  return readFileSync(new URL(`../../models/tales/${name}`, import.meta.url), "utf8")
}
