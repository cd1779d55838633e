/**
 * Which GGUF files of a repository are meant: one model, which may be cut into several files.
 *
 *     Qwen/Qwen3-0.6B-GGUF:Q8_0                     the one with Q8_0 in its name
 *     Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf     the file, or the model of which it is a part
 *     org/name                                      the only one, where there are no safetensors
 */
import { basename } from "node:path/posix"
import { printable, WeftError } from "../../runtime/errors.js"
import { partNames } from "../../runtime/weights/gguf/parts.js"
import type { Repository } from "./repository.js"

/** Whether a file is a model's: projectors of images and statistics of quantizing are not. */
export const isModelFile = (path: string): boolean => /\.gguf$/i.test(path) && !/^mmproj|imatrix/i.test(basename(path))

/** The files of a model, by any of them. */
export const partsOf = (path: string): readonly string[] =>
  partNames(basename(path))?.map((name) => path.slice(0, path.length - basename(path).length) + name) ?? [path]

/** Whether a model's file is the one that is asked for. */
function isMeant(path: string, { file, label }: Repository): boolean {
  if (file !== undefined) return partsOf(path).includes(file)
  if (label === undefined) return true
  const escaped = label.replace(/[^A-Za-z0-9_]/g, "\\$&")
  return new RegExp(`(^|[-._/])${escaped}(?=[-./])`, "i").test(path)
}

/** The models of which the files are, each by the first of its files, that may be meant. */
export const modelsIn = (files: readonly string[], repository: Repository): readonly string[] => [
  ...new Set(files.filter((path) => isModelFile(path) && isMeant(path, repository)).map((path) => partsOf(path)[0]!)),
]

/**
 * The files of the model that is meant.
 *
 * @throws WeftError `hub/files` when there is none, or several
 */
export function chosenFiles(files: readonly string[], repository: Repository): readonly string[] {
  const { name, file, label } = repository
  const models = modelsIn(files, repository)
  const [model] = models
  if (model !== undefined && models.length === 1) {
    const parts = partsOf(model)
    const missing = parts.find((part) => !files.includes(part))
    if (missing === undefined) return parts
    throw new WeftError("hub/files", `${printable(name)} has no ${printable(missing)}, a part of the model`, {
      hint: "the upload is incomplete; look for another repository",
    })
  }
  const asked = file ?? label
  const all = modelsIn(files, { name, revision: repository.revision })
  const shown = (models.length === 0 ? all : models).slice(0, 20).map((path) => `${name}/${path}`)
  const what =
    models.length === 0
      ? `no GGUF file${asked === undefined ? "" : ` of ${printable(asked)}`}`
      : `${models.length} GGUF files that may be meant`
  throw new WeftError("hub/files", `${printable(name)} has ${what}`, {
    hint:
      shown.length === 0
        ? "look for a repository with GGUF files or safetensors"
        : `name one of ${shown.map(printable).join(", ")}`,
  })
}
