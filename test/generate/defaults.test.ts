/** generation_config.json: what transformers would do, or the field that says something else. */
import { describe, expect, test } from "vitest"
import { defaultsOf, endTokensOf, unheeded, unusedMistakes } from "../../runtime/generate/defaults.js"
import { createGenerator } from "../../runtime/generate/generator.js"
import { thrown } from "../weights/support.js"

const drawn = { do_sample: true }

describe("defaults", () => {
  test.each([
    [undefined, { temperature: 0 }],
    [{}, { temperature: 0 }],
    [{ do_sample: null, temperature: 0.8 }, { temperature: 0 }],
    [{ do_sample: false, temperature: 0, top_k: -5, top_p: 7 }, { temperature: 0 }],
    [{ do_sample: true }, { temperature: 1 }],
    [
      { ...drawn, temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.1 },
      { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.1 },
    ],
    [{ ...drawn, temperature: null, top_k: null, top_p: null, min_p: null }, { temperature: 1 }],
    [
      { ...drawn, temperature: 0, top_k: 0, top_p: 1, min_p: 0 },
      { temperature: 0, topK: 0, topP: 1, minP: 0 },
    ],
    [
      { ...drawn, top_k: -1, top_p: 1.5, min_p: -1 },
      { temperature: 1, topK: 0, topP: 1, minP: 0 },
    ],
    [
      { ...drawn, top_k: Infinity, top_p: Infinity },
      { temperature: 1, topK: 0, topP: 1 },
    ],
    [
      { max_new_tokens: 200, transformers_version: "5.18.0", unknown: { a: [] } },
      { maxTokens: 200, temperature: 0 },
    ],
    [{ max_new_tokens: -1 }, { temperature: 0 }],
    [{ max_new_tokens: Infinity }, { temperature: 0 }],
  ])("%j", (config, wanted) => {
    const defaults = defaultsOf(config)
    expect(Object.fromEntries(Object.entries(defaults).filter(([, value]) => value !== undefined))).toEqual(wanted)
  })

  test.each([
    [{ do_sample: "true" }, 'do_sample is "true"; it is true or false'],
    [{ do_sample: 1 }, "do_sample is 1; it is true or false"],
    [{ do_sample: [true] }, "do_sample is [true]; it is true or false"],
    [{ temperature: "0.8" }, 'temperature is "0.8"; it is a number from 0 to 100'],
    [{ ...drawn, temperature: NaN }, "temperature is NaN; it is a number from 0 to 100"],
    [{ ...drawn, temperature: -1 }, "temperature is -1; it is a number from 0 to 100"],
    [{ ...drawn, top_k: 1.5 }, "top_k is 1.5; it is a whole number"],
    [{ ...drawn, top_k: -2 }, "top_k is -2; it is a whole number"],
    [{ ...drawn, top_k: true }, "top_k is true; it is a whole number"],
    [{ ...drawn, top_p: -0.5 }, "top_p is -0.5; it is a number from 0 to 1"],
    [{ max_new_tokens: "20" }, 'max_new_tokens is "20"; it is a whole number'],
  ])("%o is told", async (config, message) => {
    expect(await thrown(() => defaultsOf(config))).toContain(`generate/range: generation_config.json: ${message}`)
  })
})

test.each([
  [{ do_sample: false, temperature: -1, top_k: -5, top_p: -7, min_p: NaN }, ["temperature", "top_k", "top_p", "min_p"]],
  [{ top_k: 1.5 }, ["top_k"]],
  [{ temperature: 0.8, top_k: -1, top_p: 1.5, min_p: null }, []],
  [{ do_sample: true, temperature: 0.8 }, []],
  [undefined, []],
])("what is out of range and not used is told, and no error: %j", (config, names) => {
  expect(unusedMistakes(config).map((mistake) => mistake.split(" ")[0])).toEqual(names)
})

describe("what a host gives in their place is checked as options are", () => {
  const session = { artifact: { model: { vocabulary: 97, endTokens: [], context: 8, chunk: 4 }, entries: {} } } as never
  test.each<[string, unknown, string]>([
    ["defaults", { temperature: NaN }, "defaults: temperature is NaN; it is a number from 0 to 100"],
    ["defaults", { topK: -5 }, "defaults: topK is -5; it is a whole number from 0"],
    ["defaults", { topP: 7 }, "defaults: topP is 7; it is a number from 0 to 1"],
    ["defaults", { minP: "0" }, 'defaults: minP is "0"; it is a number from 0 to 1'],
    ["defaults", { maxTokens: 0 }, "defaults: maxTokens is 0; it is a whole number from 1"],
    ["defaults", 7, "defaults is 7; it is an object"],
    ["endTokens", [97], "endTokens is [97]; it is a list of whole numbers from 0 to 96"],
    ["endTokens", ["5"], 'endTokens is ["5"]; it is a list'],
  ])("%s: %o", async (name, value, message) => {
    expect(await thrown(() => createGenerator(session, { [name]: value }))).toContain(`generate/range: ${message}`)
  })
})

describe("end tokens", () => {
  test.each([
    [undefined, undefined],
    [null, undefined],
    [[], undefined],
    [93, [93]],
    [
      [93, 2],
      [93, 2],
    ],
  ])("%j", (value, wanted) => {
    expect(endTokensOf({ eos_token_id: value }, 97)).toEqual(wanted)
    expect(endTokensOf(undefined)).toBe(undefined)
  })

  test.each([["93"], [["93"]], [[[93]]], [-1], [[-1]], [93.5], [97], [NaN], [true], [{ id: 93 }]])(
    "%j is told",
    async (value) => {
      expect(await thrown(() => endTokensOf({ eos_token_id: value }, 97))).toMatch(
        /^generate\/range: generation_config.json: eos_token_id is .+; it is a token or a list of tokens, whole numbers from 0 to 96\nhint: /,
      )
    },
  )
})

test.each([
  [undefined, []],
  [{ temperature: 0.8, transformers_version: "5.1.0", pad_token_id: 0, use_cache: true }, []],
  [{ repetition_penalty: 1, num_beams: 1, typical_p: 1.0, min_length: 0, length_penalty: 1, bad_words_ids: null }, []],
  [{ stop_strings: [], suppress_tokens: null, guidance_scale: null }, []],
  [{ repetition_penalty: 1.1, num_beams: 4 }, ["repetition_penalty", "num_beams"]],
  [{ suppress_tokens: [3], no_repeat_ngram_size: 3 }, ["no_repeat_ngram_size", "suppress_tokens"]],
  [{ stop_strings: "END" }, ["stop_strings"]],
])("fields that choose other tokens and are not read are named: %j", (config, fields) => {
  expect(unheeded(config)).toEqual(fields)
})
