/**
 * The tokenizer inside of a file, as the tokenizer.json and tokenizer_config.json from which it was made.
 *
 *     tokens ["!", …, "<|im_end|>"], token_type [1, …, 3], merges ["Ġ Ġ", …], pre "qwen2"
 *       →   { model: { type: "BPE", vocab, merges }, added_tokens: [<|im_end|>, …], normalizer: NFC, pre_tokenizer: [Split, ByteLevel], … }
 *
 * Byte-level BPE whose way to cut is known by name is read; what else there is is refused by name.
 */
import { printable, WeftError } from "../../errors.js"
import type { TextFile } from "../checkpoint.js"
import { type Fields, fieldsOf } from "./fields.js"
import type { Value } from "./parse.js"
import { type PreTokenizer, preTokenizerNames, preTokenizers } from "./pre-tokenizers.js"

/** What a token is, by the numbers of `token_type`. */
const kinds = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5 } as const

/** What a file's tokenizer is called that is none. */
const none = ["none", "no_vocab"]

/** What is known by name and not read. */
const models: Readonly<Record<string, string>> = {
  llama: "SentencePiece",
  bert: "WordPiece",
  t5: "Unigram",
  rwkv: "RWKV",
  plamo2: "PLaMo-2",
}

type Metadata = ReadonlyMap<string, Value>

/**
 * A text file that a folder would have.
 *
 * @throws WeftError `tokenizer/unsupported`, `tokenizer/invalid`, when tokenizer.json is asked for
 */
export function textOf(file: string, metadata: Metadata, name: TextFile): string | undefined {
  const fields = fieldsOf(file, metadata)
  if (name === "tokenizer.json") return tokenizerJson(fields)
  if (name === "tokenizer_config.json") return tokenizerConfig(fields)
  return undefined
}

function tokenizerJson(fields: Fields): string | undefined {
  const whole = fields.text(".tokenizer.huggingface.json")
  if (whole !== undefined) return whole
  const model = fields.text(".tokenizer.ggml.model")
  const tokens = textsOf(fields, ".tokenizer.ggml.tokens")
  if (model === undefined || none.includes(model) || tokens === undefined) return undefined
  if (model !== "gpt2") {
    const known = Object.hasOwn(models, model) ? ` (${models[model]})` : ""
    return unsupported(fields, `is of the kind ${printable(model)}${known}; byte-level BPE ("gpt2") is`)
  }
  const merges = textsOf(fields, ".tokenizer.ggml.merges")
  if (merges === undefined) return invalid(fields, "has no merges")
  return written(fields, preTokenizerOf(fields), tokens, merges)
}

function preTokenizerOf(fields: Fields): PreTokenizer {
  const said = fields.text(".tokenizer.ggml.pre")
  if (said === undefined)
    return unsupported(fields, "does not say how text is cut (tokenizer.ggml.pre), as files of today do")
  const name = Object.hasOwn(preTokenizerNames, said) ? preTokenizerNames[said]! : said
  if (Object.hasOwn(preTokenizers, name)) return preTokenizers[name]!
  return unsupported(fields, `cuts text as ${printable(said)}; known are ${Object.keys(preTokenizers).join(", ")}`)
}

/** Joined by hand: tokens are any texts, and an object would lose `__proto__` and put numbers first. */
function written(fields: Fields, cut: PreTokenizer, tokens: readonly string[], merges: readonly string[]): string {
  const kindOf = kindsOf(fields, tokens.length)
  const vocabulary: string[] = []
  const added: object[] = []
  const seen = new Set<string>()
  tokens.forEach((content, id) => {
    const kind = kindOf(id)
    if (kind === kinds.unused) return
    if (seen.has(content)) invalid(fields, `has the token ${printable(content)} twice`)
    seen.add(content)
    if (kind === kinds.normal) vocabulary.push(`${JSON.stringify(content)}:${id}`)
    else
      added.push({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: kind !== kinds.user,
      })
  })
  const split = { type: "Split", pattern: { Regex: cut.pattern }, behavior: "Isolated", invert: false }
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
  const digits = cut.digits ? [{ type: "Digits", individual_digits: true }] : []
  const rest = {
    version: "1.0",
    added_tokens: added,
    normalizer: cut.normalizer === undefined ? null : { type: cut.normalizer },
    pre_tokenizer: { type: "Sequence", pretokenizers: [...digits, split, bytes] },
    post_processor: around(fields, cut, tokens),
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  }
  const model = `{"type":"BPE","ignore_merges":${cut.ignoreMerges === true},"vocab":{${vocabulary.join()}},"merges":${JSON.stringify(merges)}}`
  return `${JSON.stringify(rest).slice(0, -1)},"model":${model}}`
}

/** What kind a token is; all are normal where the file does not say. */
function kindsOf(fields: Fields, count: number): (id: number) => number {
  const key = ".tokenizer.ggml.token_type"
  const list = fields.value(key)
  if (list === undefined) return () => kinds.normal
  if (!Array.isArray(list) || list.length !== count)
    return fields.refuse(key, `is not a list of ${count} numbers, one for each token`)
  return (id) => Number(list[id])
}

/** The tokens that a text begins and ends with. */
function around(fields: Fields, cut: PreTokenizer, tokens: readonly string[]): object | null {
  const token = (flag: string, key: string, otherwise: boolean) => {
    if (!(fields.flag(`.tokenizer.ggml.add_${flag}_token`) ?? otherwise)) return []
    const id = tokenOf(fields, key, tokens)
    return id === undefined
      ? invalid(fields, `puts a token around texts and does not say which (${key})`)
      : [{ id, text: tokens[id]! }]
  }
  const before = token("bos", "bos_token_id", cut.begins === true)
  const after = token("eos", "eos_token_id", false)
  const all = [...before, ...after]
  if (all.length === 0) return null
  const named = (list: typeof all) => list.map(({ text }) => ({ SpecialToken: { id: text, type_id: 0 } }))
  return {
    type: "TemplateProcessing",
    single: [...named(before), { Sequence: { id: "A", type_id: 0 } }, ...named(after)],
    pair: [],
    special_tokens: Object.fromEntries(all.map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }])),
  }
}

/** One of the tokens that metadata name, where it is one. */
function tokenOf(fields: Fields, key: string, { length }: readonly string[]): number | undefined {
  const id = fields.count(`.tokenizer.ggml.${key}`)
  return id !== undefined && id < length ? id : undefined
}

function tokenizerConfig(fields: Fields): string {
  const tokens = textsOf(fields, ".tokenizer.ggml.tokens") ?? []
  const text = (key: string): string | undefined => tokens[tokenOf(fields, key, tokens) ?? -1]
  return JSON.stringify({
    bos_token: text("bos_token_id"),
    eos_token: text("eos_token_id"),
    unk_token: text("unknown_token_id"),
    pad_token: text("padding_token_id"),
    chat_template: templateOf(fields),
  })
}

/** The template, or the one of several that is called so. */
function templateOf(fields: Fields): string | undefined {
  return fields.text(".tokenizer.chat_template") ?? fields.text(".tokenizer.chat_template.default")
}

/** Tokens by which answers end though metadata name one end only: those that llama.cpp takes for such by their texts. */
const endTexts = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<end_of_turn>",
  "<EOT>",
  "<｜end▁of▁sentence｜>",
  "</s>",
])

/**
 * What a folder says in its generation_config.json: the tokens that end an answer, and how one is drawn.
 *
 * @throws WeftError `checkpoint/metadata`
 */
export function generationConfigOf(file: string, metadata: Metadata): Readonly<Record<string, unknown>> {
  const fields = fieldsOf(file, metadata)
  const tokens = textsOf(fields, ".tokenizer.ggml.tokens")
  const kindOf = tokens && kindsOf(fields, tokens.length)
  const named = ["eos_token_id", "eot_token_id", "eom_token_id"].flatMap(
    (key) => fields.count(`.tokenizer.ggml.${key}`) ?? [],
  )
  const known = (tokens ?? []).flatMap((text, id) => (endTexts.has(text) && kindOf!(id) === kinds.control ? [id] : []))
  const ends = [...new Set([...named, ...known])]
  const sampling = {
    temperature: fields.number(".general.sampling.temp"),
    top_k: fields.number(".general.sampling.top_k"),
    top_p: fields.number(".general.sampling.top_p"),
    min_p: fields.number(".general.sampling.min_p"),
    repetition_penalty: fields.number(".general.sampling.penalty_repeat"),
  }
  const said = Object.entries(sampling).filter(([, value]) => value !== undefined)
  const draws = said.length > 0 && sampling.temperature !== 0
  return {
    ...(ends.length > 0 && { eos_token_id: ends }),
    ...(draws && { do_sample: true, ...Object.fromEntries(said) }),
  }
}

function textsOf(fields: Fields, key: string): readonly string[] | undefined {
  const list = fields.value(key)
  if (list === undefined) return undefined
  const isTexts = Array.isArray(list) && list.every((text) => typeof text === "string")
  return isTexts ? (list as readonly string[]) : fields.refuse(key, "is not a list of texts")
}

function unsupported(fields: Fields, problem: string): never {
  throw new WeftError("tokenizer/unsupported", `${printable(fields.file)}: the tokenizer ${problem}`, {
    hint: "give token ids in place of text, or use a model with byte-level BPE",
  })
}

function invalid(fields: Fields, problem: string): never {
  throw new WeftError("tokenizer/invalid", `${printable(fields.file)}: the tokenizer ${problem}`, {
    hint: "the file is damaged or was not converted as llama.cpp does it; convert the model anew",
  })
}
