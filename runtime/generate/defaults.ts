/**
 * The defaults that a checkpoint brings along: generation_config.json, read as transformers reads it.
 *
 *     { do_sample: true, temperature: 0.8, top_k: 40 }  →  { temperature: 0.8, topK: 40 }
 *     { temperature: 0.8 }                              →  { temperature: 0 }      without do_sample nothing is drawn
 *
 * Other fields of the file are not read; penalties among them.
 */
import type { Checkpoint } from "../weights/checkpoint.js"
import { type GenerateDefaults, inRange, type ranges } from "./options.js"

type Config = Checkpoint["generationConfig"]

/** @throws WeftError `generate/range` naming the field when a value is out of the option's range */
export function defaultsOf(config: Config): GenerateDefaults {
  const field = (name: string, option: keyof typeof ranges): number | undefined => {
    const value = config?.[name] ?? undefined
    return value === undefined ? undefined : inRange(option, value, `generation_config.json: ${name}`)
  }
  const maxTokens = field("max_new_tokens", "maxTokens")
  if (config?.do_sample !== true) return { maxTokens, temperature: 0 }
  return {
    maxTokens,
    temperature: field("temperature", "temperature") ?? 1,
    topK: field("top_k", "topK"),
    topP: field("top_p", "topP"),
    minP: field("min_p", "minP"),
  }
}

/** The tokens that end an answer: one number or a list in generation_config.json; `undefined` when it names none. */
export function endTokensOf(config: Config): readonly number[] | undefined {
  const value = config?.eos_token_id
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  const ids = list.filter((id) => typeof id === "number" && Number.isInteger(id) && id >= 0) as readonly number[]
  return ids.length === 0 ? undefined : ids
}
