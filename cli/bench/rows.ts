/**
 * The rows of a bench: what users do, each as runs of `model.generate`.
 *
 *     reading 4,096         the prompt alone, up to its first token
 *     greedy at 1,024       tokens after a prompt of so many, the likeliest each time
 *     sampled at 1,024      the same, drawn
 *
 * Lengths are those of the table that the model's context has room for; where it has none for the second, the longest that fits takes its place.
 */

import type { GenerateResult } from "../../runtime/generate/generation.js"
import type { GenerateOptions } from "../../runtime/generate/options.js"
import type { LoadedModel } from "../node.js"

/** Tokens of the prompts that are read, and those before what is generated. */
const readings = [512, 4096]
const contexts = [0, 1024, 4096, 8192]
const generatedTokens = 128
/** Seconds after which a row has been run often enough, once at least. */
const enoughSeconds = 90

export interface Row {
  readonly kind: "reading" | "greedy" | "sampled"
  /** Tokens before those that are measured. */
  readonly context: number
  /** Tokens that are measured. */
  readonly tokens: number
  /** Tokens per second. */
  readonly median: number
  readonly least: number
  readonly most: number
  readonly runs: number
  /** Launches for each token; of the whole prompt when reading. */
  readonly kernels: number
}

export interface RowOptions {
  readonly repetitions: number
  /** How tokens of the sampled rows are drawn. */
  readonly sampling: GenerateOptions
  readonly show: (text: string) => void
}

/** The longest of `lengths` that fit, and `spare` as the second where that does not. */
function fitting(lengths: readonly number[], room: number, spare: number): readonly number[] {
  const found = lengths.filter((n) => n <= room)
  const next = found.length < 2 && spare > Math.max(1, found[0] ?? 0) && spare <= room ? [spare] : []
  return [...found, ...next]
}

export async function measureRows(model: LoadedModel, options: RowOptions): Promise<readonly Row[]> {
  const { context, vocabulary } = model.facts
  const prompt = Array.from({ length: Math.min(context, 8192) }, (_, i) => (i * 7919 + 13) % vocabulary)
  const generated = Math.min(generatedTokens, context - 2)
  const lengths = fitting(contexts, context - generated - 1, context - generated - 1)
  const kinds = [
    ["greedy", { temperature: 0 }],
    ["sampled", options.sampling],
  ] as const
  const rows: Row[] = []
  for (const tokens of fitting(readings, context - 1, context - 1))
    rows.push(await readingRow(model, prompt.slice(0, tokens), options))
  for (const before of lengths)
    for (const [kind, given] of kinds)
      rows.push(await generatingRow(model, kind, prompt.slice(0, Math.max(1, before)), generated, given, options))
  return rows
}

async function readingRow(model: LoadedModel, prompt: readonly number[], options: RowOptions): Promise<Row> {
  const { counters } = model.session.device
  let kernels = 0
  const speeds = await repeat(`reading ${prompt.length}`, options, async () => {
    const before = counters.commands
    const { timings } = await model.generate(prompt, { maxTokens: 1, temperature: 0 })
    kernels = counters.commands - before
    return (1000 * prompt.length) / timings.prefillMs
  })
  return { kind: "reading", context: 0, tokens: prompt.length, ...speeds, kernels }
}

async function generatingRow(
  model: LoadedModel,
  kind: "greedy" | "sampled",
  prompt: readonly number[],
  tokens: number,
  given: GenerateOptions,
  options: RowOptions,
): Promise<Row> {
  let kernels = 0
  const speeds = await repeat(`${kind} at ${prompt.length}`, options, async (run) => {
    const result: GenerateResult = await model.generate(prompt, {
      ...given,
      maxTokens: tokens + 1,
      ignoreEos: true,
      seed: run,
    })
    kernels = result.timings.commandsPerToken
    return (1000 * tokens) / result.timings.decodeMs
  })
  return { kind, context: prompt.length === 1 ? 0 : prompt.length, tokens, ...speeds, kernels }
}

/** Runs what gives a speed, once more than is counted to warm up, unless one run takes so long that there is no time for it. */
async function repeat(name: string, { repetitions, show }: RowOptions, run: (n: number) => Promise<number>) {
  const started = performance.now()
  const speeds: number[] = []
  const enough = () => performance.now() - started > 1000 * enoughSeconds
  for (let i = 0; i <= repetitions && !(speeds.length > 0 && enough()); i++) {
    show(`${name}: run ${i} of ${repetitions}`)
    const speed = await run(i)
    if (i > 0 || enough()) speeds.push(speed)
  }
  speeds.sort((a, b) => a - b)
  return { median: speeds[speeds.length >> 1]!, least: speeds[0]!, most: speeds.at(-1)!, runs: speeds.length }
}
