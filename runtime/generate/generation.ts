/**
 * One generation as its caller sees it: awaited for the whole result, or iterated for its parts, or both.
 *
 *     const { text } = await model.generate("Once")
 *     for await (const part of model.generate("Once")) write(part.text)      // break ends it and frees the model
 *
 * It runs when it is asked: nothing happens before the first `await` or `next`, and an iteration that pauses pauses the model, too. Parts are
 * kept, so several readers see all of them.
 */

/** Text that is now certain, and the tokens that were generated since the part before. */
export interface GeneratePart {
  readonly text: string
  readonly tokens: readonly number[]
}

export interface GenerateTimings {
  /** Milliseconds from the start to the first token. */
  readonly firstTokenMs: number
  /** Milliseconds of the device for the prompt, the choice of the first token included. */
  readonly prefillMs: number
  /** Milliseconds from the first token to the last. */
  readonly decodeMs: number
  /** Tokens after the first, by `decodeMs`; 0 when there are none. */
  readonly tokensPerSecond: number
  /** Milliseconds that it took, once, to put the weights on the device, and to make the kernels ready there. */
  readonly loadMs: number
  readonly compileMs: number
  /** Kernels that the device has made ready so far; a generation adds none. */
  readonly pipelines: number
  /** Commands that are recorded for the model, in all its entry points; a generation adds none. */
  readonly commands: number
  /** Commands that each token after the first ran; 0 when there was none. */
  readonly commandsPerToken: number
}

export interface GenerateResult {
  /** Without the end token and without the stop string. */
  readonly text: string
  /** Generated tokens only, without the end token. */
  readonly tokens: readonly number[]
  /** `stop`: an end token or a stop string; `length`: `maxTokens` or the context; `abort`: the signal, or a reader that broke off. */
  readonly finishReason: "stop" | "length" | "abort"
  readonly usage: {
    readonly promptTokens: number
    /** Tokens of the prompt that the model held from the turn before, and did not read again; 0 but in conversations. */
    readonly cachedTokens: number
    readonly completionTokens: number
  }
  readonly timings: GenerateTimings
  /** The seed of the draws; absent when the likeliest token was taken each time. */
  readonly seed?: number
}

export interface GenerationOf<Part, Result> extends PromiseLike<Result>, AsyncIterable<Part> {}
export type Generation = GenerationOf<GeneratePart, GenerateResult>

/** Makes a generation of a run, which is started when it is asked for and should end soon after `signal` aborts. */
export function createGeneration<Part, Result>(
  run: (signal: AbortSignal) => AsyncGenerator<Part, Result, void>,
): GenerationOf<Part, Result> {
  const broken = new AbortController()
  const parts: Part[] = []
  let running: AsyncGenerator<Part, Result, void> | undefined
  let failure: { readonly error: unknown } | undefined
  let result: Result | undefined

  /** One more part, or the end. Calls that come at the same time are served in turn. */
  const advance = async (): Promise<void> => {
    running ??= run(broken.signal)
    try {
      const next = await running.next()
      if (next.done !== true) parts.push(next.value)
      else result ??= next.value
    } catch (error) {
      failure ??= { error }
    }
    if (failure !== undefined) throw failure.error
  }
  const finish = async (): Promise<Result> => {
    while (result === undefined) await advance()
    return result
  }

  return {
    // biome-ignore lint/suspicious/noThenProperty: awaiting it is what it is for
    then: (fulfilled, rejected) => finish().then(fulfilled, rejected),
    [Symbol.asyncIterator]() {
      let at = 0
      const done = { done: true, value: undefined } as const
      return {
        async next() {
          while (at >= parts.length && result === undefined) await advance()
          return at < parts.length ? { done: false, value: parts[at++]! } : done
        },
        async return() {
          at = Number.POSITIVE_INFINITY
          broken.abort()
          if (running !== undefined) await finish()
          return done
        },
      }
    },
  }
}
