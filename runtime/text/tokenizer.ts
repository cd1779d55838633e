/**
 * Text to token ids and back.
 *
 *     text  →  sections between added tokens  →  normalised  →  pieces  →  letters for bytes  →  merged  →  ids
 *
 * Merging is `@huggingface/tokenizers`'; what stands before it is ours (added.ts, pieces.ts), for a regular expression means something else
 * in JavaScript than in the reference. Decoding is ours, because a token is exactly its bytes and nothing else: the text of some tokens is
 * the UTF-8 decoding of their bytes one after the other, with no spaces cleaned up. Thus whole and streamed decoding (detokenizer.ts)
 * cannot differ, and `decode(encode(text))` is `text`, normalised as tokenizer.json says (NFC for Qwen) and with the special tokens that its
 * post-processor adds. A trial at the start holds a file to that.
 */

import * as library from "@huggingface/tokenizers"
import { WeftError } from "../errors.js"
import { hostText } from "../host.js"
import { createSplitter } from "./added.js"
import { bytesOfSpelling, spellingOf } from "./alphabet.js"
import { invalid, messageOf } from "./tokenizer-errors.js"
import { readTokenizerFiles, type TokenizerFiles } from "./tokenizer-files.js"

export interface DecodeOptions {
  /** Leave special tokens out. Default: false, they appear as their text. */
  readonly skipSpecial?: boolean
}

export interface EncodeOptions {
  /** Add the tokens that stand before and after a text. Default: true. */
  readonly special?: boolean
}

export interface Tokenizer {
  /** One more than the largest id. A checkpoint may have more rows than that: those ids mean nothing. */
  readonly vocabularySize: number
  /**
   * The ids of a text, taken as it is: no chat template; before and after it the special tokens that tokenizer.json's post-processor adds, or none
   * with `special: false`.
   */
  encode(text: string, options?: EncodeOptions): number[]
  /** The text of the ids; bytes that are not UTF-8 become U+FFFD. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string
  /** The bytes of one token, maybe not whole characters; an added token's are its text. None for an id without a token. */
  tokenBytes(id: number): Uint8Array
  /** The tokens that steer the model, by id, with their texts. */
  readonly specialTokens: ReadonlyMap<number, string>
  /** Whether the token steers the model rather than being text, as `<|im_end|>` does. */
  isSpecial(id: number): boolean
}

/**
 * Makes a tokenizer of the texts of tokenizer.json and tokenizer_config.json (which may be missing).
 * @throws WeftError `tokenizer/json` (not JSON), `tokenizer/invalid` (parts missing or wrong), `tokenizer/unsupported` (not a
 * byte-level BPE whose steps are known). `encode` throws `tokenizer/text` for text with half a character; `tokenBytes`, `isSpecial` and
 * `decode` throw `tokenizer/id` for what cannot be an id.
 */
export function createTokenizer(tokenizerJson: string, tokenizerConfigJson: string | undefined): Tokenizer {
  const files = readTokenizerFiles(tokenizerJson, tokenizerConfigJson)
  const encodePart = createEncoder(files)
  const addedIds = new Map(files.addedTokens.map((token) => [token.content, token.id]))
  const texts = new Map(files.addedTokens.map((token) => [token.id, token.content]))
  const special = new Set(files.addedTokens.filter((token) => token.special).map((token) => token.id))
  for (const name of files.namedTokens) {
    const id = addedIds.get(name) ?? files.vocabulary.get(name)
    if (id !== undefined) special.add(id)
  }

  const tokenBytes = (id: number): Uint8Array => {
    requireId(id)
    const text = texts.get(id)
    return text === undefined ? bytesOfSpelling(files.spellings.get(id) ?? "") : new TextEncoder().encode(text)
  }
  const isSpecial = (id: number): boolean => special.has(requireId(id))
  const decode: Tokenizer["decode"] = (ids, { skipSpecial = false } = {}) => {
    const decoder = createUtf8Decoder()
    let text = ""
    if (typeof ids?.[Symbol.iterator] !== "function") requireId(ids)
    for (const id of ids) if (!(skipSpecial && isSpecial(id))) text += decoder.decode(tokenBytes(id), { stream: true })
    return text + decoder.decode()
  }

  tryOut(files, encodePart, decode)
  const { before, after } = files.steps
  return {
    vocabularySize: files.vocabularySize,
    encode(text, { special: around = true } = {}) {
      if (typeof text === "string" && !/\p{Surrogate}/u.test(text))
        return around ? [...before, ...encodePart(text), ...after] : encodePart(text)
      throw new WeftError("tokenizer/text", "the text holds half a character (a lone surrogate), which has no tokens", {
        hint: "text.toWellFormed() puts U+FFFD in its place",
      })
    },
    decode,
    tokenBytes,
    specialTokens: new Map([...special].map((id) => [id, createUtf8Decoder().decode(tokenBytes(id))])),
    isSpecial,
  }
}

/** A decoder that keeps a byte order mark, which is text like any other here. */
export function createUtf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true })
}

/** Ids of a text, without what stands before and after it. */
function createEncoder({ model, vocabulary, steps, addedTokens }: TokenizerFiles): (text: string) => number[] {
  const splitRaw = createSplitter(addedTokens.filter((token) => !token.normalized))
  const splitNormal = createSplitter(
    addedTokens.filter((token) => token.normalized),
    ({ content }) => steps.normalize(content),
  )
  const merge = createMerger(model)
  const encodeText = (text: string): number[] => {
    const spelled = steps.cut(text).map(spellingOf)
    return merge(spelled).map((token) => vocabulary.get(token)!)
  }
  const encodeNormal = (text: string): number[] =>
    splitNormal(text).flatMap((section) => (typeof section === "number" ? [section] : encodeText(section)))
  return (text) =>
    splitRaw(text).flatMap((section) =>
      typeof section === "number" ? [section] : encodeNormal(steps.normalize(section)),
    )
}

/** The library has it, and declares it nowhere. */
const { BPE } = library as unknown as {
  readonly BPE: new (model: TokenizerFiles["model"]) => { encode(spellings: string[]): string[] }
}

/** The library's merging of letters into tokens. */
function createMerger(model: TokenizerFiles["model"]): (spellings: string[]) => string[] {
  try {
    const bpe = new BPE(model)
    return (spellings) => bpe.encode(spellings)
  } catch (cause) {
    return invalid("tokenizer.json", messageOf(cause), cause)
  }
}

/** What no careless tokenizer brings back: spaces, signs of two, three and four bytes, line ends, controls. */
const trial = "a word  é 😀 王\r\n\t\u0000\u0085\ufeff it's 12½ x\n "

function tryOut({ steps }: TokenizerFiles, encode: (text: string) => number[], decode: Tokenizer["decode"]): void {
  const text = steps.normalize(trial)
  const back = decode(encode(trial))
  if (back !== text)
    invalid("tokenizer.json", `a text does not come back: ${JSON.stringify(text)} is ${JSON.stringify(back)}`)
}

function requireId(id: unknown): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0) return id
  throw new WeftError("tokenizer/id", `${hostText(id)} is not a token id`, { hint: "ids are whole numbers from 0 on" })
}
