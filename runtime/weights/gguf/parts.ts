/**
 * A model that is cut into several files, as llama.cpp's `gguf-split` does it.
 *
 *     big-00001-of-00003.gguf   metadata, maybe tensors      split.no 0, split.count 3, split.tensors.count 579
 *     big-00002-of-00003.gguf   tensors                      split.no 1, split.count 3
 */
import { printable, WeftError } from "../../errors.js"
import type { ByteSource } from "../source.js"
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./container.js"

/** More than any model is cut into. */
const mostParts = 1000

/** The names of all files of the model of which a file is a part; `undefined` for what is whole, by its name. */
export function partNames(name: string): readonly string[] | undefined {
  const [, stem, , count] = /^(.*)-(\d{5})-of-(\d{5})(?=\.gguf$)/i.exec(name) ?? []
  if (stem === undefined || Number(count) < 1 || Number(count) > mostParts) return undefined
  const end = name.slice(-".gguf".length)
  return Array.from({ length: Number(count) }, (_, i) => `${stem}-${String(i + 1).padStart(5, "0")}-of-${count}${end}`)
}

/**
 * The header of a model in one file or in all its parts, in their order.
 *
 * @throws WeftError `checkpoint/parts` where they are not those of one model, `checkpoint/duplicate`, and what `readGgufHeader` throws
 */
export async function readParts(sources: readonly ByteSource[]): Promise<GgufHeader> {
  const headers: GgufHeader[] = []
  for (const source of sources) headers.push(await readGgufHeader(source))
  const tensors = new Map<string, GgufTensor>()
  for (const [i, header] of headers.entries()) {
    checkPart(sources[i]!, header, i, sources.length)
    for (const tensor of header.tensors.values()) {
      const other = tensors.get(tensor.name)
      if (other !== undefined)
        throw new WeftError(
          "checkpoint/duplicate",
          `tensor ${printable(tensor.name)} is in ${printable(other.source.name)} and in ${printable(tensor.source.name)}`,
          { hint: mixed },
        )
      tensors.set(tensor.name, tensor)
    }
  }
  const { metadata } = headers[0]!
  const count = metadata.get("split.tensors.count")
  if (sources.length > 1 && count !== undefined && Number(count) !== tensors.size)
    throw new WeftError(
      "checkpoint/parts",
      `${printable(sources[0]!.name)} names ${Number(count)} tensors, and its parts have ${tensors.size}`,
      { hint: mixed },
    )
  return { metadata, tensors }
}

const mixed = "the parts are of different exports or a download is incomplete; fetch all of them again"

function checkPart({ name }: ByteSource, { metadata }: GgufHeader, place: number, parts: number): void {
  const [count, number] = ["split.count", "split.no"].map((key) => metadata.get(key))
  if (count === undefined && parts === 1) return
  if (Number(count) === parts && Number(number) === place) return
  const said = count === undefined ? "is a whole model" : `is part ${Number(number) + 1} of ${Number(count)}`
  throw new WeftError(
    "checkpoint/parts",
    `${printable(name)} ${said}, and is taken for part ${place + 1} of ${parts}`,
    {
      hint: "name the files of a model as they were: NAME-00001-of-00003.gguf and so on, side by side",
    },
  )
}
