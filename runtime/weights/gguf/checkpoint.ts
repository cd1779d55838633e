/**
 * A GGUF file as a checkpoint: what a folder says in its config.json and safetensors, out of one file.
 *
 *     await openGguf("qwen3-0.6b.gguf", [source])   →   { config: { model_type: "qwen3", … }, tensors: model.embed_tokens.weight, … }
 */
import { printable, WeftError } from "../../errors.js"
import type { Checkpoint, StoredTensor } from "../checkpoint.js"
import { toFloat32 } from "../dtypes.js"
import type { Files } from "../files.js"
import { blockReader } from "../formats/block-reader.js"
import { formatBytes } from "../formats/layout.js"
import type { RangeReader } from "../formats/plane-reader.js"
import { type ByteSource, checkRange } from "../source.js"
import { configOf } from "./config.js"
import type { GgufTensor } from "./container.js"
import { namedTensors, type Rows, rowsOf } from "./names.js"
import { partNames, readParts } from "./parts.js"
import { generationConfigOf, textOf } from "./tokenizer.js"

/**
 * Reads the headers and makes a checkpoint of them. The sources are closed with the checkpoint, or when they are refused.
 *
 * @param name what messages call the checkpoint
 * @param parts the file, or all files of a model that is cut into several, in their order
 * @throws WeftError `checkpoint/…` where a header is not as it must be, the architecture or a type is not known, or metadata and tensors
 * do not fit together
 */
export async function openGguf(name: string, parts: readonly ByteSource[]): Promise<Checkpoint> {
  try {
    return await assemble(name, parts)
  } catch (error) {
    await closeAll(parts)
    throw error
  }
}

/**
 * Opens the file of a name, with all others of its model where that is cut into several.
 *
 * @param shown what messages call the checkpoint
 * @param open gives the file of a name in the same place, or `undefined` when there is none
 * @param shownFile what messages call such a file
 * @throws WeftError `checkpoint/missing`, and what `open` and `openGguf` throw
 */
export async function openGgufNamed(
  shown: string,
  name: string,
  { open, shownFile }: Pick<Files, "open" | "shownFile">,
): Promise<Checkpoint> {
  const parts: ByteSource[] = []
  try {
    for (const part of partNames(name) ?? [name]) {
      const source = await open(part)
      if (source === undefined)
        throw new WeftError("checkpoint/missing", `there is no file ${printable(shownFile(part))}`, {
          hint: "give a .gguf file with all its parts beside it, or the folder of a checkpoint",
        })
      parts.push(source)
    }
  } catch (error) {
    await closeAll(parts)
    throw error
  }
  return openGguf(shown, parts)
}

const closeAll = (parts: readonly ByteSource[]) => Promise.all(parts.map((part) => part.close()))

async function assemble(name: string, parts: readonly ByteSource[]): Promise<Checkpoint> {
  const header = await readParts(parts)
  const config = configOf(name, header, await frequenciesOf(header.tensors.get("rope_freqs.weight")))
  const architecture = String(header.metadata.get("general.architecture"))
  const rows = namedTensors(name, header.tensors, { config, architecture })
  const tensors = new Map([...rows].map(([model, found]) => [model, storedTensor(model, found)]))
  const readers = new Map<string, RangeReader>()
  let closed: Promise<unknown> | undefined
  return {
    folder: name,
    config,
    generationConfig: generationConfigOf(name, header.metadata),
    tensors,
    readText: async (text) => textOf(name, header.metadata, text),
    async read(tensor, byteOffset = 0, byteLength = tensor.byteLength - byteOffset, into) {
      if (closed || tensors.get(tensor.name) !== tensor)
        throw new WeftError(
          "checkpoint/range",
          `${printable(`${name}: ${tensor.name}`)}: ${closed ? "the checkpoint is closed" : "no tensor of this checkpoint"}`,
          { hint: "read tensors of `checkpoint.tensors`, before `close()`" },
        )
      checkRange(`${name}: ${tensor.name}`, tensor.byteLength, byteOffset, byteLength)
      const reader = readers.get(tensor.name) ?? readerOf(rows.get(tensor.name)!)
      readers.set(tensor.name, reader)
      return reader(byteOffset, byteLength, into)
    },
    async close() {
      closed ??= closeAll(parts)
      await closed
    },
  }
}

/** The numbers of a small tensor. */
async function frequenciesOf(tensor: GgufTensor | undefined): Promise<Float32Array | undefined> {
  if (tensor === undefined) return undefined
  const { source } = tensor
  if (tensor.type.stored !== "F32" || tensor.byteLength > 65_536)
    throw new WeftError(
      "checkpoint/dtype",
      `${printable(source.name)}: tensor "rope_freqs.weight" is ${tensor.type.name} [${tensor.shape.join(", ")}], and a few numbers in F32 are expected`,
      {
        hint: "convert the model anew",
      },
    )
  return toFloat32("F32", await source.read(tensor.begin, tensor.byteLength))
}

/** Bytes of a row of the file's tensor. */
const rowBytes = (of: GgufTensor): number => of.byteLength / rowsOf(of)

function storedTensor(name: string, { of, shape, first, count }: Rows): StoredTensor {
  const { stored } = of.type
  const file = of.source.name
  const begin = of.begin + first * rowBytes(of)
  const end = begin + count * rowBytes(of)
  return typeof stored === "string"
    ? { name, dtype: stored, shape, file, begin, end, byteLength: end - begin }
    : { name, dtype: stored.format.name, shape, file, begin, end, byteLength: formatBytes(stored.format, shape) }
}

/** Bytes of a tensor as the rest of the runtime knows them: of blocks the planes. */
function readerOf(rows: Rows): RangeReader {
  const { stored } = rows.of.type
  const read: RangeReader = (offset, length, into) => readRows(rows, offset, length, into)
  return typeof stored === "string" ? read : blockReader(stored, rows.shape, read)
}

/** A range of a tensor's bytes in the file. Rows that are out of order are read by whole heads and put back. */
async function readRows(
  { of, first, head }: Rows,
  from: number,
  length: number,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const { source } = of
  const row = rowBytes(of)
  const begin = of.begin + first * row
  if (head === undefined) return source.read(begin + from, length, into)
  const headBytes = head * row
  const start = Math.floor(from / headBytes) * headBytes
  const end = Math.ceil((from + length) / headBytes) * headBytes
  const read = await source.read(begin + start, end - start)
  const whole = inOrder(read, head, row)
  const part = whole.subarray(from - start, from - start + length)
  if (into === undefined) return part
  into.set(part)
  return into
}

/** Rows of whole heads with the halves of each head one after the other again. */
function inOrder(bytes: Uint8Array, head: number, row: number): Uint8Array {
  const ordered = new Uint8Array(bytes.length)
  const half = head / 2
  for (let at = 0; at < bytes.length; at += head * row)
    for (let r = 0; r < head; r++) {
      const place = at + ((r % 2) * half + (r >> 1)) * row
      ordered.set(bytes.subarray(at + r * row, at + (r + 1) * row), place)
    }
  return ordered
}
