/** The tokenizer inside of a file: the ids of the folder's that it was made of, and a refusal by name of every other kind. */
import { describe, expect, test } from "vitest"
import { createChatTemplate } from "../../runtime/chat/template.js"
import { defaultsOf, endTokensOf } from "../../runtime/generate/defaults.js"
import { knownPatterns } from "../../runtime/text/pieces.js"
import { createTokenizer, type Tokenizer } from "../../runtime/text/tokenizer.js"
import { readGgufHeader } from "../../runtime/weights/gguf/container.js"
import { preTokenizerNames, preTokenizers } from "../../runtime/weights/gguf/pre-tokenizers.js"
import { generationConfigOf, textOf } from "../../runtime/weights/gguf/tokenizer.js"
import { memorySource } from "../../runtime/weights/source.js"
import { type Datum, writeGguf } from "../support/gguf.js"
import { thrown } from "../weights/support.js"
import { tales, talesTokens, talesWith, tokenTypes } from "./tales.js"

const { normal, control, user, unused } = tokenTypes

async function metadataOf(changes?: Readonly<Record<string, Datum | undefined>>) {
  const file = writeGguf({ metadata: talesWith(changes), tensors: [] })
  return (await readGgufHeader(memorySource("x.gguf", file))).metadata
}

async function tokenizerOf(changes?: Readonly<Record<string, Datum | undefined>>): Promise<Tokenizer> {
  const metadata = await metadataOf(changes)
  const text = textOf("x.gguf", metadata, "tokenizer.json")
  return createTokenizer(text!, textOf("x.gguf", metadata, "tokenizer_config.json"))
}

const texts = [
  "Once upon a time, there was a fox.",
  "  it's 12½ o'clock,\r\n\tI'LL say — “né e\u0301” 😀 王国 \u0000 ",
  "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>",
]

describe("a tokenizer inside of a file", () => {
  test("has the ids, texts and special tokens of the folder's", async () => {
    const [found, folder] = [await tokenizerOf(), createTokenizer(tales, undefined)]
    for (const text of texts) {
      expect(found.encode(text)).toEqual(folder.encode(text))
      expect(found.decode(found.encode(text))).toBe(folder.decode(folder.encode(text)))
    }
    expect(found.specialTokens).toEqual(folder.specialTokens)
    expect(found.vocabularySize).toBe(folder.vocabularySize)
  })

  test.each(Object.entries(preTokenizers))("cuts as '%s' says", async (pre, { pattern, digits, normalizer }) => {
    expect(Object.values(knownPatterns)).toContain(pattern)
    const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false }
    const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }
    const steps = [...(digits ? [{ type: "Digits", individual_digits: true }] : []), split, bytes]
    const folder = createTokenizer(
      JSON.stringify({
        ...JSON.parse(tales),
        normalizer: normalizer ? { type: normalizer } : null,
        pre_tokenizer: { type: "Sequence", pretokenizers: steps },
      }),
      undefined,
    )
    const found = await tokenizerOf({ "tokenizer.ggml.pre": pre, "tokenizer.ggml.add_bos_token": false })
    for (const text of texts) expect(found.encode(text)).toEqual(folder.encode(text))
  })

  test.each(Object.entries(preTokenizerNames))("cuts as '%s' as '%s' does", async (other, name) => {
    const [found, same] = [
      await tokenizerOf({ "tokenizer.ggml.pre": other }),
      await tokenizerOf({ "tokenizer.ggml.pre": name }),
    ]
    for (const text of texts) expect(found.encode(text)).toEqual(same.encode(text))
  })

  test("puts the tokens around a text that the file, or its way to cut, asks for", async () => {
    const plain = (await tokenizerOf()).encode("Hi")
    const bos = { "tokenizer.ggml.add_bos_token": true }
    expect((await tokenizerOf(bos)).encode("Hi")).toEqual([4094, ...plain])
    expect((await tokenizerOf({ ...bos, "tokenizer.ggml.add_eos_token": true })).encode("Hi")).toEqual([
      4094,
      ...plain,
      4093,
    ])
    const llama = { "tokenizer.ggml.pre": "llama-bpe" }
    expect((await tokenizerOf(llama)).encode("Hi")[0]).toBe(4094)
    expect((await tokenizerOf({ ...llama, "tokenizer.ggml.add_bos_token": false })).encode("Hi")[0]).not.toBe(4094)
  })

  test("knows tokens of users, which are text, and leaves out those that are not used", async () => {
    const tokens = [...talesTokens, "<think>", "[PAD4097]"]
    const kinds = tokens.map((_, id) => (id < 4093 ? normal : id < 4096 ? control : id === 4096 ? user : unused))
    const found = await tokenizerOf({
      "tokenizer.ggml.tokens": { strings: tokens },
      "tokenizer.ggml.token_type": { i32s: kinds },
    })
    expect(found.encode("<think>")).toEqual([4096])
    expect(found.isSpecial(4096)).toBe(false)
    expect(found.encode("[PAD4097]").length).toBeGreaterThan(1)
    expect(found.decode([4097])).toBe("")
  })

  test("takes a whole tokenizer.json that a file holds", async () => {
    expect(textOf("x.gguf", await metadataOf({ "tokenizer.huggingface.json": tales }), "tokenizer.json")).toBe(tales)
  })

  test("a file without one has none", async () => {
    for (const changes of [
      { "tokenizer.ggml.model": "none" },
      { "tokenizer.ggml.model": undefined },
      { "tokenizer.ggml.tokens": undefined },
    ])
      expect(textOf("x.gguf", await metadataOf(changes), "tokenizer.json")).toBeUndefined()
  })

  test.each<readonly [string, Readonly<Record<string, Datum | undefined>>]>([
    [
      'tokenizer/unsupported: "x.gguf": the tokenizer is of the kind "llama" (SentencePiece)',
      { "tokenizer.ggml.model": "llama" },
    ],
    [
      'tokenizer/unsupported: "x.gguf": the tokenizer is of the kind "toString"',
      { "tokenizer.ggml.model": "toString" },
    ],
    [
      'tokenizer/unsupported: "x.gguf": the tokenizer cuts text as "deepseek-llm"',
      { "tokenizer.ggml.pre": "deepseek-llm" },
    ],
    [
      'tokenizer/unsupported: "x.gguf": the tokenizer does not say how text is cut',
      { "tokenizer.ggml.pre": undefined },
    ],
    ['tokenizer/invalid: "x.gguf": the tokenizer has no merges', { "tokenizer.ggml.merges": undefined }],
    [
      'tokenizer/invalid: "x.gguf": the tokenizer has the token "!" twice',
      { "tokenizer.ggml.tokens": { strings: ["!", "!"] }, "tokenizer.ggml.token_type": undefined },
    ],
    ["tokenizer/invalid: tokenizer.json cannot be used", { "tokenizer.ggml.merges": { strings: ["a"] } }],
    [
      'checkpoint/metadata: "x.gguf": "tokenizer.ggml.token_type" is not a list of 4096 numbers',
      { "tokenizer.ggml.token_type": { i32s: [1] } },
    ],
    [
      'checkpoint/metadata: "x.gguf": "tokenizer.ggml.tokens" is not a list of texts',
      { "tokenizer.ggml.tokens": { i32s: [1] } },
    ],
    [
      "puts a token around texts and does not say which (bos_token_id)",
      { "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.bos_token_id": 5000 },
    ],
  ])("refuses by name: %s", async (message, changes) => {
    expect(await thrown(() => tokenizerOf(changes))).toContain(message)
  })
})

describe("what goes with it", () => {
  test("the chat template, with the tokens that it names", async () => {
    const metadata = await metadataOf({
      "tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
    })
    const template = createChatTemplate({ config: textOf("x.gguf", metadata, "tokenizer_config.json") })
    expect(template?.render([{ role: "user", content: "Hi" }])).toBe("<|im_start|>Hi<|endoftext|>")
    expect(
      createChatTemplate({ config: textOf("x.gguf", await metadataOf(), "tokenizer_config.json") }),
    ).toBeUndefined()
  })

  test("the tokens that end an answer: those that are named, and those that are known to", async () => {
    expect(endTokensOf(generationConfigOf("x.gguf", await metadataOf()))).toEqual([4093, 4095])
    const named = await metadataOf({ "tokenizer.ggml.eos_token_id": 7, "tokenizer.ggml.eot_token_id": 8 })
    expect(endTokensOf(generationConfigOf("x.gguf", named))).toEqual([7, 8, 4093, 4095])
  })

  test("how answers are drawn", async () => {
    const sampling = {
      "general.sampling.temp": { f32: 0.6 },
      "general.sampling.top_k": 20,
      "general.sampling.top_p": { f32: 0.95 },
    }
    expect(defaultsOf(generationConfigOf("x.gguf", await metadataOf(sampling)))).toEqual({
      maxTokens: undefined,
      temperature: 0.6,
      topK: 20,
      topP: 0.95,
      minP: undefined,
    })
    expect(defaultsOf(generationConfigOf("x.gguf", await metadataOf())).temperature).toBe(0)
  })
})
