/**
 * A checkpoint folder as the Hugging Face Hub lays it out, wherever its files are: on a disk, behind a URL, picked in a page.
 *
 *     config.json                       required
 *     generation_config.json            optional
 *     model.safetensors                 the weights, or
 *     model.safetensors.index.json      the map of the weights, with the files that it names beside it
 *     quantize_config.json              how the weights were quantized, where config.json does not say it
 *     tokenizer.json …                  optional, read on demand
 *
 * Weights are never read here, only headers, and of quantized ones which columns are in which group.
 */

import { printable, WeftError } from "../errors.js"
import { assembleCheckpoint, type Checkpoint, type StoredTensor, textFiles } from "./checkpoint.js"
import { parseConfig } from "./json.js"
import { quantizedCheckpoint } from "./quantized/quantized.js"
import { readHeader, type SafetensorsHeader } from "./safetensors.js"
import { collectTensors, parseIndex, type WeightMap } from "./shards.js"
import type { ByteSource } from "./source.js"

export interface Files {
  /** What messages call the folder, and a file in it. */
  readonly shown: string
  shownFile(name: string): string
  /** Opens a file, or returns `undefined` when there is none. */
  open(name: string): Promise<ByteSource | undefined>
  /** The names of files in it, where they are known. */
  list?(): Promise<readonly string[]>
}

const singleFile = "model.safetensors"
const indexFile = "model.safetensors.index.json"
const gptqFile = "quantize_config.json"
const maxConfigBytes = 10_000_000
const maxIndexBytes = 100_000_000

/**
 * Opens a checkpoint: its configs and the headers of its weights, and checks that they agree.
 *
 * @throws WeftError `checkpoint/missing`, `checkpoint/json`, `checkpoint/too-large`, `checkpoint/index`, `checkpoint/duplicate`,
 * `checkpoint/quantization`, and what `readHeader` or opening and reading the files throws
 */
export async function openFiles(folder: Files): Promise<Checkpoint> {
  const config = await readObject(folder, "config.json")
  if (config === undefined) {
    const files = ((await folder.list?.()) ?? []).filter((name) => /\.gguf$/i.test(name)).slice(0, 5)
    const whole = "give the folder of a whole checkpoint, as the Hub lays it out"
    const named = files.map((name) => printable(folder.shownFile(name))).join(", ")
    throw missing(folder, "no config.json", files.length > 0 ? `name the file itself: ${named}` : whole)
  }
  const generationConfig = await readObject(folder, "generation_config.json")
  const { sources, index } = await openWeights(folder)
  try {
    const headers = new Map<string, SafetensorsHeader>()
    for (const [file, source] of sources) headers.set(file, await readHeader(source))
    const tensors = collectTensors(folder.shown, headers, index)
    const stored = assembleCheckpoint({
      folder: folder.shown,
      config: await withQuantization(folder, config, tensors),
      generationConfig,
      tensors,
      sources,
      readText: (name) => readText(folder, name, textFiles[name]),
    })
    return await quantizedCheckpoint(stored)
  } catch (error) {
    await closeAll(sources)
    throw error
  }
}

/** The config with what AutoGPTQ wrote into a file of its own before it had a place in the config. */
async function withQuantization(
  folder: Files,
  config: Record<string, unknown>,
  tensors: ReadonlyMap<string, StoredTensor>,
): Promise<Record<string, unknown>> {
  if ("quantization_config" in config || ![...tensors.keys()].some((name) => name.endsWith(".qweight"))) return config
  const settings = await readObject(folder, gptqFile)
  return settings === undefined ? config : { ...config, quantization_config: { quant_method: "gptq", ...settings } }
}

interface Weights {
  readonly sources: ReadonlyMap<string, ByteSource>
  readonly index?: WeightMap
}

/** `model.safetensors` wins where both are present, as in transformers. */
async function openWeights(folder: Files): Promise<Weights> {
  const single = await folder.open(singleFile)
  if (single) return { sources: new Map([[singleFile, single]]) }
  const text = await readText(folder, indexFile, maxIndexBytes)
  if (text === undefined) {
    const hint = "Weft reads safetensors only; convert other formats with transformers' save_pretrained"
    throw missing(folder, `neither ${singleFile} nor ${indexFile}`, hint)
  }
  const index = parseIndex(folder.shownFile(indexFile), text)
  const sources = new Map<string, ByteSource>()
  try {
    for (const file of new Set(index.values())) {
      const source = await folder.open(file)
      if (source === undefined) {
        throw missing(folder, `no ${printable(file)}`, `${indexFile} names the file; the download may be incomplete`)
      }
      sources.set(file, source)
    }
    return { sources, index }
  } catch (error) {
    await closeAll(sources)
    throw error
  }
}

function closeAll(sources: ReadonlyMap<string, ByteSource>): Promise<unknown> {
  return Promise.all([...sources.values()].map((source) => source.close()))
}

function missing(folder: Files, what: string, hint: string): WeftError {
  return new WeftError("checkpoint/missing", `${printable(folder.shown)}: there is ${what}`, { hint })
}

/** A UTF-8 file of at most `limit` bytes, or `undefined` when there is none. */
async function readText(folder: Files, name: string, limit: number): Promise<string | undefined> {
  const source = await folder.open(name)
  if (source === undefined) return undefined
  const shown = printable(source.name)
  try {
    if (source.size > limit) {
      throw new WeftError("checkpoint/too-large", `${shown} has ${source.size} bytes, the limit is ${limit}`, {
        hint: "this is not the file that its name says; fetch it again",
      })
    }
    const bytes = await source.read(0, source.size)
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    } catch (cause) {
      throw new WeftError("checkpoint/json", `${shown} is not valid UTF-8`, { hint: "fetch the file again", cause })
    }
  } finally {
    await source.close()
  }
}

/** A JSON file that holds an object, or `undefined` when there is none. */
async function readObject(folder: Files, name: string): Promise<Record<string, unknown> | undefined> {
  const text = await readText(folder, name, maxConfigBytes)
  if (text === undefined) return undefined
  const shown = printable(folder.shownFile(name))
  let value: unknown
  try {
    value = parseConfig(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new WeftError("checkpoint/json", `${shown} is not valid JSON: ${printable(why)}`, {
      hint: "fetch the file again",
      cause,
    })
  }
  if (isRecord(value)) return value
  throw new WeftError("checkpoint/json", `${shown} does not hold a JSON object`, { hint: "fetch the file again" })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
