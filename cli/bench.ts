/**
 * weft bench: how fast a checkpoint is on a device, and how far that is from what the device can read.
 *
 *     prompt       pp512   1,204 tok/s   (1,180 … 1,219 in 5 runs)
 */
import { openCheckpoint } from "../runtime/weights/folder.js"
import { type Arguments, parse, UsageError } from "./arguments.js"
import { readCeiling } from "./ceiling.js"
import { flagsOf } from "./commands.js"
import { openModel } from "./model.js"
import type { LoadedModel } from "./node.js"
import { createProgress, write } from "./output.js"
import { shippedCheckpoint } from "./package.js"
import { weightBytesPerToken } from "./traffic.js"

const promptTokens = 512
const generatedTokens = 128

/** Tokens per second. */
interface Speed {
  readonly tokens: number
  readonly median: number
  readonly least: number
  readonly most: number
}

export async function bench(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("bench"))
  if (words.length > 0) throw new UsageError(`bench takes no prompt, but ${JSON.stringify(words[0])} stands there`)
  const repetitions = values.repetitions ?? 5
  if (repetitions < 5 || repetitions > 1000) throw new UsageError("--repetitions takes a whole number from 5 to 1000")
  // Compiling is part of what is measured, so nothing is taken from the cache.
  const model = await openModel({ ...values, "no-cache": true })
  try {
    const found = await measure(model, values, repetitions)
    await write(values.json === true ? `${JSON.stringify(found)}\n` : table(found))
    return 0
  } finally {
    model.dispose()
  }
}

async function measure(model: LoadedModel, values: Arguments, repetitions: number) {
  const folder = values.model ?? shippedCheckpoint
  const { artifact, device, timings } = model.session
  const progress = createProgress()
  const { context, vocabulary } = model.facts
  const temperature = values.temperature ?? 0
  const prompt = Array.from({ length: Math.min(promptTokens, context - 1) }, (_, i) => (i * 7919 + 13) % vocabulary)
  const generated = Math.min(generatedTokens, context - 2)

  let commandsPerToken = 0
  const runs = async (name: string, tokens: number, run: () => Promise<number>): Promise<Speed> => {
    const speeds: number[] = []
    for (let i = 0; i <= repetitions; i++) {
      progress.show(`${name}: run ${i} of ${repetitions}`)
      const speed = (1000 * tokens) / (await run())
      if (i > 0) speeds.push(speed) // The first one warms up.
    }
    progress.done()
    speeds.sort((a, b) => a - b)
    return { tokens, median: speeds[speeds.length >> 1]!, least: speeds[0]!, most: speeds.at(-1)! }
  }
  const prefill = await runs("prompt", prompt.length, async () => {
    const { timings } = await model.generate(prompt, { maxTokens: 1, temperature })
    return timings.prefillMs
  })
  const decode = await runs("generation", generated, async () => {
    const options = { maxTokens: generated + 1, temperature, ignoreEos: true }
    const { timings } = await model.generate(prompt.slice(0, 1), options)
    commandsPerToken = timings.commandsPerToken
    return timings.decodeMs
  })
  progress.show("read ceiling")
  const bytesPerSecond = await readCeiling(device)
  progress.done()
  const bytesPerToken = weightBytesPerToken(artifact, await activeMembers(folder))
  return {
    model: folder,
    family: model.facts.family,
    precision: artifact.precision,
    device: device.kind,
    deviceDescription: device.description,
    repetitions,
    temperature,
    prefill,
    decode,
    compileMs: model.loading.artifactMs,
    loadMs: timings.upload,
    kernelsMs: timings.compile,
    kernelsPerToken: commandsPerToken,
    weightBytesPerToken: bytesPerToken,
    readCeilingBytesPerSecond: bytesPerSecond,
    shareOfReadCeiling: (bytesPerToken * decode.median) / bytesPerSecond,
  }
}

/** Members of a stack that one token uses, as configs of mixtures of experts call it; all when the config does not say. */
async function activeMembers(folder: string): Promise<number> {
  const checkpoint = await openCheckpoint(folder)
  await checkpoint.close()
  const active = checkpoint.config.num_experts_per_tok
  return typeof active === "number" ? active : Number.POSITIVE_INFINITY
}

function table(found: Awaited<ReturnType<typeof measure>>): string {
  const speed = (name: string, { tokens, median, least, most }: Speed) =>
    `${`${name}${tokens}`.padEnd(7)} ${digits(median)} tok/s   (${digits(least)} … ${digits(most)} in ${found.repetitions} runs)`
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`
  const lines = [
    ["model", `${found.model} (${found.family}, precision ${found.precision})`],
    ["device", found.deviceDescription],
    ["prompt", speed("pp", found.prefill)],
    ["generation", speed("tg", found.decode)],
    [
      "compile",
      `${seconds(found.compileMs)} from the model's file to kernels, ${seconds(found.kernelsMs)} on the device`,
    ],
    ["load", `${seconds(found.loadMs)} for the weights`],
    ["kernels", `${found.kernelsPerToken} per token`],
    [
      "weights",
      `${(found.weightBytesPerToken / 1e6).toFixed(1)} MB read per token (estimated from the plan; active experts only)`,
    ],
    ["ceiling", `${(found.readCeilingBytesPerSecond / 1e9).toFixed(1)} GB/s read by a kernel that does nothing else`],
    ["share", `${(100 * found.shareOfReadCeiling).toFixed(1)} % of it by the weights of the generated tokens`],
  ] as const
  return lines.map(([name, text]) => `${name.padEnd(12)}${text}\n`).join("")
}

const digits = (value: number) => (value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US"))
