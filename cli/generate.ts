/**
 * weft generate: continues a prompt, token by token, on standard output.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { WeftError } from "../runtime/errors.js"
import { inRange } from "../runtime/generate/options.js"
import { type Arguments, type Flag, parse, UsageError } from "./arguments.js"
import { commandNames, flagsOf } from "./commands.js"
import { openModel } from "./model.js"
import type { GenerateOptions, LoadedModel } from "./node.js"
import { say, write } from "./output.js"

const opening = "Once upon a time"

/** Returns the exit code: 130 after an interrupt, when what is there has been printed. */
export async function generate(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("generate"))
  if (words.length > 1) throw new UsageError(`one prompt is expected, not ${words.length}; put it in quotes`)
  if (words.length === 1 && values.tokens !== undefined) throw new UsageError("give a prompt or --tokens, not both")
  if (!args.includes("--")) checkPrompt(words[0])
  const options = optionsOf(values)
  const prompt = values.tokens ?? words[0] ?? opening
  const interrupt = new AbortController()
  const stop = () => interrupt.abort()
  process.once("SIGINT", stop)
  try {
    const model = await openModel(values, { needs: typeof prompt === "string" ? "text" : undefined })
    try {
      await print(model, prompt, { ...options, signal: interrupt.signal }, values.json === true)
    } finally {
      model.dispose()
    }
    return interrupt.signal.aborted ? 130 : 0
  } finally {
    process.off("SIGINT", stop)
  }
}

/** What stands in the place of a prompt and is a command, a model's file or a checkpoint was meant to be one. */
function checkPrompt(word: string | undefined): void {
  if (word === undefined || /\s/.test(word)) return
  const told = `a prompt follows --: weft -- ${word}`
  if (commandNames.some((name) => name === word))
    throw new UsageError(`the command comes first: weft ${word} …; ${told}`)
  if (/\.[cm]?ts$/.test(word) && existsSync(word))
    throw new UsageError(`${word} is a file: weft compile ${word} or weft check ${word}; ${told}`)
  if (existsSync(join(word, "config.json")) || (/\.gguf$/i.test(word) && existsSync(word)))
    throw new UsageError(`${word} is a checkpoint: --model ${word}; ${told}`)
}

async function print(
  model: LoadedModel,
  prompt: string | readonly number[],
  options: GenerateOptions,
  json: boolean,
): Promise<void> {
  const generation = model.generate(prompt, options)
  if (json) {
    const { kind, description } = model.device
    const result = await generation
    const timings = { ...result.timings, startMs: model.loading.totalMs }
    await write(`${JSON.stringify({ ...result, timings, device: kind, deviceDescription: description })}\n`)
    return
  }
  // In a terminal the story is read with its beginning; what is piped on is the result alone.
  if (process.stdout.isTTY) {
    const beginning = typeof prompt === "string" ? prompt : model.tokenizer?.decode(prompt)
    if (beginning !== undefined) await write(beginning)
  }
  let text = ""
  for await (const part of generation) {
    const piece = model.tokenizer === undefined ? `${text === "" ? "" : " "}${part.tokens.join(" ")}` : part.text
    text += piece
    await write(piece)
  }
  if (!text.endsWith("\n")) await write("\n")
  if (process.stderr.isTTY) {
    const { timings, tokens, seed } = await generation
    const speed = `${tokens.length} tokens, ${timings.tokensPerSecond.toFixed(0)} tokens/s`
    say(`weft: ${speed}${seed === undefined ? "" : `, seed ${seed}`}`)
  }
}

/** Values out of their ranges are mistakes in the arguments: told before anything is loaded. */
export function optionsOf(values: Arguments): GenerateOptions {
  const number = (flag: Flag, option: Parameters<typeof inRange>[0]): number | undefined => {
    const value = values[flag]
    if (value === undefined) return undefined
    try {
      return inRange(option, value, `--${flag}`)
    } catch (error) {
      throw error instanceof WeftError ? new UsageError(error.message) : error
    }
  }
  return {
    maxTokens: number("max-tokens", "maxTokens"),
    temperature: number("temperature", "temperature"),
    topK: number("top-k", "topK"),
    topP: number("top-p", "topP"),
    minP: number("min-p", "minP"),
    seed: number("seed", "seed"),
    stop: values.stop,
    ignoreEos: values["ignore-eos"],
  }
}
