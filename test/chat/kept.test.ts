/**
 * Conversations with the shipped checkpoint as if it saw a window: layers hold the last tokens alone. A turn goes on where they are those that it
 * needs, and is read again where they are gone; each answer is what a model says that begins anew.
 */
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type LoadedModel, load } from "../../cli/node.js"
import { compileProgram } from "../../compiler/compile.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { ChatMessage } from "../../runtime/chat/messages.js"
import { createChatTemplate } from "../../runtime/chat/template.js"
import { createGenerator, type GenerativeModel } from "../../runtime/generate/generator.js"
import { tales } from "../generate/model.js"
import { qwen3 } from "../support/driver.js"

const template = createChatTemplate({ jinja: readFileSync(new URL("qwen.jinja", import.meta.url), "utf8") })!
const user = (content: string): ChatMessage => ({ role: "user", content })
const greedy = { temperature: 0, maxTokens: 8, ignoreEos: true } as const
const [window, chunk] = [24, 32]

let artifact: Artifact
let loaded: readonly LoadedModel[] = []
const modelOn = ({ session, tokenizer }: LoadedModel): GenerativeModel =>
  createGenerator({ ...session, dispose: () => {} }, { tokenizer, template })
const begun = () => modelOn(loaded[0]!)
const anew = () => modelOn(loaded[1]!)
beforeAll(async () => {
  const config = JSON.parse(readFileSync(`${tales}/config.json`, "utf8"))
  const program = (await qwen3()).configure({ ...config, use_sliding_window: true, sliding_window: window })
  artifact = compileProgram(program, "qwen3", { target: "wasm", chunk, storage: () => "bf16" }).artifact
  loaded = [await open(), await open()]
})
const open = () => load(artifact, { checkpoint: tales, device: "wasm", threads: 1 })
afterAll(() => {
  for (const model of loaded) model?.dispose()
})

const written = (messages: readonly ChatMessage[]) =>
  loaded[0]!.tokenizer!.encode(template.render(messages), { special: false })

test("each layer has rows for its window and one piece", () => {
  const caches = artifact.buffers.filter((b) => b.keeps !== undefined)
  expect(caches.map((b) => b.shape[0])).toEqual(Array(16).fill(window + chunk))
})

test("turns go on from what is held, also where a late message has changed; an early one is read again", async () => {
  const model = begun()
  const check = async (messages: readonly ChatMessage[]) => {
    const result = await model.chat(messages, greedy)
    const fresh = await anew().chat(messages, greedy)
    expect(fresh.usage.cachedTokens).toBe(0)
    expect(result.tokens).toEqual(fresh.tokens)
    return result
  }
  const first = [user(`Once there was ${"a king and a queen and ".repeat(12)}a fox`)]
  const answer = await check(first)
  expect(written(first).length).toBeGreaterThan(window + chunk)
  const second = [...first, answer.message, user("Who lived in the wood?")]
  const next = await check(second)
  // All that was read of the turn before, but for what the template closes it with.
  expect(next.usage.cachedTokens).toBeGreaterThanOrEqual(written(first).length)
  const late = [...first, answer.message, user("Who lived in the sea?")]
  const changed = await check(late)
  expect(changed.usage.cachedTokens).toBeGreaterThan(written(first).length)
  const early = [user("Once there was a bear"), answer.message, user("Who lived in the sea?")]
  expect((await check(early)).usage.cachedTokens).toBe(0)
  const again = await check(early)
  expect(again.usage.cachedTokens).toBe(again.usage.promptTokens - 1)
})
