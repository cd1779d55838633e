/** Conversations with the shipped checkpoint, whose template here is one of ours: each answer is what a model says that begins anew. */
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { LoadedModel } from "../../cli/node.js"
import type { ChatMessage } from "../../runtime/chat/messages.js"
import { createChatTemplate } from "../../runtime/chat/template.js"
import { WeftError } from "../../runtime/errors.js"
import { createGenerator, type GenerativeModel } from "../../runtime/generate/generator.js"
import { loadTales } from "../generate/model.js"

const template = createChatTemplate({ jinja: readFileSync(new URL("qwen.jinja", import.meta.url), "utf8") })!
const user = (content: string): ChatMessage => ({ role: "user", content })
const greedy = { temperature: 0, maxTokens: 6, ignoreEos: true } as const

let tales: LoadedModel
let other: LoadedModel
const modelOn = ({ session, tokenizer }: LoadedModel): GenerativeModel =>
  createGenerator({ ...session, dispose: () => {} }, { tokenizer, template })
/** A model of a conversation, one at a time, and one that knows of no turn before, on a session of its own. */
const begun = () => modelOn(tales)
const fresh = () => modelOn(other)
beforeAll(async () => {
  tales = await loadTales("wasm")
  other = await loadTales("wasm")
})
afterAll(() => {
  tales?.dispose()
  other?.dispose()
})

const written = (messages: readonly ChatMessage[]) =>
  tales.tokenizer!.encode(template.render(messages), { special: false })

/** How far two lists are the same. */
function common(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((id, i) => id !== b[i])
  return at < 0 ? a.length : at
}

test("turns read what is new, and answers are those of a model that begins anew", async () => {
  const model = begun()
  let messages: readonly ChatMessage[] = [
    { role: "system", content: "Tell stories." },
    user("Once upon a time there was a king"),
  ]
  let held: readonly number[] = []
  for (const next of ["and a fox", "who lived in a wood", "What did the fox say?"]) {
    const result = await model.chat(messages, greedy)
    const ids = written(messages)
    expect(result.usage.promptTokens).toBe(ids.length)
    expect(result.usage.cachedTokens).toBe(common(held, ids))
    expect(result.usage.cachedTokens).toBeGreaterThanOrEqual(held.length - greedy.maxTokens - 8)
    const anew = await fresh().chat(messages, greedy)
    expect(anew.usage.cachedTokens).toBe(0)
    expect(result.tokens).toEqual(anew.tokens)
    // The last token was chosen and not read.
    held = [...ids, ...result.tokens.slice(0, -1)]
    messages = [...messages, result.message, user(next)]
  }
})

test("an earlier message that is changed, or left out, changes the answer", async () => {
  const model = begun()
  const first = [user("Once there was a bear")]
  const answer = await model.chat(first, greedy)
  const whole = [...first, answer.message, user("and a bee")]
  const kept = await model.chat(whole, greedy)
  expect(kept.usage.cachedTokens).toBeGreaterThan(written(first).length - 8)
  for (const edited of [
    [user("Once there was a wolf"), answer.message, user("and a bee")],
    [...first, { role: "assistant", content: "Yes" } as const, user("and a bee")],
    first,
    whole,
  ]) {
    const found = await model.chat(edited, greedy)
    expect(found.usage.cachedTokens).toBeLessThan(found.usage.promptTokens)
    expect(found.tokens).toEqual((await fresh().chat(edited, greedy)).tokens)
    // Once more: all but the last token is there.
    const again = await model.chat(edited, greedy)
    expect(again.usage.cachedTokens).toBe(again.usage.promptTokens - 1)
    expect(again.tokens).toEqual(found.tokens)
  }
})

test("generate and logits in between begin anew, and the conversation after them", async () => {
  const model = begun()
  const messages = [user("The fox said")]
  const first = await model.chat(messages, greedy)
  const plain = await model.generate("The fox said", greedy)
  expect(plain.usage.cachedTokens).toBe(0)
  expect((await model.chat(messages, greedy)).tokens).toEqual(first.tokens)
  await model.logits([1, 2, 3])
  const last = await model.chat(messages, greedy)
  expect([last.usage.cachedTokens, last.tokens]).toEqual([0, first.tokens])
})

test("an answer that is broken off holds what was read of it", async () => {
  const model = begun()
  const messages = [user("The fox said to the bear")]
  let seen = 0
  for await (const _ of model.chat(messages, greedy)) if (++seen === 3) break
  const whole = await model.chat(messages, greedy)
  expect(whole.tokens).toEqual((await fresh().chat(messages, greedy)).tokens)
})

test("parts come to the result, thoughts apart", async () => {
  const model = begun()
  const parts = { text: "", thinking: "", tokens: [] as number[] }
  const generation = model.chat([user("Once")], greedy)
  for await (const part of generation) {
    parts.text += part.text
    parts.thinking += part.thinking
    parts.tokens.push(...part.tokens)
  }
  const { text, thinking, tokens } = await generation
  expect(parts).toEqual({ text, thinking, tokens })
})

describe("a conversation that has no room", () => {
  const long = Array.from({ length: 40 }, (_, i): readonly ChatMessage[] => [
    user(`Turn ${i}: ${"the king and the queen went to the sea ".repeat(6)}`),
    { role: "assistant", content: "They did." },
  ]).flat()

  test("is refused with the numbers", async () => {
    const model = begun()
    const error = await model.chat([...long, user("And then?")], greedy).then(
      () => undefined,
      (e: WeftError) => e,
    )
    expect(error?.code).toBe("generate/context")
    expect(error?.reason).toMatch(/^the conversation has \d+ tokens, the context holds 1024, an answer included$/)
  })

  test("leaves its oldest turns out where that is asked for, and never its system message", async () => {
    const model = begun()
    const messages: readonly ChatMessage[] = [{ role: "system", content: "Tell stories." }, ...long, user("And then?")]
    const result = await model.chat(messages, { ...greedy, overflow: "drop-oldest" })
    expect(result.dropped).toBeGreaterThan(50)
    expect(result.dropped % 2).toBe(0)
    const kept = [messages[0]!, ...messages.slice(1 + result.dropped)]
    expect(result.usage.promptTokens).toBe(written(kept).length)
    expect(result.usage.promptTokens).toBeLessThanOrEqual(1024 - 256)
    // Up to a quarter more than must be, and a turn.
    expect(result.usage.promptTokens).toBeGreaterThan(1024 - 2 * 256 - written(long.slice(0, 2)).length)
  })

  test("begins where it did, most of the time, and is not read again", async () => {
    const model = begun()
    let messages: readonly ChatMessage[] = [{ role: "system", content: "Tell stories." }, ...long]
    const turns: { dropped: number; cached: number; prompt: number }[] = []
    for (let i = 0; i < 8; i++) {
      messages = [...messages, user(`Turn ${i}: ${"the king went home ".repeat(5)}`)]
      const { dropped, usage, message } = await model.chat(messages, { ...greedy, overflow: "drop-oldest" })
      turns.push({ dropped, cached: usage.cachedTokens, prompt: usage.promptTokens })
      messages = [...messages, message]
    }
    const same = turns.filter(({ dropped }, i) => dropped === turns[i - 1]?.dropped)
    expect(same.length).toBeGreaterThanOrEqual(5)
    for (const { cached, prompt } of same) expect(cached).toBeGreaterThan(prompt / 2)
  })

  test("in a small context keeps what leaves room for a quarter of it", async () => {
    const { session, tokenizer } = tales
    const artifact = { ...session.artifact, model: { ...session.artifact.model!, context: 200 } }
    const model = createGenerator({ ...session, artifact, dispose: () => {} }, { tokenizer, template })
    const few: readonly ChatMessage[] = [user("Hi"), { role: "assistant", content: "A king." }, user("And a fox?")]
    expect(written(few).length).toBeLessThan(150)
    const kept = await model.chat(few, { ...greedy, overflow: "drop-oldest" })
    expect(kept.dropped).toBe(0)
    const result = await model.chat([...long, ...few], { ...greedy, overflow: "drop-oldest" })
    const hasRoom = (dropped: number) => written([...long, ...few].slice(dropped)).length <= 150
    expect([result.dropped - 6, result.dropped].map(hasRoom)).toEqual([false, true])
  })
})

test.each([
  ["nothing", [], "chat/message"],
  ["a text", "Hi", "chat/message"],
  ["a role of no name", [{ role: "tool", content: "1" }], "chat/message"],
  ["parts", [{ role: "user", content: [{ type: "image" }] }], "chat/message"],
  ["a field that would be left out", [{ role: "assistant", content: "", tool_calls: [] }], "chat/message"],
  ["no content", [{ role: "user" }], "chat/message"],
] as const)("%s is refused", async (_, messages, code) => {
  const error = await fresh()
    .chat(messages as never)
    .then(
      () => undefined,
      (e: unknown) => e,
    )
  expect(error).toBeInstanceOf(WeftError)
  expect((error as WeftError).code).toBe(code)
  expect((error as WeftError).hint).toBeDefined()
})

test("options are checked, and a checkpoint without a template is told", async () => {
  const refused = (act: PromiseLike<unknown>) =>
    Promise.resolve(act).then(
      () => undefined,
      (e: WeftError) => e.code,
    )
  expect(await refused(fresh().chat([user("a")], { thinking: "no" as never }))).toBe("generate/range")
  expect(await refused(fresh().chat([user("a")], { overflow: "cut" as never }))).toBe("generate/range")
  expect(await refused(fresh().chat([user("a")], { max: 1 } as never))).toBe("generate/option")
  expect(await refused(tales.chat([user("a")]))).toBe("chat/no-template")
})
