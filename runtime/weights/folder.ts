/**
 * A checkpoint folder as the Hugging Face Hub lays it out. Node only.
 *
 *     config.json                       required
 *     generation_config.json            optional
 *     model.safetensors                 the weights, or
 *     model.safetensors.index.json      the map of the weights, with the files that it names beside it
 *     tokenizer.json …                  optional, read on demand
 *
 * Weights are never read here, only headers.
 */

import { join } from "node:path"
import { printable, WeftError } from "../errors.js"
import { assembleCheckpoint, type Checkpoint, textFiles } from "./checkpoint.js"
import { type Folder, openFile, openFolder } from "./file-source.js"
import { openGgufFile } from "./gguf/file.js"
import { parseConfig } from "./json.js"
import { readHeader, type SafetensorsHeader } from "./safetensors.js"
import { collectTensors, parseIndex, type WeightMap } from "./shards.js"
import type { ByteSource } from "./source.js"

const singleFile = "model.safetensors"
const indexFile = "model.safetensors.index.json"
const maxConfigBytes = 10_000_000
const maxIndexBytes = 100_000_000

/**
 * Opens a checkpoint: of a folder its configs and the headers of its weights, and checks that they agree; or a GGUF file.
 *
 * @param path a folder, or a file whose name ends in `.gguf`
 * @throws WeftError `checkpoint/missing`, `checkpoint/json`, `checkpoint/too-large`, `checkpoint/link`, `checkpoint/unreadable`,
 * `checkpoint/index`, `checkpoint/duplicate`, and what `readHeader` or `openGguf` throws
 */
export const openCheckpoint = (path: string): Promise<Checkpoint> =>
  /\.gguf$/i.test(path) ? openGgufFile(path) : openCheckpointFolder(path)

async function openCheckpointFolder(directory: string): Promise<Checkpoint> {
  const folder = await openFolder(directory)
  const config = await readObject(folder, "config.json")
  if (config === undefined) {
    throw missing(folder, "no config.json", "give the folder of a whole checkpoint, as the Hub lays it out")
  }
  const generationConfig = await readObject(folder, "generation_config.json")
  const { sources, index } = await openWeights(folder)
  try {
    const headers = new Map<string, SafetensorsHeader>()
    for (const [file, source] of sources) headers.set(file, await readHeader(source))
    return assembleCheckpoint({
      folder: directory,
      config,
      generationConfig,
      tensors: collectTensors(directory, headers, index),
      sources,
      readText: (name) => readText(folder, name, textFiles[name]),
    })
  } catch (error) {
    await closeAll(sources)
    throw error
  }
}

interface Weights {
  readonly sources: ReadonlyMap<string, ByteSource>
  readonly index?: WeightMap
}

/** `model.safetensors` wins where both are present, as in transformers. */
async function openWeights(folder: Folder): Promise<Weights> {
  const single = await openFile(folder, singleFile)
  if (single) return { sources: new Map([[singleFile, single]]) }
  const text = await readText(folder, indexFile, maxIndexBytes)
  if (text === undefined) {
    const hint = "Weft reads safetensors only; convert other formats with transformers' save_pretrained"
    throw missing(folder, `neither ${singleFile} nor ${indexFile}`, hint)
  }
  const index = parseIndex(join(folder.shown, indexFile), text)
  const sources = new Map<string, ByteSource>()
  try {
    for (const file of new Set(index.values())) {
      const source = await openFile(folder, file)
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

function missing(folder: Folder, what: string, hint: string): WeftError {
  return new WeftError("checkpoint/missing", `${printable(folder.shown)}: there is ${what}`, { hint })
}

/** A UTF-8 file of at most `limit` bytes, or `undefined` when there is none. */
async function readText(folder: Folder, name: string, limit: number): Promise<string | undefined> {
  const source = await openFile(folder, name)
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
async function readObject(folder: Folder, name: string): Promise<Record<string, unknown> | undefined> {
  const text = await readText(folder, name, maxConfigBytes)
  if (text === undefined) return undefined
  const shown = printable(join(folder.shown, name))
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
