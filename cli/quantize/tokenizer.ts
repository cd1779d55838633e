/**
 * A tokenizer.json as the metadata of a GGUF file, for byte-level BPE: every token by its id, what kind each is, and the merges.
 *
 *     { model: { vocab: { "!": 0, … }, merges: [["Ġ", "t"], …] }, added_tokens: [{ id: 151645, content: "<|im_end|>", special: true }] }
 *       →   tokenizer.ggml.tokens ["!", …], .token_type [1, …, 3], .merges ["Ġ t", …], .pre "qwen2"
 *
 * How text is cut and normalised is one name in GGUF (`pre`). Of a tokenizer that does it in a way without a name, or has more to say, the whole
 * tokenizer.json is in the file, too (`tokenizer.huggingface.json`), which Weft reads first.
 */
import { knownPatterns } from "../../runtime/text/pieces.js"
import { isObject, type JsonObject } from "../../runtime/text/tokenizer-errors.js"
import { readTokenizerFiles } from "../../runtime/text/tokenizer-files.js"
import { type PreTokenizer, preTokenizers } from "../../runtime/weights/gguf/pre-tokenizers.js"
import type { Entry } from "../../runtime/weights/gguf/writer.js"

/** `llama_token_type` of llama.cpp. */
const kinds = { normal: 1, control: 3, user: 4, unused: 5 } as const

export interface TokenizerTexts {
  /** tokenizer.json and tokenizer_config.json. */
  readonly json: string
  readonly config: string | undefined
}

export interface TokenIds {
  /** Rows of the embedding: files have a token for each. */
  readonly vocabulary: number
  readonly begin: number | undefined
  /** The tokens that end an answer. */
  readonly end: readonly number[]
}

/** @throws WeftError `tokenizer/…` for files that are none, or of a kind that is not supported */
export function tokenizerEntries({ json, config }: TokenizerTexts, ids: TokenIds): ReadonlyMap<string, Entry> {
  const files = readTokenizerFiles(json, config)
  const settings: unknown = config === undefined ? {} : JSON.parse(config)
  const idOf = (field: string): number | undefined => {
    const named = isObject(settings) ? settings[field] : undefined
    const text = isObject(named) ? named.content : named
    if (typeof text !== "string") return undefined
    return files.addedTokens.find(({ content }) => content === text)?.id ?? files.vocabulary.get(text)
  }
  const { before, after } = files.steps
  const end = [...new Set([...after, ...ids.end])]
  const entries = new Map<string, Entry>([
    ["ggml.model", { type: "text", value: "gpt2" }],
    ...vocabularyEntries(files, Math.max(ids.vocabulary, files.vocabularySize)),
    ["ggml.merges", { type: "texts", value: mergesOf(files.model.merges as readonly unknown[]) }],
  ])
  const single = [
    ["bos_token_id", before[0] ?? ids.begin ?? idOf("bos_token")],
    ["eos_token_id", end[0] ?? idOf("eos_token")],
    ["eot_token_id", end[1]],
    ["eom_token_id", end[2]],
    ["padding_token_id", idOf("pad_token")],
  ] as const
  for (const [key, id] of single) if (id !== undefined) entries.set(`ggml.${key}`, { type: "u32", value: id })
  entries.set("ggml.add_bos_token", { type: "bool", value: before.length > 0 })
  entries.set("ggml.add_eos_token", { type: "bool", value: after.length > 0 })
  const pre = preOf(JSON.parse(json) as JsonObject)
  if (pre !== undefined) entries.set("ggml.pre", { type: "text", value: pre })
  const isPlain = files.addedTokens.every((t) => !t.singleWord && !t.lstrip && !t.rstrip && !t.normalized)
  if (pre === undefined || !isPlain || before.length > 1 || after.length > 1)
    entries.set("huggingface.json", { type: "text", value: json })
  return entries
}

type Files = ReturnType<typeof readTokenizerFiles>

function vocabularyEntries({ spellings, addedTokens }: Files, count: number): readonly (readonly [string, Entry])[] {
  const added = new Map(addedTokens.map((token) => [token.id, token]))
  const kindOf = (id: number) => {
    const token = added.get(id)
    if (token !== undefined) return token.special ? kinds.control : kinds.user
    return spellings.has(id) ? kinds.normal : kinds.unused
  }
  const all = Array.from({ length: count }, (_, id) => id)
  return [
    ["ggml.tokens", { type: "texts", value: all.map((id) => spellings.get(id) ?? `[PAD${id}]`) }],
    ["ggml.token_type", { type: "i32s", value: all.map(kindOf) }],
  ]
}

const mergesOf = (merges: readonly unknown[]): readonly string[] =>
  merges.map((merge) => (Array.isArray(merge) ? merge.join(" ") : String(merge)))

/** The name of how a tokenizer cuts and normalises, by all that the reader takes the name for; undefined where it has none. */
function preOf({ pre_tokenizer: cut, normalizer, model }: JsonObject): string | undefined {
  const steps = (isObject(cut) && cut.type === "Sequence" ? cut.pretokenizers : [cut]) as readonly JsonObject[]
  const level = steps.at(-1)!
  const digits = steps.filter(({ type }) => type === "Digits")
  const splits = steps.filter(({ type }) => type === "Split").map(({ pattern }) => (pattern as JsonObject).Regex)
  const patterns = level.use_regex === false ? splits : [...splits, knownPatterns["GPT-2"]]
  const form = isObject(normalizer) ? normalizer.type : undefined
  const isSame = (known: PreTokenizer) =>
    patterns.length === 1 &&
    patterns[0] === known.pattern &&
    form === known.normalizer &&
    (isObject(model) && model.ignore_merges === true) === (known.ignoreMerges === true) &&
    digits.length === (known.digits ? 1 : 0) &&
    (digits.length === 0 || (digits[0]!.individual_digits === true && steps[0] === digits[0]))
  return Object.keys(preTokenizers).find((name) => isSame(preTokenizers[name]!))
}
