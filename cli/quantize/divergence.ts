/**
 * How far a quantized model is from the one that it was made of: both read the same tokens, and their chances of the next token are compared at each.
 *
 *     KL        mean over positions of  sum over tokens of p (log p - log q),  in nats; p are the first model's chances, q the second's
 *     agreement     share of positions where both have the same likeliest token
 *
 * One model is on the device at a time: what the first one says is put aside in a file.
 */
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { WeftError } from "../../runtime/errors.js"
import type { GenerativeModel } from "../../runtime/generate/generator.js"

export interface Divergence {
  readonly tokens: number
  /** Whose text it was; ids that were drawn where a model has no tokenizer. */
  readonly text: "given" | "built in" | "random ids"
  readonly meanKl: number
  /** From 0 to 1. */
  readonly agreement: number
  readonly device: string
}

/** A model that is loaded when it is needed. */
export type Opened = Pick<GenerativeModel, "logits" | "facts" | "tokenizer" | "device" | "dispose">

export interface Compared {
  readonly text: string | undefined
  readonly maxTokens: number
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** Tokens that are read at a time: the logits of so many are in hand. */
const window = 256

/**
 * @param original opens the model that counts
 * @param other opens the one that is compared with it
 */
export async function divergenceOf(
  original: () => Promise<Opened>,
  other: () => Promise<Opened>,
  { text, maxTokens, signal, onProgress }: Compared,
  builtIn: string,
): Promise<Divergence> {
  const folder = await mkdtemp(join(tmpdir(), "weft-logits-"))
  const aside = await open(join(folder, "logits"), "w+")
  try {
    const { pieces, kind } = await withModel(original, async (model) => {
      const chosen = piecesOf(model, text, builtIn, maxTokens)
      let row = 0
      for (const ids of chosen.pieces) {
        signal?.throwIfAborted()
        const { data, shape } = await model.logits(ids)
        await aside.write(
          new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
          0,
          data.byteLength,
          row * shape[1] * 4,
        )
        row += ids.length
        onProgress?.(row, 2 * chosen.count)
      }
      return chosen
    })
    return await withModel(other, (model) => compare(model, pieces, aside, kind, { signal, onProgress }))
  } finally {
    await aside.close()
    await rm(folder, { recursive: true })
  }
}

async function withModel<T>(open: () => Promise<Opened>, use: (model: Opened) => Promise<T>): Promise<T> {
  const model = await open()
  try {
    return await use(model)
  } finally {
    model.dispose()
  }
}

async function compare(
  model: Opened,
  pieces: readonly (readonly number[])[],
  aside: FileHandle,
  text: Divergence["text"],
  { signal, onProgress }: Pick<Compared, "signal" | "onProgress">,
): Promise<Divergence> {
  const tokens = pieces.reduce((n, ids) => n + ids.length, 0)
  let [row, sum, same] = [0, 0, 0]
  for (const ids of pieces) {
    signal?.throwIfAborted()
    const { data, shape } = await model.logits(ids)
    const [, vocabulary] = shape
    const before = new Float32Array(data.length)
    await readAll(aside, new Uint8Array(before.buffer), row * vocabulary * 4)
    for (let at = 0; at < data.length; at += vocabulary) {
      const [p, q] = [before.subarray(at, at + vocabulary), data.subarray(at, at + vocabulary)]
      sum += klOf(p, q)
      if (likeliest(p) === likeliest(q)) same++
    }
    row += ids.length
    onProgress?.(tokens + row, 2 * tokens)
  }
  const { kind, description } = model.device
  return { tokens, text, meanKl: sum / tokens, agreement: same / tokens, device: `${kind}: ${description}` }
}

async function readAll(handle: FileHandle, into: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await handle.read(into, done, into.length - done, at + done)
    if (bytesRead === 0)
      throw new WeftError("cli/file", "the logits that were put aside are gone", {
        hint: "leave temporary files alone",
      })
    done += bytesRead
  }
}

/** What is read, in pieces that each begin a text. */
function piecesOf({ facts, tokenizer }: Opened, given: string | undefined, builtIn: string, most: number) {
  if (given !== undefined && tokenizer === undefined)
    throw new WeftError("tokenizer/missing", "the checkpoint has no tokenizer, so no text can be read", {
      hint: "leave --text out: both models read ids that are drawn then",
    })
  const kind: Divergence["text"] = tokenizer === undefined ? "random ids" : given === undefined ? "built in" : "given"
  const ids = tokenizer?.encode(given ?? builtIn) ?? randomIds(facts.vocabulary, most)
  const used = [...ids].slice(0, most)
  const size = Math.min(window, facts.context)
  const pieces = Array.from({ length: Math.ceil(used.length / size) }, (_, i) => used.slice(i * size, (i + 1) * size))
  return { pieces, kind, count: used.length }
}

function randomIds(vocabulary: number, count: number): readonly number[] {
  let state = 1
  return Array.from({ length: Math.min(count, window) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * vocabulary)
  })
}

/** Kullback-Leibler divergence in nats of the chances by the logits `q` from those by `p`. */
export function klOf(p: ArrayLike<number>, q: ArrayLike<number>): number {
  const [a, b] = [logSum(p), logSum(q)]
  let sum = 0
  for (let i = 0; i < p.length; i++) {
    const log = p[i]! - a
    sum += Math.exp(log) * (log - (q[i]! - b))
  }
  return Math.max(0, sum)
}

function logSum(logits: ArrayLike<number>): number {
  let largest = Number.NEGATIVE_INFINITY
  for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - largest)
  return largest + Math.log(sum)
}

function likeliest(logits: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}
