/**
 * Reads and checks the two files of a tokenizer before anything is built from them.
 *
 * What passes is a byte-level BPE (GPT-2, Llama 3 and every Qwen have one): every token is a known run of bytes, so text
 * comes back exactly and can be streamed. Everything else is refused here, by name; so is what a stranger could make endless.
 */

import { printable, WeftError } from "../errors.js"
import { isDeeper } from "../weights/json.js"
import type { AddedToken } from "./added.js"
import { letterOfByte } from "./alphabet.js"
import { invalid, isObject, type JsonObject, kindOf, messageOf, shown, unsupported } from "./tokenizer-errors.js"
import { type Steps, stepsOf } from "./tokenizer-steps.js"

/** What this runtime reads out of both files. */
export interface TokenizerFiles {
  /** The part that merges bytes into tokens, as its library takes it. */
  readonly model: JsonObject
  /** Spellings and their ids, each once. */
  readonly vocabulary: ReadonlyMap<string, number>
  /** The other way round; of an added token its text. */
  readonly spellings: ReadonlyMap<number, string>
  readonly steps: Steps
  readonly addedTokens: readonly AddedToken[]
  /** One more than the largest id. */
  readonly vocabularySize: number
  /** Texts of tokens that tokenizer_config.json names as beginning, end, padding and so on. */
  readonly namedTokens: readonly string[]
}

const tokenizerFile = "tokenizer.json"
const configFile = "tokenizer_config.json"

/** Several times what the largest tokenizers have: their time and memory are bounded by these and by the size of the text. */
const most = { tokens: 1_000_000, addedTokens: 100_000, letters: 2_000, content: 256, id: 2 ** 31, depth: 64 } as const

/**
 * Parses and checks the texts of tokenizer.json and, where there is one, tokenizer_config.json.
 * @throws WeftError `tokenizer/json`, `tokenizer/invalid` or `tokenizer/unsupported`
 */
export function readTokenizerFiles(tokenizerJson: string, tokenizerConfigJson: string | undefined): TokenizerFiles {
  const parsed = parseObject(tokenizerFile, tokenizerJson)
  const config = tokenizerConfigJson === undefined ? {} : parseObject(configFile, tokenizerConfigJson)
  const model = readModel(parsed.model)
  requireByteLevel(parsed.decoder)
  const { vocabulary, spellings } = readVocabulary(model.vocab as JsonObject)
  checkMerges(model.merges as readonly unknown[], vocabulary)
  const addedTokens = readAddedTokens(parsed.added_tokens)
  checkAdded(addedTokens, vocabulary, spellings)
  requireBytes(vocabulary)
  return {
    model,
    vocabulary,
    spellings,
    steps: stepsOf(parsed, (name) => addedTokens.find((t) => t.content === name)?.id ?? vocabulary.get(name)),
    addedTokens,
    vocabularySize: sizeOf(spellings),
    namedTokens: readNamedTokens(config),
  }
}

function parseObject(file: string, text: string): JsonObject {
  let value: unknown
  try {
    if (isDeeper(text, most.depth)) throw new SyntaxError(`it is nested more than ${most.depth} deep`)
    value = JSON.parse(text)
  } catch (cause) {
    throw new WeftError("tokenizer/json", `${file} is not JSON: ${messageOf(cause)}`, {
      hint: "the file is cut off or not the one it is named after; fetch it again",
      cause,
    })
  }
  return isObject(value) ? value : invalid(file, "the file is not a JSON object")
}

function readModel(model: unknown): JsonObject {
  if (!isObject(model)) return invalid(tokenizerFile, '"model" is missing')
  // Files of 2020 carry no type; with merges it can only be BPE.
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined)
  if (type !== "BPE") return unsupported(`the tokenizer model is ${shown(type)}`)
  for (const affix of ["end_of_word_suffix", "continuing_subword_prefix", "continuing_subword_suffix", "dropout"])
    if (model[affix]) return unsupported(`"model.${affix}" is ${shown(model[affix])}`)
  if (!isObject(model.vocab)) return invalid(tokenizerFile, '"model.vocab" is missing')
  if (!Array.isArray(model.merges)) return invalid(tokenizerFile, '"model.merges" is missing')
  const { vocab, merges } = model
  return { type, vocab, merges, ignore_merges: model.ignore_merges === true }
}

/** Every spelling has one id and every id one spelling, or text would not come back. */
function readVocabulary(vocab: JsonObject) {
  const vocabulary = new Map<string, number>()
  const spellings = new Map<number, string>()
  for (const [token, id] of Object.entries(vocab)) {
    if (!isId(id)) return invalid(tokenizerFile, `the id of the token ${printable(token)} is not a whole number`)
    if (token.length > most.letters) return invalid(tokenizerFile, `the token ${printable(token)} is too long`)
    const other = spellings.get(id)
    if (other !== undefined)
      return invalid(tokenizerFile, `the tokens ${printable(other)} and ${printable(token)} have one id, ${id}`)
    vocabulary.set(token, id)
    spellings.set(id, token)
  }
  if (vocabulary.size === 0) return invalid(tokenizerFile, '"model.vocab" is empty')
  if (vocabulary.size > most.tokens) return invalid(tokenizerFile, `there are ${vocabulary.size} tokens`)
  return { vocabulary, spellings }
}

/** Each merge is two tokens, `"a b"` or `["a", "b"]`, that make a third. */
function checkMerges(merges: readonly unknown[], vocabulary: ReadonlyMap<string, number>): undefined {
  if (merges.length > most.tokens) invalid(tokenizerFile, `there are ${merges.length} merges`)
  const inPairs = Array.isArray(merges[0])
  for (let i = 0; i < merges.length; i++) {
    const merge = merges[i]
    const parts: unknown = inPairs ? merge : typeof merge === "string" ? merge.split(" ") : undefined
    const [a, b]: readonly unknown[] = Array.isArray(parts) && parts.length === 2 ? parts : []
    if (typeof a !== "string" || typeof b !== "string")
      return invalid(tokenizerFile, `"model.merges[${i}]" is not a pair of tokens`)
    const absent = !vocabulary.has(a) ? a : !vocabulary.has(b) ? b : !vocabulary.has(a + b) ? a + b : undefined
    if (absent !== undefined)
      return invalid(tokenizerFile, `"model.merges[${i}]" has ${printable(absent)}, which is not in the vocabulary`)
  }
  return undefined
}

/** Without a token for each byte that text can have, some text would be lost. */
function requireBytes(vocabulary: ReadonlyMap<string, number>): void {
  for (let byte = 0; byte < 0xf5; byte++)
    if (byte !== 0xc0 && byte !== 0xc1 && !vocabulary.has(letterOfByte(byte)))
      unsupported(`there is no token for the byte ${byte}, so text with it would be lost`)
}

/** The decoder must only turn spellings into bytes: a ByteLevel, alone or in a sequence with Fuse, which joins parts. */
function requireByteLevel(decoder: unknown): void {
  const steps = isObject(decoder) && decoder.type === "Sequence" ? decoder.decoders : [decoder]
  const types = Array.isArray(steps) ? steps.map((step) => (isObject(step) ? step.type : undefined)) : []
  if (types.includes("ByteLevel") && types.every((type) => type === "ByteLevel" || type === "Fuse")) return
  const names = types.map((type) => (typeof type === "string" ? type : type === undefined ? "absent" : kindOf(type)))
  unsupported(`the decoder is ${printable(names.join(", "))}`)
}

function readAddedTokens(tokens: unknown): AddedToken[] {
  if (tokens === undefined || tokens === null) return []
  if (!Array.isArray(tokens)) return invalid(tokenizerFile, '"added_tokens" is not a list')
  if (tokens.length > most.addedTokens) return invalid(tokenizerFile, `there are ${tokens.length} added tokens`)
  return tokens.map((token: unknown, index) => {
    if (!isObject(token) || !isId(token.id) || typeof token.content !== "string" || token.content === "")
      return invalid(tokenizerFile, `"added_tokens[${index}]" has no id or no content`)
    if (token.content.length > most.content || /\p{Surrogate}/u.test(token.content))
      return invalid(tokenizerFile, `"added_tokens[${index}]" has a content that no text has`)
    const flag = (name: string, otherwise = false): boolean => {
      const value = token[name] ?? otherwise
      return typeof value === "boolean"
        ? value
        : invalid(tokenizerFile, `"added_tokens[${index}].${name}" is ${shown(value)}, neither true nor false`)
    }
    const special = flag("special")
    return {
      id: token.id,
      content: token.content,
      special,
      singleWord: flag("single_word"),
      lstrip: flag("lstrip"),
      rstrip: flag("rstrip"),
      normalized: flag("normalized", !special),
    }
  })
}

/** Refuses ids that stand twice; gives the added tokens' texts to `spellings`. */
function checkAdded(
  added: readonly AddedToken[],
  vocabulary: ReadonlyMap<string, number>,
  spellings: Map<number, string>,
): undefined {
  const ids = new Map<string, number>()
  for (const { id, content } of added) {
    const spelling = spellings.get(id)
    if (spelling !== undefined && spelling !== content)
      return invalid(tokenizerFile, `the added token ${printable(content)} has the id of ${printable(spelling)}, ${id}`)
    const other = ids.get(content) ?? vocabulary.get(content)
    if (other !== undefined && other !== id)
      return invalid(tokenizerFile, `the token ${printable(content)} has two ids, ${other} and ${id}`)
    ids.set(content, id)
    spellings.set(id, content)
  }
  return undefined
}

/** One more than the largest id. */
function sizeOf(spellings: ReadonlyMap<number, string>): number {
  let size = 0
  for (const id of spellings.keys()) size = Math.max(size, id + 1)
  return size
}

function readNamedTokens(config: JsonObject): string[] {
  const additional = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : []
  const named = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
  return [...named.map((name) => config[name]), ...additional]
    .map((token: unknown) => (isObject(token) ? token.content : token))
    .filter((token) => typeof token === "string")
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < most.id
}
