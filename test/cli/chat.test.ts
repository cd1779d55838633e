/** weft chat as a process: turns from a pipe, answers to one. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { root } from "../support/goldens.js"
import { weft, weftHere } from "./run.js"

const folder = mkdtempSync(join(tmpdir(), "weft-chat-"))
cpSync(join(root, "models", "tales"), folder, { recursive: true })
writeFileSync(
  join(folder, "chat_template.jinja"),
  "{% for m in messages %}{{ m.content }}\n{% if m.role == 'assistant' %}{{ raise_exception('no more') if loop.index > 5 }}{% endif %}{% endfor %}",
)
afterAll(() => rmSync(folder, { recursive: true }))

const options = [
  "--model",
  folder,
  "--device",
  "wasm",
  "--threads",
  "1",
  "--max-tokens",
  "6",
  "--temperature",
  "0",
  "--stop",
  "\n",
]
const chatted = (lines: string, ...more: readonly string[]) =>
  weft(["chat", ...options, ...more], (child) => child.stdin!.end(lines))

test("a line is a turn, /new begins anew, and what a template refuses ends it", async () => {
  const { code, stdout, stderr } = await chatted("Once upon a time\nand then\n/new\nOnce upon a time\n\na\nb\nc\n")
  const answers = stdout.split("\n\n").slice(0, -1)
  expect(answers.length).toBe(5)
  expect(answers[2]).toBe(answers[0])
  expect(answers[1]).not.toBe(answers[0])
  expect([code, stderr]).toEqual([1, expect.stringContaining('refuses the messages: "no more"')])
})

test.each([
  [["hello"], 'weft chat takes no words, not "hello"'],
  [["--max-tokens", "0"], "--max-tokens is 0"],
])("%j is told before anything is loaded", async (args, words) => {
  const { code, stderr } = await weftHere(["chat", ...args])
  expect([code, stderr]).toEqual([2, expect.stringContaining(words)])
})

test("a checkpoint that is not made for conversations is told before there is a device, a kernel or a weight", async () => {
  const { code, stdout, stderr } = await weftHere([
    "chat",
    "--model",
    join(root, "models", "tales"),
    "--device",
    "wasm",
  ])
  expect([code, stdout]).toEqual([1, ""])
  expect(stderr).toContain("it is not made for conversations")
  expect(stderr).not.toContain("wasm")
})
