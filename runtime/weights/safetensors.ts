/**
 * Reads the header of a safetensors file and trusts none of it.
 *
 *     8 bytes  n, little-endian
 *     n bytes  JSON: { "__metadata__"?: { string: string }, name: { dtype, shape, data_offsets: [begin, end] }, … }
 *     rest     the data, to which the offsets refer; every byte of it belongs to exactly one tensor
 *
 * The rules are those of the reference implementation, and in addition nothing may stand twice. No size is used before it is
 * known to fit in the file; after `readHeader` returns, every range of every tensor does.
 */

import { type ErrorCode, printable, WeftError } from "../errors.js"
import { isStoredType, type StoredType, storedTypes, tensorBytes } from "./dtypes.js"
import { JsonReader, safeInteger } from "./json.js"
import type { ByteSource } from "./source.js"

/** The reference's limit. */
const maxHeaderBytes = 100_000_000
/** More axes than any tensor library has. */
const maxRank = 64

export interface TensorInfo {
  readonly name: string
  readonly dtype: StoredType
  readonly shape: readonly number[]
  /** Where the data begin and end, from the beginning of the file. */
  readonly begin: number
  readonly end: number
}

export interface SafetensorsHeader {
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string>
}

const hints = {
  download: "the download may be incomplete; fetch the file again",
  damaged: "the file is damaged or is not a safetensors file; fetch it again or export it again",
  pointer: "this is a Git LFS pointer, not the weights; run `git lfs pull`",
  types: `a safetensors file holds ${storedTypes.join(", ")}`,
}

/**
 * The tensors of one safetensors file. Reads 8 bytes and the header, nothing else.
 *
 * @throws WeftError `checkpoint/truncated`, `checkpoint/header`, `checkpoint/duplicate`, `checkpoint/dtype`, `checkpoint/shape`,
 * `checkpoint/offsets`, `checkpoint/size`, `checkpoint/overlap` or `checkpoint/hole`, and what `source.read` throws
 */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const refuse = refusal(source.name)
  if (source.size < 8) {
    return refuse(
      "checkpoint/truncated",
      `the file has ${source.size} bytes, its header length alone takes 8`,
      hints.download,
    )
  }
  const prefix = await source.read(0, 8)
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes)) {
    const pointer = new TextDecoder("latin1").decode(prefix) === "version "
    const problem = `the header claims ${length} bytes, the limit is ${maxHeaderBytes}`
    return refuse("checkpoint/header", problem, pointer ? hints.pointer : hints.damaged)
  }
  const dataBegin = 8 + Number(length)
  if (dataBegin > source.size) {
    const problem = `the header ends at byte ${dataBegin}, the file has ${source.size} bytes`
    return refuse("checkpoint/truncated", problem, hints.download)
  }
  const header = parseHeader(decode(await source.read(8, Number(length)), refuse), dataBegin, source.size, refuse)
  checkLayout([...header.tensors.values()], dataBegin, source.size, refuse)
  return header
}

type Refuse = (code: ErrorCode, problem: string, hint: string) => never

function refusal(file: string): Refuse {
  return (code, problem, hint) => {
    throw new WeftError(code, `${printable(file)}: ${problem}`, { hint })
  }
}

function decode(bytes: Uint8Array, refuse: Refuse): string {
  if (bytes[0] !== 0x7b) refuse("checkpoint/header", "the header does not begin with '{'", hints.damaged)
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return refuse("checkpoint/header", "the header is not valid UTF-8", hints.damaged)
  }
}

function parseHeader(text: string, dataBegin: number, size: number, refuse: Refuse): SafetensorsHeader {
  const json = new JsonReader(text, (why) =>
    refuse("checkpoint/header", `the header is not as it must be: ${why}`, hints.damaged),
  )
  const tensors = new Map<string, TensorInfo>()
  let metadata: Map<string, string> | undefined
  for (const name of json.keys()) {
    if (tensors.has(name) || (name === "__metadata__" && metadata !== undefined)) {
      refuse("checkpoint/duplicate", `${printable(name)} stands twice in the header`, hints.damaged)
    }
    if (name === "__metadata__") metadata = parseMetadata(json, refuse)
    else tensors.set(name, parseTensor(json, name, dataBegin, size, refuse))
  }
  json.end()
  return { tensors, metadata: metadata ?? new Map() }
}

function parseMetadata(json: JsonReader, refuse: Refuse): Map<string, string> {
  const metadata = new Map<string, string>()
  for (const key of json.keys()) {
    if (metadata.has(key))
      refuse("checkpoint/duplicate", `${printable(key)} stands twice in the metadata`, hints.damaged)
    metadata.set(key, json.string())
  }
  return metadata
}

function parseTensor(json: JsonReader, name: string, dataBegin: number, size: number, refuse: Refuse): TensorInfo {
  const here = `tensor ${printable(name)}`
  let dtype: string | undefined
  let shape: number[] | undefined
  let offsets: number[] | undefined
  for (const key of json.keys()) {
    const seen = key === "dtype" ? dtype : key === "shape" ? shape : key === "data_offsets" ? offsets : undefined
    if (seen !== undefined) refuse("checkpoint/duplicate", `${here}: ${printable(key)} stands twice`, hints.damaged)
    if (key === "dtype") dtype = json.string()
    else if (key === "shape")
      shape = parseCounts(json, maxRank, (why) => refuse("checkpoint/shape", `${here}: shape ${why}`, hints.damaged))
    else if (key === "data_offsets")
      offsets = parseCounts(json, 2, (why) =>
        refuse("checkpoint/offsets", `${here}: data_offsets ${why}`, hints.damaged),
      )
    else json.skip()
  }
  const absent = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets"
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    return refuse("checkpoint/header", `${here}: there is no "${absent}"`, hints.damaged)
  }
  if (!isStoredType(dtype)) return refuse("checkpoint/dtype", `${here}: unknown dtype ${printable(dtype)}`, hints.types)
  const [begin, end] = offsets
  if (begin === undefined || end === undefined || begin > end) {
    return refuse("checkpoint/offsets", `${here}: data_offsets [${offsets.join(", ")}] are not a range`, hints.damaged)
  }
  const bytes = tensorBytes(dtype, shape)
  const dense = `${dtype} [${shape.join(", ")}]`
  if (bytes === undefined)
    return refuse("checkpoint/shape", `${here}: ${dense} takes more than 2^53 - 1 bytes`, hints.damaged)
  if (bytes !== end - begin) {
    return refuse(
      "checkpoint/size",
      `${here}: ${dense} takes ${bytes} bytes, its data_offsets hold ${end - begin}`,
      hints.damaged,
    )
  }
  if (end > size - dataBegin) {
    const problem = `${here}: its data end at byte ${dataBegin + end}, the file has ${size} bytes`
    return refuse("checkpoint/truncated", problem, hints.download)
  }
  return { name, dtype, shape, begin: dataBegin + begin, end: dataBegin + end }
}

/** An array of at most `limit` counts; `refuse` gets what is wrong with it. */
function parseCounts(json: JsonReader, limit: number, refuse: (why: string) => never): number[] {
  const counts: number[] = []
  for (const index of json.items()) {
    if (index >= limit) refuse(`has more than ${limit} numbers`)
    const literal = json.number()
    const count = safeInteger(literal)
    if (count === undefined) return refuse(`holds ${literal}, which is not an integer from 0 to 2^53 - 1`)
    counts.push(count)
  }
  return counts
}

/** The tensors, sorted by place, must follow each other from the beginning of the data to the end of the file. */
function checkLayout(tensors: TensorInfo[], dataBegin: number, size: number, refuse: Refuse): void {
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let covered = dataBegin
  let last: TensorInfo | undefined
  for (const tensor of tensors) {
    if (tensor.begin < covered && last) {
      const problem = `tensors ${printable(last.name)} and ${printable(tensor.name)} overlap at byte ${tensor.begin}`
      refuse("checkpoint/overlap", problem, hints.damaged)
    }
    if (tensor.begin > covered) {
      const problem = `bytes ${covered} to ${tensor.begin}, before tensor ${printable(tensor.name)}, belong to no tensor`
      refuse("checkpoint/hole", problem, hints.damaged)
    }
    covered = tensor.end
    last = tensor
  }
  if (covered !== size)
    refuse("checkpoint/hole", `the last ${size - covered} bytes of the file belong to no tensor`, hints.damaged)
}
