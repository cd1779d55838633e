/**
 * `weft/node`: a checkpoint's folder, a GGUF file or a name on the Hub in, a model that generates out; or a program's file in (`program.ts`).
 *
 *     const model = await load("Qwen/Qwen3-0.6B")
 *     for await (const part of model.generate("Once upon a time")) process.stdout.write(part.text)
 *     model.dispose()
 */
import { typed } from "../compiler/frontend/host.js"
import type { Artifact } from "../runtime/artifact.js"
import { checkArtifact } from "../runtime/artifact-check.js"
import { needTemplate } from "../runtime/chat/chat.js"
import { templateOf } from "../runtime/chat/template.js"
import { WeftError } from "../runtime/errors.js"
import { defaultsWarnings, tokenizerOf } from "../runtime/generate/checkpoint-options.js"
import { defaultsOf, endTokensOf } from "../runtime/generate/defaults.js"
import type { GenerativeModel } from "../runtime/generate/generator.js"
import { load as loadArtifact } from "../runtime/generate/load.js"
import { needTokenizer } from "../runtime/generate/prompt.js"
import { fromHost } from "../runtime/host.js"
import type { Tokenizer } from "../runtime/text/tokenizer.js"
import type { Checkpoint } from "../runtime/weights/checkpoint.js"
import { openCheckpoint } from "../runtime/weights/folder.js"
import { artifactWeights, checkTwins, weightReader } from "../runtime/weights/reader.js"
import { type ArtifactOptions, artifactFor, type FoundArtifact } from "./artifact.js"
import { chooseDevice, deviceForArtifact, deviceNameFor, precisionFor } from "./device.js"
import { checkpointFolder, type PullProgress } from "./hub/pull.js"
import { loadOptions, type NodeLoadOptions, sourcePath } from "./options.js"
import { tunedFor } from "./tuned.js"

export type { Precision } from "../runtime/artifact.js"
export type { ChatGeneration, ChatOptions, ChatPart, ChatResult } from "../runtime/chat/chat.js"
export type { ChatMessage } from "../runtime/chat/messages.js"
export { type CudaDevice, type CudaDeviceOptions, createCudaDevice } from "../runtime/devices/cuda/device.js"
export { type ErrorCode, type Span, WeftError } from "../runtime/errors.js"
export type { GeneratePart, GenerateResult, GenerateTimings, Generation } from "../runtime/generate/generation.js"
export type { GenerativeModel, Logits } from "../runtime/generate/generator.js"
export type { GenerateOptions } from "../runtime/generate/options.js"
export type { Prompt } from "../runtime/generate/prompt.js"
export type { NumberArray, Output, RunningProgram } from "../runtime/program.js"
export type { DeviceName } from "./device.js"
export type { LoadProgramOptions, LoadProgress, NodeLoadOptions } from "./options.js"
export { loadProgram } from "./program.js"

export interface LoadedModel extends GenerativeModel {
  /** Milliseconds: opening the checkpoint and the device, finding or compiling the artifact, and all of it. */
  readonly loading: { readonly artifactMs: number; readonly totalMs: number; readonly cached: boolean }
  /** Why this device. */
  readonly reason: string
}

/**
 * Opens a checkpoint, compiles its model (or takes the artifact from the cache), and puts it on a device.
 *
 * @param source the folder of a checkpoint or a `.gguf` file, as a path or a `file:` URL; a model of the Hugging Face Hub by its name
 * (`org/name`, `org/name@revision`, a GGUF file of it as `org/name:Q4_K_M` or `org/name/file.gguf`), which is fetched unless a snapshot of it is
 * there; or an artifact together with the option `checkpoint`
 * @throws WeftError `hub/…`, `checkpoint/…`, `tokenizer/…`, `chat/no-template`, `model/family`, `device/…`, `webgpu/…`, `artifact/…`, and what compiling throws
 */
export async function load(source: string | URL | Artifact, given: NodeLoadOptions = {}): Promise<LoadedModel> {
  const options = fromHost("load/option", "the options of load cannot be read", () => loadOptions(given))
  const path = fromHost("load/source", "what load is given cannot be read", () => sourcePath(source))
  return typed("load/unforeseen", () => loadNarrowed(path ?? (source as Artifact), options))
}

/** With weights in the range of f16 where that is of use, and as they are where one is not in it. */
async function loadNarrowed(source: string | Artifact, options: NodeLoadOptions): Promise<LoadedModel> {
  try {
    return await loadFrom(source, options, true)
  } catch (error) {
    if (!(error instanceof WeftError && error.code === "checkpoint/narrow")) throw error
    const message = `${error.reason}: weights stay in bf16, and subgroup matrices do not multiply them`
    options.onProgress?.({ stage: "warning", message })
    return loadFrom(source, options, false)
  }
}

async function loadFrom(source: string | Artifact, options: NodeLoadOptions, mayNarrow: boolean): Promise<LoadedModel> {
  const started = performance.now()
  const folder = typeof source === "string" ? source : options.checkpoint
  if (folder === undefined)
    throw new WeftError("checkpoint/missing", "an artifact holds no weights", {
      hint: "name the checkpoint's folder with the option 'checkpoint'",
    })
  const onProgress = (step: PullProgress) => options.onProgress?.({ stage: "download", ...step })
  const checkpoint = await openCheckpoint(await checkpointFolder(folder, { onProgress }))
  try {
    const given = typeof source === "string" ? undefined : checkArtifact(source)
    const name = deviceNameFor(given, options.device)
    // Before seconds of compiling, should they be broken.
    const defaults = defaultsOf(checkpoint.generationConfig)
    endTokensOf(checkpoint.generationConfig)
    const tokenizer = await neededTokenizer(checkpoint, options)
    const template = await templateOf(checkpoint)
    if (options.needs === "chat") needTemplate(template, tokenizer)
    const { threads, experimentalGpu } = options
    const accesses = options.accesses ?? (given ? "checked" : "proven")
    let chosen = await chooseDevice(name, threads, accesses, experimentalGpu)
    try {
      const { device: first, adapter } = chosen
      options.onProgress?.({ stage: "device", description: first.description, reason: chosen.reason })
      const warn = (message: string) => options.onProgress?.({ stage: "warning", message })
      if (chosen.warning !== undefined) warn(chosen.warning)
      defaultsWarnings(checkpoint.generationConfig).forEach(warn)
      const precision = options.precision ?? precisionFor(first)
      const tuned = given === undefined ? await tunedFor(first, options.tuned) : undefined
      const narrows = mayNarrow && given === undefined && precision === "fast" && adapter?.matrices !== undefined
      const compiledFor = { target: first.kind, adapter, precision, tuned, narrows }
      const found = await findArtifact(given, checkpoint, compiledFor, options)
      await checkTwins(checkpoint, found.artifact)
      chosen = await deviceForArtifact(chosen, found.artifact, { ...options, device: name })
      const { device, reason } = chosen
      const artifactMs = performance.now() - started
      const model = await loadArtifact(found.artifact, {
        device,
        weights: { read: weightReader(checkpoint, found.tensors, narrows) },
        tokenizer,
        template,
        memory: options.memory,
        defaults,
        endTokens: endTokensOf(checkpoint.generationConfig, found.artifact.model?.vocabulary),
        onProgress: (done, total) => options.onProgress?.({ stage: "weights", done, total }),
        onDispose: () => device.dispose(),
      })
      const totalMs = performance.now() - started
      return { ...model, reason, loading: { artifactMs, totalMs, cached: found.cached } }
    } catch (error) {
      chosen.device.dispose()
      throw error
    }
  } finally {
    await checkpoint.close()
  }
}

async function findArtifact(
  given: Artifact | undefined,
  checkpoint: Checkpoint,
  device: Pick<ArtifactOptions, "target" | "adapter" | "precision" | "tuned" | "narrows">,
  { chunk, context, precision, model, cache, onProgress }: NodeLoadOptions,
): Promise<FoundArtifact> {
  const onWarning = (message: string) => onProgress?.({ stage: "warning", message })
  if (given === undefined) {
    const onCompile = (file: string) => onProgress?.({ stage: "compile", model: file })
    return artifactFor(checkpoint, { ...device, chunk, context, model, cache, onCompile, onWarning })
  }
  if (context !== undefined && context !== given.model?.context)
    throw new WeftError("load/context", `the artifact is compiled for a context of ${given.model?.context}`, {
      hint: "leave the option 'context' out, or compile the model again with it",
    })
  if (chunk !== undefined && chunk !== given.model?.chunk)
    throw new WeftError("load/chunk", `the artifact is compiled for a chunk of ${given.model?.chunk}`, {
      hint: "leave the option 'chunk' out, or compile the model again with it",
    })
  if (model !== undefined)
    throw new WeftError("load/model", "the artifact is of a model that is compiled already", {
      hint: "leave the option 'model' out, or name the checkpoint's folder alone",
    })
  if (precision !== undefined && precision !== given.precision)
    throw new WeftError("load/precision", `the artifact is compiled with precision '${given.precision}'`, {
      hint: "leave the option 'precision' out, or compile the model again with it",
    })
  return { artifact: given, cached: true, tensors: artifactWeights(checkpoint, given, onWarning) }
}

/** Where text has to be read, there is a tokenizer of a kind that is supported, or an error. */
async function neededTokenizer(
  checkpoint: Checkpoint,
  { needs, onProgress }: NodeLoadOptions,
): Promise<Tokenizer | undefined> {
  const tokenizer = await tokenizerOf(checkpoint, (message, cause) => {
    if (needs !== undefined) throw cause
    onProgress?.({ stage: "warning", message })
  })
  return tokenizer ?? (needs === "text" ? needTokenizer(undefined) : undefined)
}
