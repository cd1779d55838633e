/** A tokenizer through the metadata of a file: the same ids for any text, by names that other readers know where there is one. */
import { describe, expect, test } from "vitest"
import { tokenizerEntries } from "../../cli/quantize/tokenizer.js"
import { knownPatterns } from "../../runtime/text/pieces.js"
import { createTokenizer } from "../../runtime/text/tokenizer.js"
import type { Value } from "../../runtime/weights/gguf/parse.js"
import { generationConfigOf, textOf } from "../../runtime/weights/gguf/tokenizer.js"
import { tokenizerConfigJson, tokenizerJson } from "../text/tales.js"

const tales = JSON.parse(tokenizerJson)
const [, level] = tales.pre_tokenizer.pretokenizers

type Parts = Readonly<Record<string, unknown>>

/** Tales with other parts, as metadata. */
function written(
  parts: Parts = {},
  ids = { vocabulary: 4100, begin: undefined as number | undefined, end: [4095, 4093] },
) {
  const json = JSON.stringify({ ...tales, ...parts })
  const entries = tokenizerEntries({ json, config: tokenizerConfigJson }, ids)
  const metadata = new Map<string, Value>([["general.architecture", "qwen3"]])
  for (const [key, { value }] of entries) metadata.set(`tokenizer.${key}`, value as Value)
  return { json, metadata }
}

const texts = [
  "Once upon a time",
  " 'Tis 12,345 o'clock — naïve e\u0301 ",
  "<|im_start|>a<|im_end|>",
  "\n\n\t 🌲木",
  "IT'S it's",
]

function expectSameIds({ json, metadata }: ReturnType<typeof written>): void {
  const before = createTokenizer(json, tokenizerConfigJson)
  const after = createTokenizer(
    textOf("made.gguf", metadata, "tokenizer.json")!,
    textOf("made.gguf", metadata, "tokenizer_config.json"),
  )
  for (const text of texts) {
    expect(after.encode(text), text).toEqual(before.encode(text))
    expect(after.decode(after.encode(text)), text).toBe(before.decode(before.encode(text)))
  }
}

const split = (name: string) => ({
  type: "Split",
  pattern: { Regex: knownPatterns[name] },
  behavior: "Isolated",
  invert: false,
})
const cutBy = (name: string) => ({ type: "Sequence", pretokenizers: [split(name), level] })

describe("the same ids", () => {
  test("of tales, with a token for each row of the embedding", () => {
    const { json, metadata } = written()
    expectSameIds({ json, metadata })
    expect(metadata.get("tokenizer.ggml.pre")).toBe("qwen2")
    expect(metadata.has("tokenizer.huggingface.json")).toBe(false)
    const tokens = metadata.get("tokenizer.ggml.tokens") as string[]
    const kinds = metadata.get("tokenizer.ggml.token_type") as number[]
    expect([tokens.length, kinds.length]).toEqual([4100, 4100])
    expect(tokens.slice(4092)).toEqual([
      tokens[4092],
      "<|endoftext|>",
      "<|im_start|>",
      "<|im_end|>",
      "[PAD4096]",
      "[PAD4097]",
      "[PAD4098]",
      "[PAD4099]",
    ])
    expect(kinds.slice(4092)).toEqual([1, 3, 3, 3, 5, 5, 5, 5])
    expect(generationConfigOf("made.gguf", metadata).eos_token_id).toEqual([4095, 4093])
  })

  test.each([
    [
      "llama-bpe",
      { pre_tokenizer: cutBy("Llama 3"), normalizer: null, model: { ...tales.model, ignore_merges: true } },
    ],
    ["smaug-bpe", { pre_tokenizer: cutBy("Llama 3"), normalizer: null }],
    ["gpt-2", { pre_tokenizer: { ...level, use_regex: true }, normalizer: null }],
    ["olmo", { pre_tokenizer: { ...level, use_regex: true } }],
  ] as const)("of one that is called %s", (name, parts) => {
    const made = written(parts)
    expect(made.metadata.get("tokenizer.ggml.pre")).toBe(name)
    expect(made.metadata.has("tokenizer.huggingface.json")).toBe(false)
    expectSameIds(made)
  })

  test("with a token before each text", () => {
    const post_processor = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|im_start|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<|im_start|>": { id: "<|im_start|>", ids: [4094], tokens: ["<|im_start|>"] } },
    }
    const made = written({ post_processor })
    expect(made.metadata.get("tokenizer.ggml.add_bos_token")).toBe(true)
    expect(made.metadata.get("tokenizer.ggml.bos_token_id")).toBe(4094)
    expectSameIds(made)
  })

  test("of one that GGUF has no name for, or that has more to say: the whole file is there", () => {
    const spaces = tales.added_tokens.map((token: Parts) => ({ ...token, lstrip: true }))
    for (const parts of [
      { normalizer: { type: "NFKC" } },
      { pre_tokenizer: cutBy("GPT-4o") },
      { added_tokens: spaces },
    ]) {
      const made = written(parts)
      expect(made.metadata.get("tokenizer.huggingface.json")).toBe(made.json)
      expectSameIds(made)
    }
  })
})
