import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { cutAtPattern, knownPatterns } from "../../runtime/text/pieces.js"
import { createTokenizer } from "../../runtime/text/tokenizer.js"
import { goldenCases, idOfByte, tales, tokenizerConfigJson, tokenizerJson } from "./tales.js"

const utf8 = new TextEncoder()

/** The tales tokenizer with some parts of its file replaced. */
const changed = (parts: object) =>
  createTokenizer(JSON.stringify({ ...JSON.parse(tokenizerJson), ...parts }), tokenizerConfigJson)

describe("golden: the ids and texts that transformers gives", () => {
  it.each(goldenCases.map((golden) => [golden.prompt, golden] as const))("%j", (prompt, golden) => {
    expect(tales.encode(prompt)).toEqual(golden.prompt_ids)
    expect(tales.decode(golden.prompt_ids)).toBe(prompt)
    expect(tales.decode(golden.greedy)).toBe(golden.text)
  })
})

describe("laws: text comes back exactly", () => {
  it.each([
    "",
    " ",
    " , . ? ! n't 's ' \n\n\t x",
    "naïve café, Ærøskøbing",
    "👩‍👩‍👧‍👦 🇩🇰 👍🏽",
    "昔々、あるところに、おじいさんとおばあさんがいました。",
    "从前有一个国王。옛날 옛적에",
    "\ufeffbyte order \ufeffmark",
    "I'LL, it'ſ",
    "\u0000\u007f\u0085\u00a0\u00ad\u2028",
  ])("%j", (text) => {
    expect(tales.decode(tales.encode(text))).toBe(text)
  })

  it("any text comes back in NFC", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), (text) => {
        expect(tales.decode(tales.encode(text))).toBe(text.normalize("NFC"))
      }),
    )
    expect(tales.decode(tales.encode("cafe\u0301"))).toBe("caf\u00e9")
  })

  it("any ids decode as in the library and as their bytes one after the other", () => {
    const library = new HuggingFaceTokenizer(JSON.parse(tokenizerJson), {})
    const ids = fc.array(fc.integer({ min: 0, max: tales.vocabularySize - 1 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(ids, fc.boolean(), (ids, skipSpecial) => {
        const options = { clean_up_tokenization_spaces: false, skip_special_tokens: skipSpecial }
        const text = tales.decode(ids, { skipSpecial })
        expect(text).toBe(library.decode(ids, options))
        const kept = skipSpecial ? ids.filter((id) => !tales.isSpecial(id)) : ids
        const bytes = kept.flatMap((id) => [...tales.tokenBytes(id)])
        expect(text).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)))
      }),
    )
  })
})

describe("tokens", () => {
  it("knows all 256 bytes", () => {
    for (let byte = 0; byte < 256; byte++) expect(tales.tokenBytes(idOfByte(byte))).toEqual(Uint8Array.of(byte))
  })

  it("has the bytes of words and of added tokens", () => {
    const [once, upon] = tales.encode("Once upon")
    expect(tales.tokenBytes(once!)).toEqual(utf8.encode("Once"))
    expect(tales.tokenBytes(upon!)).toEqual(utf8.encode(" upon"))
    expect(tales.tokenBytes(4094)).toEqual(utf8.encode("<|im_start|>"))
  })

  it("finds special tokens in text and leaves them out on demand", () => {
    const ids = tales.encode("<|im_start|>user\nHi<|im_end|>")
    expect([ids[0], ids.at(-1)]).toEqual([4094, 4095])
    expect(ids.map(tales.isSpecial)).toEqual(ids.map((id) => id >= 4093))
    expect(tales.decode(ids)).toBe("<|im_start|>user\nHi<|im_end|>")
    expect(tales.decode(ids, { skipSpecial: true })).toBe("user\nHi")
  })

  it("joins a character around a special token that is left out", () => {
    const ids = [idOfByte(0xc3), 4095, idOfByte(0xa9)]
    expect(tales.decode(ids, { skipSpecial: true })).toBe("é")
    expect(tales.decode(ids)).toBe("\ufffd<|im_end|>\ufffd")
  })

  it("gives the size and no bytes for the ids above it", () => {
    expect(tales.vocabularySize).toBe(4096)
    expect(tales.tokenBytes(4096)).toEqual(new Uint8Array())
    expect(tales.decode([4096])).toBe("")
    expect(tales.decode([])).toBe("")
  })

  it("keeps added tokens that are not special", () => {
    const tokenizer = changed({ added_tokens: [{ id: 5000, content: "<café>", special: false, normalized: false }] })
    expect(tokenizer.vocabularySize).toBe(5001)
    expect(tokenizer.encode("<café>")).toEqual([5000])
    expect(tokenizer.tokenBytes(5000)).toEqual(utf8.encode("<café>"))
    expect(tokenizer.decode([5000], { skipSpecial: true })).toBe("<café>")
  })

  it("treats a token that the configuration names as special", () => {
    const added_tokens = [{ id: 5000, content: "<end>", special: false }]
    const json = JSON.stringify({ ...JSON.parse(tokenizerJson), added_tokens })
    expect(createTokenizer(json, '{"eos_token": {"content": "<end>"}}').isSpecial(5000)).toBe(true)
    expect(createTokenizer(json, '{"additional_special_tokens": ["<end>"]}').isSpecial(5000)).toBe(true)
    expect(createTokenizer(json, undefined).isSpecial(5000)).toBe(false)
  })

  it("adds what the post-processor says, as Llama 3 has it", () => {
    const begin = { id: "<|im_start|>", ids: [4094], tokens: ["<|im_start|>"] }
    const single = [{ SpecialToken: { id: "<|im_start|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }]
    const special_tokens = { "<|im_start|>": begin }
    const tokenizer = changed({ post_processor: { type: "TemplateProcessing", single, pair: single, special_tokens } })
    expect(tokenizer.encode("Once upon")).toEqual([4094, ...tales.encode("Once upon")])
    expect(tokenizer.encode("")).toEqual([4094])
  })

  it("takes files of 2020, which name no model type and may lack parts", () => {
    const { model, decoder, pre_tokenizer } = JSON.parse(tokenizerJson)
    const json = JSON.stringify({ model: { ...model, type: undefined }, decoder, pre_tokenizer })
    expect(createTokenizer(json, undefined).encode(goldenCases[0]!.prompt)).toEqual(goldenCases[0]!.prompt_ids)
  })
})

describe("hostile texts", () => {
  const units = [" ", "a", "A", "1", "½", "!", "\n", "\r", "'", "'s", "王", "\u0301", " a", "\ufeff", "aA", "/ "]
  // Work that grows with the square of the length would not end.
  const length = 100_000

  it.each(Object.entries(knownPatterns))("%s cuts long runs in proportion to their length", (_, pattern) => {
    const cut = cutAtPattern(pattern)!
    for (const unit of units)
      for (const end of ["", "a", "!", "\n"]) {
        const text = unit.repeat(length / unit.length) + end
        expect(cut(text).reduce((n, piece) => n + piece.length, 0)).toBe(text.length)
      }
  })

  it("and so do merging and added tokens", () => {
    const added = ["<s>", "aaaaaaaaaa!", "  <l>"].map((content, i) => ({
      id: 5000 + i,
      content,
      lstrip: true,
      rstrip: true,
    }))
    const tokenizer = changed({ added_tokens: added })
    for (const unit of units) {
      const text = unit.repeat(length / 5 / unit.length)
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.normalize("NFC"))
    }
    expect(tokenizer.encode(`${" ".repeat(length)}<s>`)).toEqual([5000])
  })
})

describe("errors", () => {
  const { model, pre_tokenizer } = JSON.parse(tokenizerJson)
  const [split, bytes] = pre_tokenizer.pretokenizers
  const splitAt = (pattern: unknown, more = {}) => ({
    pre_tokenizer: { type: "Sequence", pretokenizers: [{ ...split, pattern, ...more }, bytes] },
  })
  const nested: unknown = JSON.parse("[".repeat(50) + "]".repeat(50))
  const error = (make: () => unknown) => {
    try {
      make()
    } catch (caught) {
      return caught
    }
    return undefined
  }

  it("names the file that is not JSON", () => {
    expect(error(() => createTokenizer(tokenizerJson.slice(0, 5000), undefined))).toMatchObject({
      name: "WeftError",
      code: "tokenizer/json",
      message: expect.stringMatching(/^tokenizer\.json is not JSON: [\s\S]*\nhint: .*fetch it again$/),
    })
    expect(error(() => createTokenizer(tokenizerJson, "<html>"))).toMatchObject({
      code: "tokenizer/json",
      message: expect.stringMatching(/^tokenizer_config\.json is not JSON/),
    })
    expect(error(() => createTokenizer("[]", undefined))).toMatchObject({
      code: "tokenizer/invalid",
      message: expect.stringContaining("the file is not a JSON object"),
    })
  })

  it.each([
    [{ model: { ...model, type: "Unigram" } }, 'the tokenizer model is "Unigram"'],
    [{ model: { ...model, type: "Word\u001bPiece" } }, 'the tokenizer model is "Word\\u001bPiece"'],
    [{ model: { ...model, end_of_word_suffix: "</w>" } }, '"model.end_of_word_suffix" is "</w>"'],
    [{ decoder: null }, 'the decoder is "absent"'],
    [{ decoder: { type: "Metaspace" } }, 'the decoder is "Metaspace"'],
    [
      { decoder: { type: "Sequence", decoders: [{ type: "Replace" }, { type: "ByteFallback" }] } },
      'the decoder is "Replace, ByteFallback"',
    ],
    [{ pre_tokenizer: null }, 'the pre-tokenizer is "absent"; ByteLevel must be its last step'],
    [{ pre_tokenizer: { type: "Sequence", pretokenizers: [] } }, 'the pre-tokenizer is "absent"; ByteLevel'],
    [{ pre_tokenizer: { type: "Sequence", pretokenizers: [split] } }, 'the pre-tokenizer is "Split"; ByteLevel'],
    [
      { pre_tokenizer: { type: "Sequence", pretokenizers: [bytes, bytes] } },
      'the pre-tokenizer has the step "ByteLevel"',
    ],
    [splitAt({ Regex: "(?:a+)+$" }), 'the pre-tokenizer splits at "(?:a+)+$"'],
    [splitAt({ Regex: "(" }), 'the pre-tokenizer splits at "("'],
    [splitAt("Infinity"), 'the pre-tokenizer splits at "Infinity"'],
    [splitAt([[]]), 'the pre-tokenizer splits at "a list"'],
    [splitAt({ String: " " }), 'the pre-tokenizer splits at "an object"'],
    [splitAt(split.pattern, { behavior: "Removed" }), 'the pre-tokenizer splits with the behavior "Removed"'],
    [{ pre_tokenizer: { ...bytes, add_prefix_space: true } }, '"add_prefix_space" puts a space before the text'],
    [{ normalizer: { type: "Surprise" } }, 'the normalizer is "Surprise"'],
    [{ normalizer: { type: "Replace", pattern: { String: "q" }, content: "qq" } }, 'the normalizer is "Replace"'],
    [{ post_processor: { type: "RobertaProcessing" } }, 'the post-processor is "RobertaProcessing"'],
    [{ model: { ...model, end_of_word_suffix: nested } }, '"model.end_of_word_suffix" is "a list"'],
    [{ model: { ...model, dropout: 0.1 } }, '"model.dropout" is "0.1"'],
    [
      { model: { ...model, vocab: { ...model.vocab, "!": undefined }, merges: [] } },
      "there is no token for the byte 33",
    ],
  ])("refuses what is not a byte-level BPE: %#", (parts, found) => {
    expect(error(() => changed(parts))).toMatchObject({
      code: "tokenizer/unsupported",
      message: expect.stringContaining(`tokenizer.json is of a kind that is not supported: ${found}`),
      hint: "only byte-level BPE is supported; give token ids instead of text, or use a checkpoint with such a tokenizer",
    })
  })

  it.each([
    [{ model: undefined }, '"model" is missing'],
    [{ model: { ...model, vocab: undefined } }, '"model.vocab" is missing'],
    [{ model: { ...model, vocab: {} }, added_tokens: [] }, '"model.vocab" is empty'],
    [{ model: { ...model, vocab: { a: "0" } } }, 'the id of the token "a" is not a whole number'],
    [{ model: { ...model, merges: undefined } }, '"model.merges" is missing'],
    [{ model: { ...model, merges: [1] } }, '"model.merges[0]" is not a pair of tokens'],
    [{ model: { ...model, merges: ["a b c"] } }, '"model.merges[0]" is not a pair of tokens'],
    [{ model: { ...model, merges: ["Ġ qqq"] } }, '"model.merges[0]" has "qqq", which is not in the vocabulary'],
    [{ model: { ...model, vocab: { ...model.vocab, Ġ: 219 } } }, "have one id, 219"],
    [{ added_tokens: [{ id: 0, content: "<x>" }] }, 'the added token "<x>" has the id of "!", 0'],
    [{ added_tokens: [{ id: 5000, content: "!" }] }, 'the token "!" has two ids, 0 and 5000'],
    [{ added_tokens: {} }, '"added_tokens" is not a list'],
    [{ added_tokens: [{ id: -1, content: "x" }] }, '"added_tokens[0]" has no id or no content'],
    [{ pre_tokenizer: [] }, '"pre_tokenizer" is no step'],
    [
      { added_tokens: [{ id: 5000, content: "x y", lstrip: "no" }] },
      '"added_tokens[0].lstrip" is "no", neither true nor',
    ],
    [{ added_tokens: [{ id: 5000, content: "\ud800" }] }, '"added_tokens[0]" has a content that no text has'],
    [
      { post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "<s>" } }, { Sequence: {} }] } },
      'the post-processor adds "<s>", which is not a token',
    ],
    [{ post_processor: { type: "TemplateProcessing", single: [] } }, "template has not one text"],
  ])("says what is wrong with the file: %#", (parts, problem) => {
    expect(error(() => changed(parts))).toMatchObject({
      code: "tokenizer/invalid",
      message: expect.stringMatching(/^tokenizer\.json cannot be used: [\s\S]*hint: /),
    })
    expect(error(() => changed(parts))).toHaveProperty("message", expect.stringContaining(problem))
  })

  it("refuses what is nested without end, and text of half characters", () => {
    const deep = "[".repeat(1_000_000)
    expect(error(() => createTokenizer(deep, undefined))).toMatchObject({ code: "tokenizer/json" })
    expect(error(() => createTokenizer(`{"x":${deep}`, undefined))).toMatchObject({ code: "tokenizer/json" })
    expect(error(() => createTokenizer(tokenizerJson, deep))).toMatchObject({ code: "tokenizer/json" })
    for (const text of ["\ud83d", "a\ude00b"])
      expect(error(() => tales.encode(text))).toMatchObject({ code: "tokenizer/text" })
  })

  it("refuses what cannot be an id", () => {
    for (const id of [-1, 0.5, Number.NaN])
      expect(error(() => tales.decode([id]))).toMatchObject({
        code: "tokenizer/id",
        message: `${id} is not a token id\nhint: ids are whole numbers from 0 on`,
      })
  })
})
