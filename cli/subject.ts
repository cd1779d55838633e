/**
 * What `compile` and `explain` are given: a file, and the config or the checkpoint that goes with it.
 *
 *     models/qwen3.ts --config qwen3-0.6b.json       the file and its config; weights are taken to be bf16, or in a format (--weights q4_k)
 *     --checkpoint models/tales                      the family's file, the checkpoint's config and formats
 *     examples/mandelbrot.ts                         a program, which has no config
 */
import { readFile } from "node:fs/promises"
import { basename, resolve } from "node:path"
import type { CompileModelOptions } from "../compiler/internal.js"
import { printable, WeftError } from "../runtime/errors.js"
import { openCheckpoint } from "../runtime/weights/folder.js"
import type { Format } from "../runtime/weights/formats/format.js"
import { type Arguments, UsageError } from "./arguments.js"
import { familyFile, weightsOf } from "./artifact.js"
import { checkpointFolder } from "./hub/pull.js"

export interface Subject {
  readonly file: string
  readonly config: Readonly<Record<string, unknown>>
  /** For people: the name of the config or the checkpoint. */
  readonly name: string | undefined
  readonly tensors?: CompileModelOptions["tensors"]
}

/** @throws UsageError, and WeftError when a file cannot be read */
export async function subjectOf(values: Arguments, words: readonly string[], command: string): Promise<Subject> {
  const [file] = words
  if (words.length > 1) throw new UsageError(`one model file is expected, not ${words.length}`)
  if (values.config !== undefined && values.checkpoint !== undefined)
    throw new UsageError("give --config or --checkpoint, not both")
  if (values.weights !== undefined && values.config === undefined)
    throw new UsageError("--weights goes with --config: a checkpoint says itself how it is stored")
  if (values.checkpoint !== undefined) {
    const checkpoint = await openCheckpoint(await checkpointFolder(values.checkpoint))
    await checkpoint.close()
    const { config } = checkpoint
    const tensors: Subject["tensors"] = (expected, names) => weightsOf(checkpoint, expected, names)
    return { file: file ?? familyFile(checkpoint), config, name: basename(resolve(values.checkpoint)), tensors }
  }
  if (file === undefined)
    throw new UsageError(`a model file is missing, such as weft ${command} models/qwen3.ts --config config.json`)
  if (values.config === undefined) return { file, config: {}, name: undefined }
  const config = await readObject(values.config)
  return { file, config, name: basename(values.config).replace(/\.json$/, ""), tensors: weightsIn(values.weights) }
}

/** Weights without a checkpoint are bf16, whatever they are called, or matrices in a format where their rows are whole blocks of it. */
export const weightsIn =
  (format?: Format): NonNullable<CompileModelOptions["tensors"]> =>
  (expected) => {
    const isInFormat = (shape: readonly number[]) => format && shape.length > 1 && shape.at(-1)! % format.block === 0
    return new Map(expected.map(({ name, shape }) => [name, { dtype: isInFormat(shape) ? format!.name : "BF16" }]))
  }

/** Tells who compiled a model as if it were a program what is missing. */
export function missingConfig({ file, name }: Subject, cause: unknown): unknown {
  if (name !== undefined || !(cause instanceof WeftError) || cause.code !== "compile/config") return cause
  return new WeftError("cli/config", `${file} is a model and needs a config`, {
    hint: "give --config FILE.json, or --checkpoint DIR",
    cause,
  })
}

/** The object in a JSON file. */
export async function readObject(path: string): Promise<Readonly<Record<string, unknown>>> {
  const refuse = (why: string): never => {
    throw new WeftError("cli/file", `${printable(path)} ${why}`)
  }
  const text = await readFile(path, "utf8").catch((cause: Error) => refuse(`cannot be read: ${cause.message}`))
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    // What Node quotes of the file may have several lines.
    refuse(`is not JSON: ${String(cause instanceof Error ? cause.message : cause).replace(/\s+/g, " ")}`)
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("is not a JSON object")
  return value as Record<string, unknown>
}
