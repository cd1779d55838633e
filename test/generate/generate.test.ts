/** What a caller may count on: the two ways to read a generation, how it ends, seeds, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { GenerateOptions, LoadedModel } from "../../cli/node.js"
import { cases, loadTales, refusal } from "./model.js"

let model: LoadedModel
beforeAll(async () => {
  model = await loadTales()
})
afterAll(() => model?.dispose())

const greedy = { temperature: 0, ignoreEos: true }
const [{ prompt, text, greedy: tokens }] = cases as [(typeof cases)[number]]

describe("reading", () => {
  test("parts add up to the result, and both are of one run", async () => {
    const generation = model.generate(prompt, { ...greedy, maxTokens: 64 })
    const parts = []
    for await (const part of generation) parts.push(part)
    expect(parts.map((p) => p.text).join("")).toBe(text)
    expect(parts.flatMap((p) => p.tokens)).toEqual(tokens)
    expect(parts.length).toBeGreaterThan(30)
    const { submits } = model.session.device.counters
    const result = await generation
    expect(result).toMatchObject({ text, tokens, finishReason: "length" })
    expect(model.session.device.counters.submits).toBe(submits)
  })

  test("nothing runs before it is asked for", async () => {
    const { submits } = model.session.device.counters
    model.generate(prompt)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(model.session.device.counters.submits).toBe(submits)
  })

  test("awaiting while another reads: one run, and both see all of it", async () => {
    const generation = model.generate(prompt, { ...greedy, maxTokens: 20 })
    const read = async () => {
      let all = ""
      for await (const part of generation) all += part.text
      return all
    }
    const [first, second, result] = await Promise.all([read(), read(), generation])
    expect(first).toBe(result.text)
    expect(second).toBe(result.text)
  })

  test("break ends it and frees the model", async () => {
    const generation = model.generate(prompt, { ...greedy, maxTokens: 1000 })
    let seen = ""
    for await (const part of generation) {
      seen += part.text
      if (seen.length > 20) break
    }
    const result = await generation
    expect(result.finishReason).toBe("abort")
    expect(result.tokens.length).toBeLessThan(20)
    expect(text.startsWith(result.text)).toBe(true)
    expect((await model.generate(prompt, { ...greedy, maxTokens: 1 })).tokens).toEqual(tokens.slice(0, 1))
  })

  test("timings tell what ran", async () => {
    const { timings } = await model.generate(prompt, { ...greedy, maxTokens: 8 })
    expect(timings.firstTokenMs).toBeGreaterThanOrEqual(timings.prefillMs)
    expect(timings.prefillMs).toBeGreaterThan(0)
    expect(timings.tokensPerSecond).toBeCloseTo(7000 / timings.decodeMs)
    expect(timings.commandsPerToken).toBeGreaterThan(8)
  })
})

describe("the end", () => {
  test("a stop string that lies across tokens is not in the text, nor is what follows", async () => {
    const stop = text.slice(13, 22) // "and a wif", of four tokens
    const result = await model.generate(prompt, { ...greedy, maxTokens: 64, stop })
    expect(result.text).toBe(text.slice(0, text.indexOf(stop)))
    expect(result.finishReason).toBe("stop")
    expect(result.tokens).toEqual(tokens.slice(0, result.tokens.length))
    expect(result.tokens.length).toBeLessThan(12)
  })

  test("text that only begins a stop string is released", async () => {
    const result = await model.generate(prompt, { ...greedy, maxTokens: 64, stop: [`${text.slice(-5)}never`, "zzz"] })
    expect(result).toMatchObject({ text, finishReason: "length" })
  })

  test("an end token stops and is not among the tokens", async () => {
    const [first, ...rest] = tokens
    const { createGenerator } = await import("../../runtime/generate/generator.js")
    const ending = createGenerator(model.session, { tokenizer: model.tokenizer, endTokens: [rest[4]!] })
    const result = await ending.generate(prompt, { temperature: 0 })
    expect(result).toMatchObject({ tokens: [first, ...rest.slice(0, rest.indexOf(rest[4]!))], finishReason: "stop" })
    const ignoring = await ending.generate(prompt, { ...greedy, maxTokens: 64 })
    expect(ignoring.tokens).toEqual(tokens)
  })

  test("a signal ends it within a step, also from a timer", async () => {
    const aborted = await model.generate(prompt, { ...greedy, signal: AbortSignal.abort() })
    expect(aborted).toMatchObject({ text: "", tokens: [], finishReason: "abort" })
    const timed = await model.generate(prompt, { ...greedy, signal: AbortSignal.timeout(100) })
    expect(timed.finishReason).toBe("abort")
    expect(timed.tokens.length).toBeLessThan(900)
    const controller = new AbortController()
    let parts = 0
    const generation = model.generate(prompt, { ...greedy, signal: controller.signal })
    for await (const _ of generation) if (++parts === 3) controller.abort()
    expect(parts).toBe(3)
    expect((await generation).tokens.length).toBe(3)
  })

  test("the context ends it", async () => {
    const { context } = model.facts
    const ids = Array.from({ length: context - 3 }, (_, i) => 300 + (i % 500))
    const result = await model.generate(ids, { ...greedy, maxTokens: 50 })
    expect(result.finishReason).toBe("length")
    expect(result.usage).toEqual({ promptTokens: context - 3, cachedTokens: 0, completionTokens: 3 })
    const full = await model.generate([...ids, 300, 301, 302], greedy)
    expect(full).toMatchObject({ tokens: [], text: "", finishReason: "length" })
  })
})

describe("sampling", () => {
  const drawn = (seed?: number) => model.generate(prompt, { maxTokens: 12, ignoreEos: true, seed })

  test("the checkpoint's own settings are the defaults; the same seed draws the same tokens", async () => {
    const [a, b, c] = [await drawn(7), await drawn(7), await drawn(8)]
    expect(a.seed).toBe(7)
    expect(b.tokens).toEqual(a.tokens)
    expect(c.tokens).not.toEqual(a.tokens)
    expect(a.tokens).not.toEqual(tokens.slice(0, 12))
  })

  test("without a seed one is drawn, and told", async () => {
    const random = await drawn()
    expect((await drawn(random.seed)).tokens).toEqual(random.tokens)
  })

  test("large seeds count in all their bits", async () => {
    const [a, b] = [await drawn(2 ** 40 + 7), await drawn(7)]
    expect(a.tokens).not.toEqual(b.tokens)
  })

  test("top-k 1, top-p 0 and min-p 1 leave the likeliest token, at any temperature", async () => {
    for (const only of [{ topK: 1 }, { topP: 0 }, { minP: 1 }]) {
      const result = await model.generate(prompt, { temperature: 5, maxTokens: 6, ...only })
      expect(result.tokens).toEqual(tokens.slice(0, 6))
    }
  })
})

describe("refusals", () => {
  test.each([
    [{ temperature: -1 }, "generate/range: temperature is -1; it is a number from 0 to 100"],
    [{ temperature: Number.NaN }, "generate/range: temperature is NaN; it is a number from 0 to 100"],
    [{ topP: 1.5 }, "generate/range: topP is 1.5; it is a number from 0 to 1"],
    [{ minP: -0.1 }, "generate/range: minP is -0.1; it is a number from 0 to 1"],
    [{ topK: 2.5 }, "generate/range: topK is 2.5; it is a whole number from 0 to 2147483647"],
    [{ maxTokens: 0 }, "generate/range: maxTokens is 0; it is a whole number from 1 to 2147483647"],
    [{ seed: -1 }, "generate/range: seed is -1; it is a whole number from 0 to 9007199254740991"],
    [{ stop: ["a", ""] }, 'generate/range: stop is ""; it is at most 64 strings of 1 to 1000 whole characters'],
    [{ topk: 3 }, 'generate/option: there is no option "topk"'],
  ])("%j", async (options, message) => {
    expect(await refusal(model.generate(prompt, options as GenerateOptions))).toContain(message)
  })

  test.each([
    ["no text", "", "generate/empty-prompt"],
    ["no ids", [], "generate/empty-prompt"],
    ["an id too large", [5, 4096], "generate/token: 4096 is not a token: ids are whole numbers from 0 to 4095"],
    ["a negative id", [5, -1], "generate/token"],
    ["half an id", [1.5], "generate/token"],
    ["too many ids", new Array(1025).fill(5), "generate/context: the prompt has 1025 tokens, the context holds 1024"],
  ])("a prompt with %s", async (_, bad, message) => {
    expect(await refusal(model.generate(bad, greedy))).toContain(message)
  })

  test("a second generation while one is under way, and the first goes on", async () => {
    const first = model.generate(prompt, { ...greedy, maxTokens: 8 })
    let seen = 0
    for await (const part of first) {
      if (seen++ > 0) continue
      expect(part.text).not.toBe("")
      expect(await refusal(model.generate(prompt, greedy))).toContain("generate/busy")
      expect(await refusal(model.logits([1, 2]))).toContain("generate/busy")
    }
    expect((await first).tokens).toEqual(tokens.slice(0, 8))
  })
})
