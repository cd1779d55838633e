/**
 * One answer of a conversation.
 *
 *     messages  →  template  →  ids  │ of which the model holds a beginning │  read the rest, answer  →  thinking, text
 *
 * What the model holds of the turn before is not read again: a template that drops earlier thoughts changes the text from there on, and from
 * there on it is read.
 */
import { WeftError } from "../errors.js"
import { createGeneration, type GeneratePart, type GenerateResult, type GenerationOf } from "../generate/generation.js"
import type { GenerateOptions } from "../generate/options.js"
import { type Running, runGeneration } from "../generate/run.js"
import { fromHost } from "../host.js"
import type { Tokenizer } from "../text/tokenizer.js"
import { type ChatMessage, checkedMessages } from "./messages.js"
import type { ChatTemplate } from "./template.js"
import { createThoughts, type Thoughts } from "./thoughts.js"

export interface ChatOptions extends GenerateOptions {
  /** Whether the model is to think before it answers, where its template asks; the template's own default when left out. */
  readonly thinking?: boolean | undefined
  /**
   * What is done where the conversation has no room in the context: it is refused (the default), or its oldest turns are left out, a quarter of the
   * context at a time, the system message and the last message never.
   */
  readonly overflow?: "refuse" | "drop-oldest" | undefined
}

export interface ChatPart extends GeneratePart {
  /** What was thought since the part before. */
  readonly thinking: string
}

export interface ChatResult extends GenerateResult {
  /** Empty where the model thought nothing. */
  readonly thinking: string
  /** The answer as the next message of the conversation. */
  readonly message: ChatMessage
  /** Messages that were left out, the oldest ones after the system message. */
  readonly dropped: number
}

export type ChatGeneration = GenerationOf<ChatPart, ChatResult>

/** Room that an answer has at least, in tokens, where old turns are dropped for it: a paragraph or two, but no more than a quarter of the context. */
const leastRoom = (context: number) => Math.min(256, context >> 2)
const hasRoom = ({ ids }: Written, context: number) => ids.length + leastRoom(context) <= context

export function createChat(model: Running, template: ChatTemplate | undefined) {
  return (given: readonly ChatMessage[], options: ChatOptions = {}): ChatGeneration =>
    createGeneration((broken) => answer(model, template, given, options, broken))
}

/**
 * What a conversation is written with.
 *
 * @throws WeftError `chat/no-template`
 */
export function needTemplate(template: ChatTemplate | undefined, tokenizer: Tokenizer | undefined) {
  if (template !== undefined && tokenizer !== undefined) return { template, tokenizer }
  throw new WeftError("chat/no-template", "the checkpoint has no chat template, so it is not made for conversations", {
    hint: "use generate, or a checkpoint that is tuned for instructions",
  })
}

async function* answer(
  model: Running,
  found: ChatTemplate | undefined,
  given: readonly ChatMessage[],
  options: ChatOptions,
  broken: AbortSignal,
): AsyncGenerator<ChatPart, ChatResult, void> {
  const { thinking, overflow, ...rest } = fromHost("generate/option", "the options cannot be read", () => ({
    ...options,
  }))
  checkOptions(thinking, overflow)
  const messages = checkedMessages(given)
  const { template, tokenizer } = needTemplate(found, model.tokenizer)
  const written = writtenFor(model, tokenizer, template, messages, { thinking, overflow })
  const endTokens = new Set([...model.endTokens, ...idsOfText(tokenizer, template.endText)])
  const thoughts = createThoughts(written.text)
  const said = { thinking: "", text: "" }
  const partOf = (take: ReturnType<Thoughts["push"]>, tokens: readonly number[]): ChatPart => {
    said.thinking += take.thinking
    said.text += take.text
    return { ...take, tokens }
  }
  const generation = runGeneration({ ...model, endTokens }, written.ids, rest, broken, true)
  for (;;) {
    const next = await generation.next()
    if (next.done === true) {
      const last = thoughts.flush()
      if (last.text !== "" || last.thinking !== "") yield partOf(last, [])
      const message: ChatMessage = {
        role: "assistant",
        content: said.text,
        ...(said.thinking === "" ? {} : { thinking: said.thinking }),
      }
      return { ...next.value, ...said, message, dropped: written.dropped }
    }
    yield partOf(thoughts.push(next.value.text), next.value.tokens)
  }
}

interface Written {
  readonly text: string
  readonly ids: readonly number[]
  readonly dropped: number
}

/** Where turns begin, but for the first, by messages behind the system message. */
const turnsOf = (messages: readonly ChatMessage[], first: number): readonly number[] =>
  messages.flatMap(({ role }, i) => (role === "user" && i > first ? [i - first] : []))

/**
 * The conversation without its oldest turns: the fewest that make room, and then whole quarters of the context, so that what is kept begins where
 * it did at the turn before, most of the time, and is held by the model. Turns are found by halves: the more are left out, the shorter it is.
 */
function cut(whole: Written, write: (dropped: number) => Written, turns: readonly number[], context: number): Written {
  const firstWhere = (from: number, holds: (w: Written) => boolean): number => {
    let [low, high] = [from, turns.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (holds(write(turns[middle]!))) high = middle
      else low = middle + 1
    }
    return low
  }
  if (turns.length === 0) return whole
  const fewest = firstWhere(0, (w) => hasRoom(w, context))
  const without = write(turns[fewest]!)
  const quarter = Math.max(1, context >> 2)
  const left = Math.ceil((whole.ids.length - without.ids.length) / quarter) * quarter
  const isEnough = (w: Written) => whole.ids.length - w.ids.length >= left
  const quarters = write(turns[firstWhere(fewest, isEnough)]!)
  return isEnough(quarters) ? quarters : without
}

/** The conversation as the model reads it. @throws WeftError `generate/context`, `chat/template` */
function writtenFor(
  { facts }: Running,
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  { thinking, overflow }: Pick<ChatOptions, "thinking" | "overflow">,
): Written {
  const first = messages[0]!.role === "system" ? 1 : 0
  const known = new Map<number, Written>()
  const write = (dropped: number): Written => {
    const before = known.get(dropped)
    if (before !== undefined) return before
    const kept = [...messages.slice(0, first), ...messages.slice(first + dropped)]
    const text = template.render(kept, { thinking })
    // The template writes the tokens that stand before a text.
    const now = { text, ids: tokenizer.encode(text, { special: false }), dropped }
    known.set(dropped, now)
    return now
  }
  const whole = write(0)
  const isCut = overflow === "drop-oldest" && !hasRoom(whole, facts.context)
  const written = isCut ? cut(whole, write, turnsOf(messages, first), facts.context) : whole
  if (written.ids.length >= facts.context)
    throw new WeftError(
      "generate/context",
      `the conversation has ${written.ids.length} tokens, the context holds ${facts.context}, an answer included`,
      { hint: 'begin anew, load the model with a larger context, or let old turns go with overflow: "drop-oldest"' },
    )
  return written
}

function idsOfText(tokenizer: Tokenizer, text: string | undefined): readonly number[] {
  return [...tokenizer.specialTokens].filter(([, special]) => special === text).map(([id]) => id)
}

function checkOptions(thinking: unknown, overflow: unknown): void {
  if (thinking !== undefined && typeof thinking !== "boolean")
    throw new WeftError("generate/range", "thinking is true or false")
  if (overflow !== undefined && overflow !== "refuse" && overflow !== "drop-oldest")
    throw new WeftError("generate/range", "overflow is refuse or drop-oldest")
}
