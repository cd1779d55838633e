/**
 * weft chat: a conversation; each line of standard input is a turn.
 *
 *     $ weft chat --model Qwen/Qwen3-0.6B
 *     > Why is the sky blue?
 *
 * In a terminal thoughts are grey, ^C ends an answer, and /new begins anew. Answers alone go to standard output; where it is piped on, a blank
 * line stands between them.
 */
import { createInterface } from "node:readline"
import { WeftError } from "../runtime/errors.js"
import { parse, UsageError } from "./arguments.js"
import { flagsOf } from "./commands.js"
import { optionsOf } from "./generate.js"
import { openModel } from "./model.js"
import type { ChatMessage, ChatOptions, LoadedModel } from "./node.js"
import { report, say, write } from "./output.js"

export async function chat(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("chat"))
  if (words.length > 0)
    throw new UsageError(`weft chat takes no words, not ${JSON.stringify(words[0])}; turns are lines of its input`)
  const options: ChatOptions = {
    ...optionsOf(values),
    thinking: values["no-thinking"] === true ? false : undefined,
    overflow: values["drop-oldest"] === true ? "drop-oldest" : undefined,
  }
  const model = await openModel(values, { needs: "chat" })
  try {
    return await converse(model, values.system, options)
  } finally {
    model.dispose()
  }
}

async function converse(model: LoadedModel, system: string | undefined, options: ChatOptions): Promise<number> {
  const beginning: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }]
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true
  const lines = createInterface({ input: process.stdin, ...(isTerminal && { output: process.stdout, prompt: "> " }) })
  let messages = beginning
  let answering: AbortController | undefined
  lines.on("SIGINT", () => (answering === undefined ? lines.close() : answering.abort()))
  if (isTerminal) {
    say("weft: a line is a turn; /new begins anew, ^C ends an answer, ^D the conversation")
    lines.prompt()
  }
  let code = 0
  for await (const line of lines) {
    if (line.trim() === "/new") messages = beginning
    else if (line.trim() !== "") {
      answering = new AbortController()
      const asked: readonly ChatMessage[] = [...messages, { role: "user", content: line }]
      try {
        messages = [...asked, await print(model, asked, { ...options, signal: answering.signal })]
      } catch (error) {
        // In a terminal a turn that is refused is not the end.
        if (!isTerminal || !(error instanceof WeftError)) throw error
        code = report(error)
      }
      answering = undefined
    }
    if (isTerminal) lines.prompt()
  }
  return code
}

async function print(model: LoadedModel, messages: readonly ChatMessage[], options: ChatOptions): Promise<ChatMessage> {
  const generation = model.chat(messages, options)
  const isTerminal = process.stdout.isTTY === true
  let thought = false
  for await (const part of generation) {
    if (isTerminal && part.thinking !== "") {
      await write(part.thinking, "grey")
      thought = true
    }
    if (part.text === "") continue
    if (thought) await write("\n\n")
    thought = false
    await write(part.text)
  }
  const { message, usage, timings, dropped } = await generation
  await write(isTerminal ? "\n" : "\n\n")
  if (process.stderr.isTTY === true) {
    const left = dropped === 0 ? "" : `, ${dropped} old messages left out`
    say(
      `weft: read ${usage.promptTokens - usage.cachedTokens} of ${usage.promptTokens} tokens, ${usage.completionTokens} answered, ${timings.tokensPerSecond.toFixed(0)} tokens/s${left}`,
    )
  }
  return message
}
