/**
 * A prompt, text or token ids, as the ids that the model reads.
 *
 *     promptIds("Once upon", { tokenizer, vocabulary, context })  →  [3674, 653]
 */
import { WeftError } from "../errors.js"
import { fromHost, hostText } from "../host.js"
import type { Tokenizer } from "../text/tokenizer.js"

export type Prompt = string | ArrayLike<number>

interface PromptFacts {
  readonly tokenizer: Tokenizer | undefined
  readonly vocabulary: number
  readonly context: number
}

/** @throws WeftError `tokenizer/missing` */
export function needTokenizer(tokenizer: Tokenizer | undefined): Tokenizer {
  if (tokenizer !== undefined) return tokenizer
  throw new WeftError("tokenizer/missing", "the checkpoint has no tokenizer, so it cannot read text", {
    hint: "give the prompt as token ids",
  })
}

/**
 * @throws WeftError `tokenizer/missing` for text without a tokenizer, `generate/empty-prompt`, `generate/token` for an id out of the
 * vocabulary, `generate/context` for more ids than the context holds, `generate/prompt` for what is neither a text nor ids or cannot be read,
 * `tokenizer/text` for half a character
 */
export function promptIds(prompt: Prompt, facts: PromptFacts): Int32Array {
  return fromHost("generate/prompt", "the prompt cannot be read", () => readPrompt(prompt, facts))
}

function readPrompt(prompt: Prompt, { tokenizer, vocabulary, context }: PromptFacts): Int32Array {
  const ids: ArrayLike<unknown> = typeof prompt === "string" ? needTokenizer(tokenizer).encode(prompt) : prompt
  const length: unknown = typeof ids === "object" && ids !== null ? ids.length : undefined
  if (typeof length !== "number" || !Number.isInteger(length) || length < 0)
    throw new WeftError(
      "generate/prompt",
      `the prompt is ${hostText(prompt)}, neither a text nor a list of token ids`,
      {
        hint: "give a string, an array of numbers or a typed array",
      },
    )
  if (length === 0)
    throw new WeftError("generate/empty-prompt", "the prompt is empty", { hint: "give at least one token" })
  if (length > context)
    throw new WeftError("generate/context", `the prompt has ${length} tokens, the context holds ${context}`, {
      hint: "shorten the prompt, or load the model with a larger context if its checkpoint has one",
    })
  const checked = new Int32Array(length)
  for (let i = 0; i < length; i++) checked[i] = tokenId(ids[i], vocabulary)
  return checked
}

function tokenId(id: unknown, vocabulary: number): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocabulary) return id
  throw new WeftError(
    "generate/token",
    `${hostText(id)} is not a token: ids are whole numbers from 0 to ${vocabulary - 1}`,
  )
}
