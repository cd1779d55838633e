/**
 * Reads and checks the two files of a tokenizer before anything is built from them.
 *
 * What passes is a byte-level BPE (GPT-2, Llama 3 and every Qwen have one): every token is a known run of bytes, so text
 * comes back exactly and can be streamed. Everything else is refused here, by name.
 */

import { printable, WeftError } from "../errors.js"

export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

/** tokenizer.json with its optional parts filled in, and what this runtime reads out of both files. */
export interface TokenizerFiles {
  readonly tokenizer: JsonObject
  readonly config: JsonObject
  readonly addedTokens: readonly AddedToken[]
  /** One more than the largest id. */
  readonly vocabularySize: number
  /** Texts of tokens that tokenizer_config.json names as beginning, end, padding and so on. */
  readonly namedTokens: readonly string[]
}

interface JsonObject {
  readonly [key: string]: unknown
}

const tokenizerFile = "tokenizer.json"
const configFile = "tokenizer_config.json"

/**
 * Parses and checks the texts of tokenizer.json and, where there is one, tokenizer_config.json.
 * @throws WeftError `tokenizer/json`, `tokenizer/invalid` or `tokenizer/unsupported`
 */
export function readTokenizerFiles(tokenizerJson: string, tokenizerConfigJson: string | undefined): TokenizerFiles {
  const parsed = parseObject(tokenizerFile, tokenizerJson)
  const config = tokenizerConfigJson === undefined ? {} : parseObject(configFile, tokenizerConfigJson)
  const model = readModel(parsed.model)
  requireByteLevel(parsed.decoder)
  const addedTokens = readAddedTokens(parsed.added_tokens)
  return {
    tokenizer: {
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      ...parsed,
      model,
      added_tokens: parsed.added_tokens ?? [],
    },
    config,
    addedTokens,
    vocabularySize: 1 + addedTokens.reduce((largest, token) => Math.max(largest, token.id), largestId(model.vocab)),
    namedTokens: readNamedTokens(config),
  }
}

function parseObject(file: string, text: string): JsonObject {
  let value: unknown
  try {
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
  if (type !== "BPE") return unsupported(`the tokenizer model is ${printable(String(type))}`)
  for (const affix of ["end_of_word_suffix", "continuing_subword_prefix"])
    if (model[affix]) return unsupported(`"model.${affix}" is ${printable(String(model[affix]))}`)
  if (!isObject(model.vocab)) return invalid(tokenizerFile, '"model.vocab" is missing')
  if (!Array.isArray(model.merges)) return invalid(tokenizerFile, '"model.merges" is missing')
  return { ...model, type }
}

/** The decoder must only turn spellings into bytes: a ByteLevel, alone or in a sequence with Fuse, which joins parts. */
function requireByteLevel(decoder: unknown): void {
  const steps = isObject(decoder) && decoder.type === "Sequence" ? decoder.decoders : [decoder]
  const types = Array.isArray(steps) ? steps.map((step) => (isObject(step) ? step.type : undefined)) : []
  if (types.includes("ByteLevel") && types.every((type) => type === "ByteLevel" || type === "Fuse")) return
  unsupported(`the decoder is ${printable(types.map((type) => String(type ?? "absent")).join(", "))}`)
}

function readAddedTokens(tokens: unknown): AddedToken[] {
  if (tokens === undefined || tokens === null) return []
  if (!Array.isArray(tokens)) return invalid(tokenizerFile, '"added_tokens" is not a list')
  return tokens.map((token: unknown, index) => {
    if (!isObject(token) || !isId(token.id) || typeof token.content !== "string" || token.content === "")
      return invalid(tokenizerFile, `"added_tokens[${index}]" has no id or no content`)
    return { id: token.id, content: token.content, special: token.special === true }
  })
}

function largestId(vocab: unknown): number {
  let largest = -1
  for (const [token, id] of Object.entries(vocab as JsonObject)) {
    if (!isId(id)) return invalid(tokenizerFile, `the id of the token ${printable(token)} is not a whole number`)
    if (id > largest) largest = id
  }
  return largest < 0 ? invalid(tokenizerFile, '"model.vocab" is empty') : largest
}

function readNamedTokens(config: JsonObject): string[] {
  const additional = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : []
  const named = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
  return [...named.map((name) => config[name]), ...additional]
    .map((token: unknown) => (isObject(token) ? token.content : token))
    .filter((token) => typeof token === "string")
}

/** @throws always, WeftError `tokenizer/invalid` */
export function invalid(file: string, problem: string, cause?: unknown): never {
  throw new WeftError("tokenizer/invalid", `${file} cannot be used: ${problem}`, {
    hint: "take the file as published with the checkpoint, or save it again with transformers",
    cause,
  })
}

function unsupported(found: string): never {
  throw new WeftError("tokenizer/unsupported", `${tokenizerFile} is of a kind that is not supported: ${found}`, {
    hint: "only byte-level BPE is supported; give token ids instead of text, or use a checkpoint with such a tokenizer",
  })
}

/** The largest id that is still an index into an array. */
const idLimit = 2 ** 31

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < idLimit
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

export function messageOf(cause: unknown): string {
  return printable(cause instanceof Error ? cause.message : String(cause))
}
