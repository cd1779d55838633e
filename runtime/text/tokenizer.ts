/**
 * Text to token ids and back.
 *
 * Encoding is `@huggingface/tokenizers`'; decoding is ours, because a token is exactly its bytes and nothing else: the text
 * of some tokens is the UTF-8 decoding of their bytes one after the other, with no spaces cleaned up. Thus whole and streamed
 * decoding (detokenizer.ts) cannot differ, and `decode(encode(text))` is `text`, normalised as tokenizer.json says (NFC for
 * Qwen) and with the special tokens that its post-processor adds.
 */

import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers"
import { WeftError } from "../errors.js"
import { bytesOfSpelling } from "./alphabet.js"
import { invalid, messageOf, readTokenizerFiles, type TokenizerFiles } from "./tokenizer-files.js"

export interface DecodeOptions {
  /** Leave special tokens out. Default: false, they appear as their text. */
  readonly skipSpecial?: boolean
}

export interface Tokenizer {
  /** One more than the largest id. A checkpoint may have more rows than that: those ids mean nothing. */
  readonly vocabularySize: number
  /** The ids of a text, taken as it is: no chat template; special tokens as tokenizer.json's post-processor adds them. */
  encode(text: string): number[]
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
 * byte-level BPE). `tokenBytes`, `isSpecial` and `decode` throw `tokenizer/id` for what cannot be an id.
 */
export function createTokenizer(tokenizerJson: string, tokenizerConfigJson: string | undefined): Tokenizer {
  const files = readTokenizerFiles(tokenizerJson, tokenizerConfigJson)
  const encoder = build(files)
  const addedText = new Map(files.addedTokens.map((token) => [token.id, token.content]))
  const special = new Set(files.addedTokens.filter((token) => token.special).map((token) => token.id))
  for (const name of files.namedTokens) {
    const id = encoder.token_to_id(name)
    if (id !== undefined) special.add(id)
  }

  const tokenBytes = (id: number): Uint8Array => {
    requireId(id)
    const text = addedText.get(id)
    return text === undefined ? bytesOfSpelling(encoder.id_to_token(id) ?? "") : new TextEncoder().encode(text)
  }
  const isSpecial = (id: number): boolean => special.has(requireId(id))

  return {
    vocabularySize: files.vocabularySize,
    encode: (text) => encoder.encode(text).ids,
    decode(ids, { skipSpecial = false } = {}) {
      const decoder = createUtf8Decoder()
      let text = ""
      for (const id of ids)
        if (!(skipSpecial && isSpecial(id))) text += decoder.decode(tokenBytes(id), { stream: true })
      return text + decoder.decode()
    },
    tokenBytes,
    specialTokens: new Map([...special].map((id) => [id, createUtf8Decoder().decode(tokenBytes(id))])),
    isSpecial,
  }
}

/** A decoder that keeps a byte order mark, which is text like any other here. */
export function createUtf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true })
}

/** What is used of the library's tokenizer. */
interface Encoder {
  encode(text: string): { ids: number[]; tokens: string[] }
  token_to_id(token: string): number | undefined
  id_to_token(id: number): string | undefined
}

/** Builds the encoder and tries it once, for some faults (a post-processor that adds an unknown token) show only then. */
function build(files: TokenizerFiles): Encoder {
  try {
    const encoder: Encoder = new HuggingFaceTokenizer(files.tokenizer, files.config)
    const { ids, tokens } = encoder.encode("a word")
    const unknown = ids.findIndex((id) => !Number.isInteger(id))
    if (unknown < 0) return encoder
    throw new Error(`the post-processor adds ${tokens[unknown]}, which is not a token`)
  } catch (cause) {
    return invalid("tokenizer.json", messageOf(cause), cause)
  }
}

function requireId(id: number): number {
  if (Number.isInteger(id) && id >= 0) return id
  throw new WeftError("tokenizer/id", `${id} is not a token id`, { hint: "ids are whole numbers from 0 on" })
}
