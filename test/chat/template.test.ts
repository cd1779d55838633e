/** Templates as Jinja renders them (reference.py, with the settings of transformers), and where a checkpoint has its own. */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { createChatTemplate } from "../../runtime/chat/template.js"
import { WeftError } from "../../runtime/errors.js"

interface Case {
  readonly template: string
  readonly messages: readonly {
    readonly role: "system" | "user" | "assistant"
    readonly content: string
    readonly reasoning_content?: string
  }[]
  readonly thinking: boolean | null
  readonly text: string | null
}

const read = (name: string) => readFileSync(new URL(name, import.meta.url), "utf8")
const cases: readonly Case[] = JSON.parse(read("reference.json"))
const config = JSON.stringify({ bos_token: { content: "<s>" }, eos_token: "</s>" })

test.each(cases.map((c, i) => [i, c] as const))("case %i", (_, { template, messages, thinking, text }) => {
  const chat = createChatTemplate({ jinja: read(template), config })!
  const given = messages.map(({ role, content, reasoning_content: thought }) => ({
    role,
    content,
    ...(thought !== undefined && { thinking: thought }),
  }))
  const render = () => chat.render(given, { thinking: thinking ?? undefined })
  if (text !== null) expect(render()).toBe(text)
  else expect(render).toThrow('refuses the messages: "Conversation roles must alternate')
})

test("what may hold it: its own file first, then those that JSON is in; one of several is the default one", () => {
  const hi = [{ role: "user", content: "Hi" }] as const
  const named = (source: string) => [
    { name: "tool_use", template: "no" },
    { name: "default", template: source },
  ]
  const of = (texts: Parameters<typeof createChatTemplate>[0]) => createChatTemplate(texts)?.render(hi)
  const inConfig = JSON.stringify({ chat_template: "config" })
  expect(of({ jinja: "own", json: JSON.stringify({ chat_template: "json" }), config: inConfig })).toBe("own")
  expect(of({ json: JSON.stringify({ chat_template: "json" }), config: inConfig })).toBe("json")
  expect(of({ config: inConfig })).toBe("config")
  expect(of({ config: JSON.stringify({ chat_template: named("{{ messages[0].content }}") }) })).toBe("Hi")
  expect(of({ config: JSON.stringify({ eos_token: "x" }) })).toBeUndefined()
  expect(of({})).toBeUndefined()
})

test("what is no template is told", () => {
  for (const texts of [{ jinja: "{% if %}" }, { jinja: "{{ unclosed" }, { config: "{" }]) {
    const make = () => createChatTemplate(texts)
    expect(make).toThrow(WeftError)
    expect(make).toThrow("the checkpoint's chat template")
  }
})
