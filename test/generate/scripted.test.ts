/** The loop between a session and a caller, over a session that says what it is told to: no device, no compiler. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { samplingFields } from "../../dsl/index.js"
import { createGenerator } from "../../runtime/generate/generator.js"
import type { GenerateOptions } from "../../runtime/generate/options.js"
import { createOutput } from "../../runtime/generate/output.js"
import { samplingBytes, samplingOrder } from "../../runtime/generate/sampling.js"
import { tales } from "../text/tales.js"
import { refusal } from "./model.js"
import { scripted } from "./scripted.js"

const say = (text: string, options: GenerateOptions = {}, tokenizer: typeof tales | undefined = tales) =>
  createGenerator(scripted([...tales.encode(text), 4093]).session, { tokenizer }).generate([5], options)

describe("what the session is asked", () => {
  test("the prompt in chunks, the choice with the last; then a step and a choice in one submit", async () => {
    const { session, log } = scripted([7, 8, 9])
    const { tokens } = await createGenerator(session).generate([1, 2, 3, 4, 5, 6], { maxTokens: 3 })
    expect(tokens).toEqual([7, 8, 9])
    expect(log).toEqual([
      "begin",
      "inputs.tokens 4",
      "prefill 0 4",
      "inputs.tokens 2",
      "prefill+greedy 4 2",
      "step+greedy 6 1",
      "step+greedy 7 1",
    ])
  })

  test("steps ahead of what the host has read, and none beyond the last token", async () => {
    const { session, log } = scripted([7, 8, 9, 10], 2)
    const parts: number[] = []
    for await (const { tokens } of createGenerator(session).generate([1], { maxTokens: 4 })) {
      parts.push(...tokens)
      log.push(`part ${tokens}`)
    }
    expect(parts).toEqual([7, 8, 9, 10])
    expect(log).toEqual([
      "begin",
      "inputs.tokens 1",
      "prefill+greedy 0 1",
      "step+greedy 1 1",
      "part 7",
      "step+greedy 2 1",
      "part 8",
      "step+greedy 3 1",
      "part 9",
      "part 10",
    ])
  })

  test("no step ahead is beyond the context", async () => {
    const { session, log } = scripted([], 5)
    const ids = Array.from({ length: 61 }, (_, i) => i)
    const { tokens, finishReason } = await createGenerator(session).generate(ids, { maxTokens: 99 })
    expect([tokens.length, finishReason]).toEqual([3, "length"])
    expect(log.filter((line) => line.startsWith("step"))).toEqual(["step+greedy 61 1", "step+greedy 62 1"])
  })

  test("draws ahead have their own numbers", async () => {
    const { session } = scripted([7, 8, 9], 3)
    const drawn: number[] = []
    const write = (name: string, data: Uint8Array) => {
      if (name === "inputs.sampling") drawn.push(new Uint32Array(data.slice().buffer)[samplingOrder.indexOf("step")]!)
    }
    await createGenerator({ ...session, write }).generate([1], { maxTokens: 4, temperature: 1, seed: 3 })
    expect(drawn).toEqual([0, 1, 2, 3])
  })

  test("what is wrong with a token ahead is told in its turn, and not when the end comes before", async () => {
    const run = async (tokens: readonly number[]) => {
      const parts: number[] = []
      const read = async () => {
        for await (const part of createGenerator(scripted(tokens, 3).session).generate([1], { maxTokens: 9 })) {
          parts.push(...part.tokens)
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      }
      return [await refusal(read()).catch(() => "none"), parts] as const
    }
    const [told, before] = await run([7, 8, -1])
    expect(told).toMatch(/^generate\/non-finite/)
    expect(before).toEqual([7, 8])
    expect(await run([7, 4093, -1])).toEqual(["none", [7]])
  })

  test.each([
    ["draw", {}],
    ["draw", { minP: 0.1 }],
    ["sample", { topK: 5 }],
    ["sample", { topP: 0.9 }],
  ])("%s gets its parameters before each choice with %o", async (choice, filters) => {
    const { session, log } = scripted([7, 8])
    await createGenerator(session).generate([1], { maxTokens: 2, temperature: 1, seed: 3, ...filters })
    expect(log).toEqual([
      "begin",
      "inputs.sampling 7",
      "inputs.tokens 1",
      `prefill+${choice} 0 1`,
      "inputs.sampling 7",
      `step+${choice} 1 1`,
    ])
  })

  test("the words of the draw stand in the order in which the language reads them", () => {
    expect(samplingOrder).toEqual(samplingFields)
    const settings = { temperature: 0.5, topK: 40, topP: 0.25, minP: 2, seed: 2 ** 32 * 5 + 6 }
    const bytes = samplingBytes({ ...settings, maxTokens: 1, stop: [], ignoreEos: false, signal: undefined }, 9)
    expect([...new Uint32Array(bytes.buffer)]).toEqual([0x3f000000, 40, 0x3e800000, 0x40000000, 6, 5, 9])
  })

  test("disposing is done once and ends every use", async () => {
    const { session, log } = scripted([])
    const model = createGenerator(session, { onDispose: () => log.push("device") })
    model.dispose()
    model[Symbol.dispose]()
    expect(log).toEqual(["dispose", "device"])
    expect(await refusal(model.generate([1]))).toContain("generate/disposed")
  })
})

describe("text", () => {
  test("arrives in whole characters", async () => {
    const text = "naïve 😀 日本 é"
    const parts: string[] = []
    const generation = say(text)
    for await (const part of generation) parts.push(part.text)
    expect(parts.join("")).toBe(text)
    expect(parts.length).toBeGreaterThan(4)
    expect(parts.every((part) => !/^$|\p{Surrogate}|\ufffd/u.test(part))).toBe(true)
    expect((await generation).tokens).toEqual(tales.encode(text))
  })

  test("a character that the end cuts off becomes U+FFFD", async () => {
    const [first] = tales.encode("😀")
    const { session } = scripted([first!, 4093])
    const result = await createGenerator(session, { tokenizer: tales }).generate([5])
    expect(result).toMatchObject({ text: "\ufffd", tokens: [first], finishReason: "stop" })
  })

  test("the earliest stop string ends it; several may be given", async () => {
    const result = await say("one two three four", { stop: ["four", "thr", "three"] })
    expect(result).toMatchObject({ text: "one two ", finishReason: "stop" })
    expect(await say("one two", { stop: "x" })).toMatchObject({ text: "one two", finishReason: "stop" })
  })

  /** Generates these tokens, special ones among them. */
  const sayTokens = (tokens: readonly number[], stop: string | readonly string[]) =>
    createGenerator(scripted([...tokens, 4093]).session, { tokenizer: tales }).generate([5], { stop })
  const imEnd = 4095
  const [one, two] = [tales.encode("one"), tales.encode(" two")]

  test("a stop string that names a special token is met by the token", async () => {
    const tokens = [...one, imEnd, ...two]
    expect(await sayTokens(tokens, "<|im_end|>")).toMatchObject({ text: "one", finishReason: "stop" })
    expect((await sayTokens(tokens, "<|im_end|>")).tokens).toEqual([...one, imEnd])
    expect((await sayTokens(tokens, ["never", "e<|im_end|>"])).text).toBe("on")
    expect((await sayTokens(tokens, "<|im_end|> t")).text).toBe("one")
    expect((await sayTokens([...one, imEnd, imEnd, ...two], "<|im_end|><|im_end|>")).text).toBe("one")
    expect((await sayTokens(tokens, "<|im_end|><|im_end|>")).text).toBe("one two")
    expect((await sayTokens(tokens, "<|im_start|>")).text).toBe("one two")
  })

  test("and by its letters, as ordinary tokens", async () => {
    const letters = ["<", "|", "im", "_", "end", "|", ">"].flatMap((part) => tales.encode(part))
    expect(letters).not.toContain(imEnd)
    const spelled = [...one, ...letters, ...two]
    expect(await sayTokens(spelled, "<|im_end|>")).toMatchObject({ text: "one", finishReason: "stop" })
    expect((await sayTokens([...one, imEnd, ...letters, ...two], "<|im_end|><|im_end|>")).text).toBe("one")
    expect((await sayTokens(spelled.slice(0, -3), "<|im_end|>!")).text).toMatch(/^one<\|im_end/)
  })

  test("special tokens are no part of the text, so other stop strings lie across them", async () => {
    const tokens = [...one, imEnd, ...two]
    expect((await sayTokens(tokens, "|")).text).toBe("one two")
    expect(await sayTokens(tokens, "ne tw")).toMatchObject({ text: "o", finishReason: "stop" })
    expect((await sayTokens(tokens, ["one t", "<|im_end|>"])).text).toBe("")
  })

  test("stop strings without a tokenizer are refused, for none would ever be met", async () => {
    const { session } = scripted([7, 8, 4093])
    expect(await refusal(createGenerator(session).generate([1], { stop: "x" }))).toContain("tokenizer/missing")
  })

  test("without a tokenizer: ids in, ids out, and text is refused", async () => {
    const { session } = scripted([7, 8, 4093])
    const model = createGenerator(session)
    const parts = []
    for await (const part of model.generate([1])) parts.push(part)
    expect(parts).toEqual([
      { text: "", tokens: [7] },
      { text: "", tokens: [8] },
    ])
    expect(await refusal(model.generate("text"))).toContain("tokenizer/missing")
  })
})

test("law: a text ends before the earliest place where a stop string begins, in letters or in tokens", () => {
  const special = new Map([
    [3, "<s>"],
    [4, "<t>"],
  ])
  const texts = ["a", "b", "<s>", ...special.values()]
  const tokenizer = {
    vocabularySize: 5,
    specialTokens: special,
    isSpecial: (id: number) => special.has(id),
    tokenBytes: (id: number) => new TextEncoder().encode(texts[id]),
  } as unknown as typeof tales
  const ids = fc.array(fc.nat({ max: 4 }), { maxLength: 8 })
  const stops = fc.array(
    fc.array(fc.constantFrom("a", "b", "<s>", "<t>"), { minLength: 1, maxLength: 3 }).map((parts) => parts.join("")),
    { maxLength: 3 },
  )
  /** The visible text of the tokens before place `end`, for each place; a stop string begins where tokens spell it. */
  const endOf = (tokens: readonly number[], stop: readonly string[]): string => {
    const visible = (end: number) =>
      tokens
        .slice(0, end)
        .map((id) => (special.has(id) ? "" : texts[id]))
        .join("")
    const plain = stop.map((s) => visible(tokens.length).indexOf(s)).filter((at) => at >= 0)
    const spelled = tokens
      .map((_, at) => at)
      .filter((at) =>
        stop.some((s) =>
          tokens
            .slice(at)
            .map((id) => texts[id])
            .join("")
            .startsWith(s),
        ),
      )
    const ends = [...plain, ...spelled.slice(0, 1).map((at) => visible(at).length)]
    return visible(tokens.length).slice(0, Math.min(...ends, Infinity))
  }
  fc.assert(
    fc.property(ids, stops, (tokens, stop) => {
      const output = createOutput(tokenizer, stop)
      const stopped = tokens.some((token) => output.push(token))
      expect([stopped || output.end(), output.text()]).toEqual([
        endOf(tokens, stop) !== endOf(tokens, []) ||
          stop.some((s) =>
            tokens
              .map((id) => texts[id])
              .join("")
              .includes(s),
          ),
        endOf(tokens, stop),
      ])
    }),
    { numRuns: 2000 },
  )
})

test("logits that are not finite are an error, never a token, and the model stays usable", async () => {
  const { session } = scripted([7, -1, 9])
  const model = createGenerator(session)
  expect(await refusal(model.generate([1]))).toContain("generate/non-finite")
  expect((await model.generate([1], { maxTokens: 1 })).tokens).toEqual([9])
})
