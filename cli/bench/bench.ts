/**
 * weft bench: how fast a model is at what users do, and how far that is from what the device can read.
 *
 *     reading 512           14,204 tok/s   (14,180 … 14,219 in 5 runs)
 *     greedy at 1,024          204 tok/s   (203 … 204 in 5 runs)   254 kernels, 1.31 GB a token: 61.2 % of the ceiling
 */
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { type Arguments, parse, UsageError } from "../arguments.js"
import { flagsOf } from "../commands.js"
import { checkpointFolder } from "../hub/pull.js"
import { openModel } from "../model.js"
import type { LoadedModel } from "../node.js"
import { createProgress, write } from "../output.js"
import { shippedCheckpoint } from "../package.js"
import { readObject } from "../subject.js"
import { readCeiling } from "./ceiling.js"
import { chosenMembers, chosenText } from "./chosen.js"
import { type FirstToken, firstToken, measureFirstToken } from "./first-token.js"
import { launchBytes } from "./launch-bytes.js"
import { checkProfile, type Profile, profileStep, profileText } from "./profile.js"
import { openRandom } from "./random-model.js"
import { measureRows, type Row } from "./rows.js"
import { stateBytesPerToken, weightBytes, weightBytesPerToken } from "./traffic.js"

/** How tokens are drawn where nothing else is said. */
const usual = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0 }

export async function bench(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("bench"))
  if (words.length > 0) throw new UsageError(`bench takes no prompt, but ${JSON.stringify(words[0])} stands there`)
  const repetitions = values.repetitions ?? 5
  if (repetitions < 5 || repetitions > 1000) throw new UsageError("--repetitions takes a whole number from 5 to 1000")
  if ((values.config === undefined) !== (values["random-weights"] === undefined))
    throw new UsageError("--config and --random-weights go together: the weights of a config alone are random")
  if (values.weights !== undefined && values.config === undefined)
    throw new UsageError("--weights says how random weights are stored: it goes with --config and --random-weights")
  if (values.config !== undefined && values.model !== undefined)
    throw new UsageError("give --model or --config, not both")
  if (values["first-token"] === true) {
    const model = await open(values)
    try {
      await write(`${await firstToken(model)}\n`)
      return 0
    } finally {
      model.dispose()
    }
  }
  // Compiling is part of what is measured, so nothing is taken from the cache.
  const model = await open({ ...values, "no-cache": true })
  const measured = async () => {
    if (values.profile === true) checkProfile(model.session)
    return measure(model, values, repetitions)
  }
  const found = await measured().finally(() => model.dispose())
  const all = { ...found, firstToken: await measureFirstToken(args) }
  await write(values.json === true ? `${JSON.stringify(all)}\n` : table(all))
  return 0
}

const open = (values: Arguments): Promise<LoadedModel> =>
  values.config === undefined ? openModel(values) : openRandom(values.config, values)

async function measure(model: LoadedModel, values: Arguments, repetitions: number) {
  const folder = values.model ?? shippedCheckpoint
  const { artifact, device, timings } = model.session
  const progress = createProgress()
  const { temperature, topK, topP, minP } = usual
  const sampling = {
    temperature: values.temperature ?? temperature,
    topK: values["top-k"] ?? topK,
    topP: values["top-p"] ?? topP,
    minP: values["min-p"] ?? minP,
  }
  const measured = await measureRows(model, { repetitions, sampling, show: progress.show })
  progress.show("read ceiling")
  const ceiling = await readCeiling(device)
  progress.done()
  const weights = weightBytesPerToken(artifact, await activeMembers(values, folder))
  const chosen = values.config === undefined ? undefined : await chosenMembers(model.session)
  const profile = values.profile === true ? await profileOf(model, values, folder, ceiling) : undefined
  const rows = measured.map((row) => {
    const bytes =
      row.kind === "reading" ? undefined : weights + stateBytesPerToken(artifact, row.context + row.tokens / 2)
    return { ...row, ...(bytes === undefined ? {} : { bytes, shareOfReadCeiling: (bytes * row.median) / ceiling }) }
  })
  const [prefill, decode] = [rows[0]!, rows.find((row) => row.kind === "greedy")!]
  return {
    model: values.config ?? folder,
    family: model.facts.family,
    randomWeights: values.config !== undefined,
    precision: artifact.precision,
    device: device.kind,
    deviceDescription: device.description,
    date: new Date().toISOString().slice(0, 10),
    repetitions,
    sampling,
    rows,
    prefill,
    decode,
    compileMs: model.loading.artifactMs,
    loadMs: timings.upload,
    loadBytesPerSecond: (1000 * weightBytes(artifact)) / timings.upload,
    kernelsMs: timings.compile,
    kernelsPerToken: decode.kernels,
    weightBytes: weightBytes(artifact),
    deviceBytes: device.counters.allocatedBytes,
    /** The most that this process held at a time. */
    hostBytes: 1024 * process.resourceUsage().maxRSS,
    weightBytesPerToken: weights,
    readCeilingBytesPerSecond: ceiling,
    shareOfReadCeiling: decode.shareOfReadCeiling!,
    ...(chosen && { chosen }),
    ...(profile && { profile }),
  }
}

/** Tokens before the step whose launches are timed, where the context has room for them. */
const profiledPast = 1024

async function profileOf(
  { session, facts }: LoadedModel,
  values: Arguments,
  folder: string,
  ceiling: number,
): Promise<Profile> {
  const past = Math.min(profiledPast, facts.context - 1)
  const bytes = await launchBytes(session, values, folder, { entries: ["step", "greedy"], past })
  return profileStep(session, { past, bytes, ceiling })
}

/** Members of a stack that one token uses, as configs of mixtures of experts call it; all when the config does not say. */
async function activeMembers(values: Arguments, folder: string): Promise<number> {
  const active = (await configOf(values, folder)).num_experts_per_tok
  return typeof active === "number" ? active : Number.POSITIVE_INFINITY
}

async function configOf(values: Arguments, folder: string): Promise<Readonly<Record<string, unknown>>> {
  if (values.config !== undefined) return readObject(values.config)
  const checkpoint = await openCheckpoint(await checkpointFolder(folder))
  await checkpoint.close()
  return checkpoint.config
}

type Found = Awaited<ReturnType<typeof measure>>

function table(found: Found & { readonly firstToken: FirstToken }): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`
  const megabytes = (bytes: number) => `${digits(bytes / 1e6)} MB`
  const share = (row: Found["rows"][number]) =>
    row.bytes === undefined
      ? ""
      : `   ${row.kernels} kernels, ${megabytes(row.bytes)} a token: ${(100 * row.shareOfReadCeiling!).toFixed(1)} % of the ceiling`
  const speed = (row: Found["rows"][number]) =>
    `${digits(row.median).padStart(7)} tok/s   (${digits(row.least)} … ${digits(row.most)} in ${row.runs} ${row.runs === 1 ? "run" : "runs"})${share(row)}`
  const { temperature, topK, topP, minP } = found.sampling
  const weights = found.randomWeights ? ", random weights" : ""
  const lines = [
    ["model", `${found.model} (${found.family}, precision ${found.precision}${weights})`],
    ["device", found.deviceDescription],
    ...found.rows.map((row) => [nameOf(row), speed(row)] as const),
    ...(found.chosen === undefined ? [] : [["chosen rows", chosenText(found.chosen)] as const]),
    ["drawn", `temperature ${temperature}, top-k ${topK}, top-p ${topP}${minP === 0 ? "" : `, min-p ${minP}`}`],
    [
      "first token",
      `${seconds(found.firstToken.coldMs)} from the start of the process, ${seconds(found.firstToken.warmMs)} when compiled before`,
    ],
    [
      "compile",
      `${seconds(found.compileMs)} from the model's file to kernels, ${seconds(found.kernelsMs)} on the device`,
    ],
    [
      "load",
      `${seconds(found.loadMs)} for ${megabytes(found.weightBytes)} of weights: ${rate(found.loadBytesPerSecond)}`,
    ],
    ["memory", `${megabytes(found.deviceBytes)} on the device, ${megabytes(found.hostBytes)} at most in this process`],
    ["ceiling", `${rate(found.readCeilingBytesPerSecond)} read by a kernel that does nothing else`],
  ] as const
  const profile = found.profile === undefined ? "" : `\n${profileText(found.profile)}`
  return lines.map(([name, text]) => `${name.padEnd(18)}${text}\n`).join("") + profile
}

const rate = (bytesPerSecond: number) =>
  bytesPerSecond < 1e9 ? `${digits(bytesPerSecond / 1e6)} MB/s` : `${digits(bytesPerSecond / 1e9)} GB/s`

const nameOf = ({ kind, context, tokens }: Row) =>
  kind === "reading" ? `reading ${digits(tokens)}` : `${kind} at ${digits(context)}`

const digits = (value: number) =>
  value < 100 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")
