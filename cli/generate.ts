/**
 * weft generate: continues a prompt, token by token, on standard output.
 */
import { WeftError } from "../runtime/errors.js"
import { inRange } from "../runtime/generate/options.js"
import { type Arguments, type Flag, parse, UsageError } from "./arguments.js"
import { loadFlags, openModel } from "./model.js"
import type { GenerateOptions, LoadedModel } from "./node.js"
import { say, write } from "./output.js"

export const generateFlags: readonly Flag[] = [
  ...loadFlags,
  "max-tokens",
  "temperature",
  "top-k",
  "top-p",
  "min-p",
  "seed",
  "stop",
  "tokens",
  "json",
  "ignore-eos",
]

const opening = "Once upon a time"

/** Returns the exit code: 130 after an interrupt, when what is there has been printed. */
export async function generate(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, generateFlags)
  if (words.length > 1) throw new UsageError(`one prompt is expected, not ${words.length}; put it in quotes`)
  if (words.length === 1 && values.tokens !== undefined) throw new UsageError("give a prompt or --tokens, not both")
  const options = optionsOf(values)
  const prompt = values.tokens ?? words[0] ?? opening
  const interrupt = new AbortController()
  const stop = () => interrupt.abort()
  process.once("SIGINT", stop)
  try {
    const model = await openModel(values)
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
  if (process.stdout.isTTY && process.stderr.isTTY && typeof prompt === "string") process.stderr.write(prompt)
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
function optionsOf(values: Arguments): GenerateOptions {
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
