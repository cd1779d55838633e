/**
 * One generation on a session: the prompt, then token after token.
 *
 *     prefill, choose │ step, choose │ step, choose │ …        one submit per token, one read of 4 bytes
 *     the host                token 1        token 2           reads behind, where the device says how many submits should be under way
 *
 * How many steps are ahead of the host is the device's to say. What is ahead when the end is seen is let go.
 */
import type { ArtifactModel } from "../artifact.js"
import { WeftError } from "../errors.js"
import type { Session } from "../session.js"
import type { Tokenizer } from "../text/tokenizer.js"
import type { ExclusiveCalls } from "./exclusive.js"
import type { GeneratePart, GenerateResult } from "./generation.js"
import { type GenerateDefaults, type GenerateOptions, type Settings, settingsOf } from "./options.js"
import { createOutput, type Output } from "./output.js"
import { type Prompt, promptIds } from "./prompt.js"
import { choiceOf, samplingBytes } from "./sampling.js"
import { nextTurn } from "./turn.js"

/** A model, as a generation sees it. */
export interface Running {
  readonly session: Session
  readonly facts: ArtifactModel
  readonly tokenizer: Tokenizer | undefined
  readonly defaults: GenerateDefaults
  readonly endTokens: ReadonlySet<number>
  readonly calls: ExclusiveCalls
  /** Commands of all entries. */
  readonly commands: number
  readonly held: Held
}

/** The tokens whose rows the states hold: the first `count` of a prompt and of what followed it. */
export interface Held {
  prompt: Int32Array
  answer: readonly number[]
  count: number
}

export const nothingHeld = (): Held => ({ prompt: new Int32Array(0), answer: [], count: 0 })

type Signals = readonly (AbortSignal | undefined)[]
const isAborted = (signals: Signals) => signals.some((signal) => signal?.aborted === true)

/** What one generation was asked for. */
interface Asked {
  readonly ids: Int32Array
  readonly settings: Settings
  readonly signals: Signals
  /** Tokens of the answer at most. */
  readonly limit: number
  /** Tokens of the prompt that the states hold already. */
  readonly cached: number
}

/** Milliseconds, and commands of a step. */
interface Clock {
  /** Of compiling what the prompt runs, the first time that such a one comes. */
  compile: number
  prefill: number
  first: number
  last: number
  stepCommands: number
}

/** @throws WeftError `generate/empty-prompt`, `generate/token`, `generate/context`, `tokenizer/missing` */
export const idsOf = (prompt: Prompt, { tokenizer, facts }: Pick<Running, "tokenizer" | "facts">): Int32Array =>
  promptIds(prompt, { tokenizer, vocabulary: facts.vocabulary, context: facts.context })

export async function* runGeneration(
  model: Running,
  prompt: Prompt,
  given: GenerateOptions,
  broken: AbortSignal,
  goesOn = false,
): AsyncGenerator<GeneratePart, GenerateResult, void> {
  const started = performance.now()
  const { calls, facts, tokenizer } = model
  const settings = settingsOf(given, model.defaults)
  const ids = idsOf(prompt, model)
  const signals = [broken, settings.signal]
  const limit = Math.min(settings.maxTokens, facts.context - ids.length)
  if (settings.stop.length > 0 && tokenizer === undefined)
    throw new WeftError("tokenizer/missing", "the checkpoint has no tokenizer, so stop strings cannot be found", {
      hint: "stop at token ids: end the loop over the parts when their tokens hold one",
    })
  const output = createOutput(tokenizer, settings.stop)
  const clock: Clock = { compile: 0, prefill: 0, first: 0, last: 0, stepCommands: 0 }
  await calls.enter(signals)
  const held = goesOn ? heldOf(model, ids) : 0
  const cached = held > 0 && model.session.restorable(held) ? held : 0
  const asked: Asked = { ids, settings, signals, limit, cached }
  const steps = createSteps(model, asked, clock)
  try {
    const reason = yield* partsOf(model, asked, steps, output, clock)
    const finishReason = output.end() ? "stop" : reason
    const rest = output.take(true)
    if (rest !== undefined) yield rest
    return resultOf(model, asked, output, finishReason, started, clock)
  } finally {
    for (const read of steps.pending) calls.leaveBehind(read)
    calls.leave()
  }
}

/** Tokens of the prompt that the states hold: all but the last one at most, whose logits are asked for. */
function heldOf({ held }: Running, ids: Int32Array): number {
  const { prompt, answer, count } = held
  const most = Math.min(count, ids.length - 1)
  let same = 0
  while (same < most && ids[same] === (same < prompt.length ? prompt[same] : answer[same - prompt.length])) same++
  return same
}

async function* partsOf(
  { session, endTokens, held }: Running,
  { ids, settings, signals, limit, cached }: Asked,
  steps: Steps,
  output: Output,
  clock: Clock,
): AsyncGenerator<GeneratePart, GenerateResult["finishReason"], void> {
  if (limit === 0) return "length"
  if (isAborted(signals)) return "abort"
  Object.assign(held, { prompt: ids, answer: output.tokens, count: 0 } satisfies Held)
  session.begin(cached)
  const before = performance.now()
  if (!(await steps.begin())) return "abort"
  for (;;) {
    steps.goAhead()
    const token = await steps.pending.shift()!
    if (token === undefined) return "abort"
    // A token that was chosen followed the ones before it: their rows are there.
    held.count = ids.length + output.tokens.length
    clock.last = performance.now()
    if (clock.first === 0) {
      clock.first = clock.last
      clock.prefill = clock.first - before - clock.compile
    }
    if (endTokens.has(token) && !settings.ignoreEos) return "stop"
    const stopped = output.push(token)
    const part = output.take()
    if (part !== undefined) yield part
    if (stopped) return "stop"
    if (output.tokens.length === limit) return "length"
    if (isAborted(signals)) return "abort"
    await nextTurn()
  }
}

type Steps = ReturnType<typeof createSteps>

/** Asks the device for tokens. */
function createSteps(
  { session, facts, calls }: Running,
  { ids, settings, signals, limit, cached }: Asked,
  clock: Clock,
) {
  const choice = choiceOf(settings)
  const pending: Promise<number | undefined>[] = []
  /** Tokens that the device was asked for. */
  let asked = 0
  const draw = () => {
    if (choice !== "greedy") session.write("inputs.sampling", samplingBytes(settings, asked))
  }
  const ask = () => {
    asked++
    const read = readToken(calls, signals)
    // What is wrong with it is told when its turn comes.
    read.catch(() => {})
    pending.push(read)
  }
  /** Feeds the prompt in chunks; the choice runs with the last one, which is not waited for. Stops early when aborted. */
  const prefill = async (): Promise<void> => {
    for (let past = cached; past < ids.length && !isAborted(signals); past += facts.chunk) {
      const part = ids.subarray(past, past + facts.chunk)
      const last = past + part.length === ids.length
      const before = performance.now()
      await calls.prepare(["prefill"], { past, seq: part.length }, signals)
      clock.compile += performance.now() - before
      if (isAborted(signals)) return
      session.write("inputs.tokens", new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
      session.run(last ? ["prefill", choice] : ["prefill"], { past, seq: part.length })
      if (last) return
      await calls.read("states.token", 4, signals)
      await nextTurn()
    }
  }
  return {
    /** The reads of tokens that the host has not seen. */
    pending,
    /** Reads the prompt and asks for the first token; false when aborted. */
    async begin(): Promise<boolean> {
      draw()
      await prefill()
      if (isAborted(signals)) return false
      ask()
      return true
    },
    /** As many steps as the device is to have under way. */
    goAhead(): void {
      while (pending.length < session.device.ahead && asked < limit) {
        draw()
        const { commands } = session.device.counters
        session.run(["step", choice], { past: ids.length + asked - 1, seq: 1 })
        clock.stepCommands = session.device.counters.commands - commands
        ask()
      }
    },
  }
}

/** @throws WeftError `generate/non-finite` */
async function readToken(calls: ExclusiveCalls, signals: Signals): Promise<number | undefined> {
  const bytes = await calls.read("states.token", 4, signals)
  if (bytes === undefined) return undefined
  const token = new Int32Array(bytes.buffer, bytes.byteOffset, 1)[0]!
  if (token < 0)
    throw new WeftError("generate/non-finite", "the model computed a logit that is infinite or not a number", {
      hint: "the weights may be damaged, or too large for the arithmetic; nothing is drawn from such logits",
    })
  return token
}

function resultOf(
  { session, commands }: Running,
  { ids, settings, cached }: Asked,
  output: Output,
  finishReason: GenerateResult["finishReason"],
  started: number,
  clock: Clock,
): GenerateResult {
  const decodeMs = clock.last - clock.first
  const later = Math.max(0, output.tokens.length - 1)
  return {
    text: output.text(),
    tokens: output.tokens,
    finishReason,
    usage: { promptTokens: ids.length, cachedTokens: cached, completionTokens: output.tokens.length },
    timings: {
      firstTokenMs: clock.first === 0 ? 0 : clock.first - started,
      prefillMs: clock.prefill,
      decodeMs,
      tokensPerSecond: decodeMs > 0 ? (later / decodeMs) * 1000 : 0,
      loadMs: session.timings.upload,
      compileMs: session.timings.compile,
      pipelines: session.device.counters.pipelines,
      commands,
      commandsPerToken: clock.stepCommands,
    },
    ...(settings.temperature === 0 ? {} : { seed: settings.seed }),
  }
}
