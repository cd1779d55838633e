/**
 * A model that generates: a session, a tokenizer where there is one, and the loop between them.
 *
 *     prefill, choose │ step, choose │ step, choose │ …        one submit per token, one read of 4 bytes
 *     the host                token 1        token 2           reads behind, where the device says how many submits should be under way
 *
 * Tokens and logits stay on the device; the host reads each token to turn it into text and to see the end. A step that is under way when the
 * end is seen changes nothing: it is never beyond the context, and the next call begins with clean states. A model does one thing at a time:
 * a call while another is under way is refused (`generate/busy`), not queued, for a queue behind an iteration that waits for the queued
 * call would wait for ever.
 */
import type { Artifact, ArtifactModel, ArtifactTarget } from "../artifact.js"
import { WeftError } from "../errors.js"
import { fromHost } from "../host.js"
import type { Session } from "../session.js"
import type { Tokenizer } from "../text/tokenizer.js"
import { exclusiveCalls } from "./exclusive.js"
import { createGeneration, type GeneratePart, type GenerateResult, type Generation } from "./generation.js"
import {
  checkedDefaults,
  checkedEndTokens,
  type GenerateDefaults,
  type GenerateOptions,
  type Settings,
  settingsOf,
} from "./options.js"
import { createOutput, type Output } from "./output.js"
import { type Prompt, promptIds } from "./prompt.js"
import { choiceOf, samplingBytes } from "./sampling.js"
import { nextTurn } from "./turn.js"

export interface Logits {
  /** Row-major. */
  readonly data: Float32Array
  readonly shape: readonly [seq: number, vocab: number]
}

export interface GenerativeModel {
  readonly facts: ArtifactModel
  readonly device: { readonly kind: ArtifactTarget; readonly description: string }
  readonly tokenizer: Tokenizer | undefined
  readonly session: Session
  /**
   * Continues `prompt`. Await it or iterate it; it starts when it is first asked.
   *
   * Rejects with a WeftError: `generate/option`, `generate/range`, `generate/no-tokenizer`, `generate/empty-prompt`, `generate/token`,
   * `generate/context`, `generate/busy`, `generate/non-finite` (the model computed a logit that is not a number).
   */
  generate(prompt: Prompt, options?: GenerateOptions): Generation
  /** The logits of every position of `ids`. Rejects as `generate` does. */
  logits(ids: ArrayLike<number>): Promise<Logits>
  /** Frees the device's memory, and the device when the model owns it; may be called twice. */
  dispose(): void
  [Symbol.dispose](): void
}

export interface GeneratorOptions {
  readonly tokenizer?: Tokenizer | undefined
  /** What takes the place of options that are left out. */
  readonly defaults?: GenerateDefaults | undefined
  /** The tokens that end an answer; those of the artifact when left out. */
  readonly endTokens?: readonly number[] | undefined
  /** Called once, after the session is disposed of. */
  readonly onDispose?: (() => void) | undefined
}

/** What the artifact of a model says of it. */
export function factsOf({ model }: Artifact): ArtifactModel {
  if (model !== undefined) return model
  throw new WeftError("artifact/purpose", "the artifact holds a program, not a model that generates", {
    hint: "use loadProgram, and run it",
  })
}

/**
 * Makes a model of a session. The session is the model's own from now on.
 *
 * @throws WeftError `generate/option`, `generate/range` when defaults or end tokens are not what their types and ranges say
 */
export function createGenerator(session: Session, options: GeneratorOptions = {}): GenerativeModel {
  const { tokenizer, onDispose } = options
  const defaults = checkedDefaults(options.defaults ?? {})
  const facts = factsOf(session.artifact)
  const endTokens = new Set(
    options.endTokens === undefined ? facts.endTokens : checkedEndTokens(options.endTokens, facts.vocabulary),
  )
  const commands = Object.values(session.artifact.entries).reduce((n, entry) => n + entry.launches.length, 0)
  const calls = exclusiveCalls(session)

  const idsOf = (prompt: Prompt) =>
    promptIds(prompt, { tokenizer, vocabulary: facts.vocabulary, context: facts.context })

  /** Feeds `ids` in chunks; `then` runs with the last one, which is not waited for. Stops early when `aborted`. */
  const prefill = async (ids: Int32Array, then: string, signals: Signals): Promise<void> => {
    for (let past = 0; past < ids.length && !isAborted(signals); past += facts.chunk) {
      const part = ids.subarray(past, past + facts.chunk)
      const last = past + part.length === ids.length
      session.write("inputs.tokens", new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
      session.run(last ? ["prefill", then] : ["prefill"], { past, seq: part.length })
      if (last) return
      await calls.read("states.token", 4, signals)
      await nextTurn()
    }
  }
  const readToken = async (signals: Signals): Promise<number | undefined> => {
    const bytes = await calls.read("states.token", 4, signals)
    if (bytes === undefined) return undefined
    const token = new Int32Array(bytes.buffer, bytes.byteOffset, 1)[0]!
    if (token < 0)
      throw new WeftError("generate/non-finite", "the model computed a logit that is infinite or not a number", {
        hint: "the weights may be damaged, or too large for the arithmetic; nothing is drawn from such logits",
      })
    return token
  }

  async function* run(
    prompt: Prompt,
    given: GenerateOptions,
    broken: AbortSignal,
  ): AsyncGenerator<GeneratePart, GenerateResult, void> {
    const started = performance.now()
    const settings = settingsOf(given, defaults)
    const ids = idsOf(prompt)
    const signals = [broken, settings.signal]
    const limit = Math.min(settings.maxTokens, facts.context - ids.length)
    const choice = choiceOf(settings)
    if (settings.stop.length > 0 && tokenizer === undefined)
      throw new WeftError("generate/no-tokenizer", "the checkpoint has no tokenizer, so stop strings cannot be found", {
        hint: "stop at token ids: end the loop over the parts when their tokens hold one",
      })
    const output = createOutput(tokenizer, settings.stop)
    const clock = { prefill: 0, first: 0, last: 0, stepCommands: 0 }
    await calls.enter(signals)
    /** Tokens that the device was asked for, and the reads of those that the host has not seen. */
    let asked = 0
    const pending: Promise<number | undefined>[] = []
    try {
      const draw = () => {
        if (choice !== "greedy") session.write("inputs.sampling", samplingBytes(settings, asked))
      }
      const ask = () => {
        asked++
        const read = readToken(signals)
        // What is wrong with it is told when its turn comes.
        read.catch(() => {})
        pending.push(read)
      }
      const step = () => {
        draw()
        const { commands } = session.device.counters
        session.run(["step", choice], { past: ids.length + asked - 1, seq: 1 })
        clock.stepCommands = session.device.counters.commands - commands
        ask()
      }
      const generate = async function* (): AsyncGenerator<GeneratePart, GenerateResult["finishReason"], void> {
        if (limit === 0) return "length"
        if (isAborted(signals)) return "abort"
        session.begin()
        const before = performance.now()
        draw()
        await prefill(ids, choice, signals)
        if (isAborted(signals)) return "abort"
        ask()
        for (;;) {
          while (pending.length < session.device.ahead && asked < limit) step()
          const token = await pending.shift()!
          if (token === undefined) return "abort"
          clock.last = performance.now()
          if (clock.first === 0) {
            clock.first = clock.last
            clock.prefill = clock.first - before
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
      const reason = yield* generate()
      const finishReason = output.end() ? "stop" : reason
      const rest = output.take(true)
      if (rest !== undefined) yield rest
      return resultOf(output, finishReason, settings, ids.length, started, clock)
    } finally {
      for (const read of pending) calls.leaveBehind(read)
      calls.leave()
    }
  }

  const resultOf = (
    output: Output,
    finishReason: GenerateResult["finishReason"],
    settings: Settings,
    promptTokens: number,
    started: number,
    clock: { prefill: number; first: number; last: number; stepCommands: number },
  ): GenerateResult => {
    const decodeMs = clock.last - clock.first
    const later = Math.max(0, output.tokens.length - 1)
    return {
      text: output.text(),
      tokens: output.tokens,
      finishReason,
      usage: { promptTokens, completionTokens: output.tokens.length },
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

  const dispose = () => {
    if (!calls.dispose()) return
    session.dispose()
    onDispose?.()
  }

  return {
    facts,
    device: session.device,
    tokenizer,
    session,
    generate: (prompt, given = {}) => createGeneration((broken) => run(prompt, given, broken)),
    async logits(given) {
      const ids = idsOf(given)
      await calls.enter()
      try {
        session.begin()
        return await allLogits(session, facts, ids)
      } finally {
        calls.leave()
      }
    },
    dispose,
    [Symbol.dispose]: dispose,
  }
}

type Signals = readonly (AbortSignal | undefined)[]
const isAborted = (signals: Signals) => signals.some((signal) => signal?.aborted === true)

/** Chunk by chunk, so that the device holds the logits of one chunk only. */
async function allLogits(session: Session, { chunk, vocabulary }: ArtifactModel, ids: Int32Array): Promise<Logits> {
  const count = ids.length * vocabulary
  const data = fromHost("host/out-of-memory", `no memory for ${count} logits`, () => new Float32Array(count))
  for (let past = 0; past < ids.length; past += chunk) {
    const part = ids.subarray(past, past + chunk)
    session.write("inputs.tokens", new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
    session.run(["logits"], { past, seq: part.length })
    const bytes = await session.read("outputs.logits", part.length * vocabulary * 4)
    data.set(new Float32Array(bytes.buffer, bytes.byteOffset, part.length * vocabulary), past * vocabulary)
    await nextTurn()
  }
  return { data, shape: [ids.length, vocabulary] }
}
