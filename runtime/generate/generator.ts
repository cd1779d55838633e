/**
 * A model that generates: a session, a tokenizer where there is one, and the loop between them (`run.ts`).
 *
 * Tokens and logits stay on the device; the host reads each token to turn it into text and to see the end. A step that is under way when the
 * end is seen changes nothing: it is never beyond the context, and the next call begins with clean states. A model does one thing at a time:
 * a call while another is under way is refused (`generate/busy`), not queued, for a queue behind an iteration that waits for the queued
 * call would wait for ever.
 */
import type { Artifact, ArtifactModel, ArtifactTarget } from "../artifact.js"
import { type ChatGeneration, type ChatOptions, createChat } from "../chat/chat.js"
import type { ChatMessage } from "../chat/messages.js"
import type { ChatTemplate } from "../chat/template.js"
import { WeftError } from "../errors.js"
import { fromHost } from "../host.js"
import type { Session } from "../session.js"
import type { Tokenizer } from "../text/tokenizer.js"
import { mostOf } from "../variants.js"
import { exclusiveCalls } from "./exclusive.js"
import { createGeneration, type Generation } from "./generation.js"
import { checkedDefaults, checkedEndTokens, type GenerateDefaults, type GenerateOptions } from "./options.js"
import type { Prompt } from "./prompt.js"
import { idsOf, nothingHeld, type Running, runGeneration } from "./run.js"
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
   * Rejects with a WeftError: `generate/option`, `generate/range`, `tokenizer/missing`, `generate/empty-prompt`, `generate/token`,
   * `generate/context`, `generate/busy`, `generate/non-finite` (the model computed a logit that is not a number).
   */
  generate(prompt: Prompt, options?: GenerateOptions): Generation
  /**
   * Answers a conversation, by the checkpoint's chat template. What the model holds of the turn before is not read again
   * (`usage.cachedTokens`); changing an earlier message is right at any time.
   *
   * Rejects as `generate` does, and with `chat/no-template`, `chat/message`, `chat/template`.
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): ChatGeneration
  /** The logits of every position of `ids`. Rejects as `generate` does. */
  logits(ids: ArrayLike<number>): Promise<Logits>
  /** Frees the device's memory, and the device when the model owns it; may be called twice. */
  dispose(): void
  [Symbol.dispose](): void
}

export interface GeneratorOptions {
  readonly tokenizer?: Tokenizer | undefined
  /** How a conversation is written, where the model is made for some. */
  readonly template?: ChatTemplate | undefined
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

  const model: Running = { session, facts, tokenizer, defaults, endTokens, calls, commands, held: nothingHeld() }

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
    generate: (prompt, given = {}) => createGeneration((broken) => runGeneration(model, prompt, given, broken)),
    chat: createChat(model, options.template),
    async logits(given) {
      const ids = idsOf(given, model)
      await calls.enter()
      try {
        model.held.count = 0
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

/** Chunk by chunk, so that the device holds the logits of one chunk only. */
async function allLogits(
  session: Session,
  { chunk: most, vocabulary }: ArtifactModel,
  ids: Int32Array,
): Promise<Logits> {
  const chunk = mostOf(session.artifact.entries.logits, "seq", most)
  const count = ids.length * vocabulary
  const data = fromHost("host/out-of-memory", `no memory for ${count} logits`, () => new Float32Array(count))
  for (let past = 0; past < ids.length; past += chunk) {
    const part = ids.subarray(past, past + chunk)
    await session.prepare(["logits"], { past, seq: part.length })
    session.write("inputs.tokens", new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
    session.run(["logits"], { past, seq: part.length })
    const bytes = await session.read("outputs.logits", part.length * vocabulary * 4)
    data.set(new Float32Array(bytes.buffer, bytes.byteOffset, part.length * vocabulary), past * vocabulary)
    await nextTurn()
  }
  return { data, shape: [ids.length, vocabulary] }
}
