/**
 * weft quantize: a checkpoint in fewer bits as a GGUF file, with what that costs.
 *
 *     weft quantize models/tales --to q8_0 --out tales.gguf
 */
import { readFile } from "node:fs/promises"
import { basename, resolve } from "node:path"
import { thrownText, WeftError } from "../../runtime/errors.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { parse, UsageError } from "../arguments.js"
import { familyFile } from "../artifact.js"
import { flagsOf } from "../commands.js"
import { deviceNames } from "../device.js"
import { checkpointFolder } from "../hub/pull.js"
import { repositoryOf } from "../hub/repository.js"
import { load } from "../node.js"
import { createProgress, loadReporter, say, showDownload, write } from "../output.js"
import { type Divergence, divergenceOf } from "./divergence.js"
import { planOf } from "./plan.js"
import { type Report, reportText } from "./report.js"
import { targets } from "./targets.js"
import { builtInText } from "./texts.js"
import { writeGguf } from "./write.js"

const usualTokens = 1024

type Values = ReturnType<typeof parse>["values"]

/** Returns the exit code: 130 after an interrupt, which leaves nothing behind. */
export async function quantize(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("quantize"))
  const [source] = words
  const { to, out } = values
  if (source === undefined || words.length > 1)
    throw new UsageError("one checkpoint is expected, such as weft quantize DIR --to q8_0 --out FILE.gguf")
  if (to === undefined) throw new UsageError(`--to is missing: ${targets.join(", ")}`)
  if (out === undefined) throw new UsageError("--out is missing, such as --out model.gguf")
  if (!/\.gguf$/i.test(out))
    throw new UsageError(`--out takes a file whose name ends in .gguf, not ${JSON.stringify(out)}`)
  if (values["max-tokens"] === 0) throw new UsageError("--max-tokens takes 1 or more")
  const text = values.text === undefined ? undefined : await textOf(values.text)
  const progress = createProgress()
  try {
    const folder = await checkpointFolder(source, { onProgress: showDownload(progress) })
    if (resolve(folder) === resolve(out)) throw new UsageError("--out names the file that is read")
    // The folder of a model of the Hub is named by its revision.
    const name = basename(repositoryOf(source)?.name ?? resolve(folder)).replace(/\.gguf$/i, "")
    return await interruptible(async (signal) => {
      const written = await writeFrom(folder, name, { to, out, signal, progress })
      progress.done()
      const compared = await compare(folder, out, text, values, progress, signal)
      const report: Report = { ...written, divergence: "divergence" in compared ? compared.divergence : undefined }
      await write(values.json === true ? `${JSON.stringify(report)}\n` : reportText(report))
      if (!("failed" in compared)) return 0
      say(`weft: ${out} is written, but could not be compared: ${compared.failed.message}`)
      return 1
    })
  } finally {
    progress.done()
  }
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const
class Interrupted extends Error {}

/** Runs what an interrupt ends in order, with 130 for an exit code; a second one ends the process where it is. */
async function interruptible(run: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const interrupt = new AbortController()
  const stop = () => interrupt.abort(new Interrupted())
  for (const signal of signals) process.once(signal, stop)
  try {
    return await run(interrupt.signal)
  } catch (error) {
    if (error instanceof Interrupted) return 130
    throw error
  } finally {
    for (const signal of signals) process.off(signal, stop)
  }
}

type Progress = ReturnType<typeof createProgress>

interface Writing {
  readonly to: NonNullable<Values["to"]>
  readonly out: string
  readonly signal: AbortSignal
  readonly progress: Progress
}

async function writeFrom(
  folder: string,
  from: string,
  { to, out, signal, progress }: Writing,
): Promise<Omit<Report, "divergence">> {
  const checkpoint = await openCheckpoint(folder)
  try {
    const { describeFile } = await import("../../compiler/internal.js")
    const described = await describeFile(familyFile(checkpoint), checkpoint.config)
    const plan = await planOf(checkpoint, described, { to, name: from }, (message) => say(`weft: ${message}`))
    const started = performance.now()
    const { tensors, bytes } = await writeGguf(out, checkpoint, plan, {
      signal,
      onProgress: ({ tensor, done, total }) => {
        const left = ((performance.now() - started) / done) * (total - done)
        progress.show(`${Math.floor((100 * done) / total)} % ${tensor}, ${(left / 1e3).toFixed(0)} s left`)
      },
    })
    const before = sum(
      plan.tensors.flatMap(({ parts }) => parts),
      "byteLength",
    )
    const fallbacks = plan.tensors.filter(({ type, wanted }) => type !== wanted)
    return {
      from,
      file: out,
      to,
      bytes,
      bytesBefore: before,
      bitsPerWeight: (8 * sum(tensors, "bytes")) / sum(tensors, "weights"),
      seconds: (performance.now() - started) / 1e3,
      tensors,
      fallbacks: fallbacks.map(({ name, type, wanted, shape }) => ({ name, type, wanted, columns: shape.at(-1)! })),
    }
  } finally {
    await checkpoint.close()
  }
}

const sum = <K extends string>(items: readonly Readonly<Record<K, number>>[], field: K): number =>
  items.reduce((n, item) => n + item[field], 0)

/** The models one after the other; a failure is told beside what was written. */
async function compare(
  folder: string,
  out: string,
  text: string | undefined,
  values: Values,
  progress: Progress,
  signal: AbortSignal,
): Promise<{ readonly divergence: Divergence | undefined } | { readonly failed: Error }> {
  if (values["no-compare"] === true) return { divergence: undefined }
  const { device, threads, "experimental-gpu": experimentalGpu } = values
  const quiet: ReturnType<typeof loadReporter> = (step) => {
    if (step.stage !== "device") loadReporter(progress)(step)
  }
  const open = (source: string, onProgress: typeof quiet) => () =>
    load(source, {
      device: deviceNames.find((name) => name === device),
      threads,
      experimentalGpu,
      // What else is rounded is no matter of the weights.
      precision: "exact",
      onProgress,
    })
  try {
    const maxTokens = values["max-tokens"] ?? usualTokens
    const onProgress = (done: number, total: number) => progress.show(`comparing ${Math.floor((100 * done) / total)} %`)
    const compared = { text, maxTokens, signal, onProgress }
    return {
      divergence: await divergenceOf(open(folder, loadReporter(progress)), open(out, quiet), compared, builtInText),
    }
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    return { failed: error }
  }
}

async function textOf(path: string): Promise<string> {
  const refuse = (why: string): never => {
    throw new WeftError("cli/file", `${JSON.stringify(path)} ${why}`)
  }
  const bytes = await readFile(path).catch((cause: unknown) => refuse(`cannot be read: ${thrownText(cause)}`))
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    return text === "" ? refuse("is empty") : text
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    return refuse("is no text in UTF-8")
  }
}
