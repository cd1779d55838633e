/**
 * The header of a GGUF file: what it says of a model, and which tensors it has where.
 *
 *     GGUF, 3, 310 tensors, 28 pairs │ general.architecture "qwen3", … │ token_embd.weight {1024, 151936} Q6_K at 0, … │ data
 *
 * `@huggingface/gguf` parses it. It is made for files of the Hub, so what it takes on trust is held against the file here: it is given no byte
 * beyond the end, each text that it read has to be in its place in the file (it cuts some), keys that stand twice are told, and no size or
 * offset is used before it is known to lie in the file. Its package has no way in for pages yet, so
 * `weft/runtime`, which they bundle, does not lead here.
 */
import type { MetadataValue } from "@huggingface/gguf"
import { type ErrorCode, printable, WeftError } from "../../errors.js"
import type { ByteSource } from "../source.js"
import { type GgufType, ggufTypes, unreadType } from "./types.js"

export type Value = MetadataValue

export interface GgufTensor {
  /** The file that has it. */
  readonly source: ByteSource
  readonly name: string
  readonly type: GgufType
  /** Row-major: the last dimension lies closely. GGUF counts them the other way round. */
  readonly shape: readonly number[]
  /** Bytes from the beginning of the file. */
  readonly begin: number
  readonly byteLength: number
}

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, Value>
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/** Several times what the largest published files have. */
const most = {
  tensors: 100_000,
  pairs: 10_000,
  nameBytes: 500,
  dimensions: 4,
  headerBytes: 2 ** 25,
} as const
/** What parts of a header take; of tensors and pairs at least. */
const bytesOf = { count: 8, type: 4, tensor: 24, pair: 13, start: 24 } as const

const hints = {
  damaged: "the file is damaged or no GGUF of today; fetch it again, or convert the model anew",
  download: "the download is incomplete; fetch the file again",
  types: "fetch the model in another type, such as Q4_K_M, Q8_0 or BF16",
} as const

type Refuse = (code: ErrorCode, problem: string, hint?: string) => never

/**
 * Reads and checks the header.
 *
 * @throws WeftError `checkpoint/header`, `checkpoint/truncated`, `checkpoint/duplicate`, `checkpoint/shape`, `checkpoint/dtype`,
 * `checkpoint/offsets`, `checkpoint/overlap`, and what the source throws
 */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  const refuse: Refuse = (code, problem, hint = hints.damaged) => {
    throw new WeftError(code, `${printable(source.name)}: ${problem}`, { hint })
  }
  const pairs = await checkStart(source, refuse)
  const { typedMetadata, tensorInfos, tensorInfoByteRange } = await parse(source, refuse)
  const [infos, end] = tensorInfoByteRange
  if (end > source.size)
    refuse("checkpoint/truncated", `the header ends at byte ${end}, the file has ${source.size} bytes`, hints.download)
  const entries = Object.entries<Entry>(typedMetadata).filter(([key]) => !builtIn.has(key))
  if (entries.length !== pairs)
    refuse("checkpoint/duplicate", "a key stands twice in the header, or is one that no file has")
  const places = placesIn(await source.read(bytesOf.start, infos - bytesOf.start), refuse)
  const metadata = new Map(
    entries.map(([key, entry]) => {
      places.text(key)
      places.skip(bytesOf.type)
      return [key, places.value(entry, key)]
    }),
  )
  places.end()
  const alignment = alignmentOf(metadata, refuse)
  const dataBegin = roundUp(end, alignment)
  const tensors = new Map<string, GgufTensor>()
  for (const info of tensorInfos) {
    if (tensors.has(info.name)) refuse("checkpoint/duplicate", `tensor ${printable(info.name)} stands twice`)
    tensors.set(info.name, tensorOf(info, dataBegin, alignment, source, refuse))
  }
  checkOverlap([...tensors.values()], refuse)
  return { metadata, tensors }
}

/** Whole numbers of 64 bits as numbers, where they are exact as such. */
const plain = (value: Value): Value =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

/** What the library puts beside the pairs of the file; one of that name would hide behind it, and its bytes be missing. */
const builtIn = new Set(["version", "tensor_count", "kv_count"])

const textBytes = (text: string): number => new TextEncoder().encode(text).length
const roundUp = (n: number, step: number): number => Math.ceil(n / step) * step

/** The first bytes, whose counts say how much work the rest may be; the number of pairs. */
async function checkStart(source: ByteSource, refuse: Refuse): Promise<number> {
  if (source.size < bytesOf.start)
    refuse(
      "checkpoint/truncated",
      `the file has ${source.size} bytes, its counts alone take ${bytesOf.start}`,
      hints.download,
    )
  const start = await source.read(0, bytesOf.start)
  const view = new DataView(start.buffer, start.byteOffset, bytesOf.start)
  const magic = new TextDecoder("latin1").decode(start.subarray(0, 4))
  if (magic !== "GGUF") {
    const isPointer = magic === "vers"
    refuse(
      "checkpoint/header",
      `the file begins with ${printable(magic)}, a GGUF with "GGUF"`,
      isPointer ? "this is a pointer of Git LFS; fetch the file that it stands for" : hints.damaged,
    )
  }
  const version = view.getUint32(4, true)
  if ((version & 0xffff) === 0)
    refuse("checkpoint/header", "the file is big-endian", "convert the model for little-endian machines")
  if (version !== 2 && version !== 3)
    refuse("checkpoint/header", `GGUF of version ${version} is not supported; 2 and 3 are`)
  const counts = [
    { of: "tensors", count: view.getBigUint64(8, true), limit: most.tensors, least: bytesOf.tensor },
    { of: "pairs of metadata", count: view.getBigUint64(16, true), limit: most.pairs, least: bytesOf.pair },
  ]
  for (const { of, count, limit, least } of counts) {
    if (count > limit) refuse("checkpoint/header", `the header claims ${count} ${of}, the limit is ${limit}`)
    if (Number(count) * least > source.size)
      refuse(
        "checkpoint/truncated",
        `the header claims ${count} ${of}, the file has ${source.size} bytes`,
        hints.download,
      )
  }
  return Number(view.getBigUint64(16, true))
}

/** The library's reading, of bytes that it fetches from `source`. */
async function parse(source: ByteSource, refuse: Refuse) {
  const { gguf } = await import("@huggingface/gguf")
  let isPast = false
  const read: typeof fetch = async (_, init) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get("range") ?? "") ?? []
    const begin = Number(from)
    // It reads on before it needs to: one part may lie beyond the end.
    if (begin - source.size > Number(to) - begin)
      refuse("checkpoint/truncated", `the header does not end in the ${source.size} bytes of the file`, hints.download)
    isPast ||= Number(to) >= source.size
    if (begin > most.headerBytes) refuse("checkpoint/header", `the header has more than ${most.headerBytes} bytes`)
    const end = Math.min(source.size, Number(to) + 1)
    const bytes = begin < end ? await source.read(begin, end - begin) : new Uint8Array(0)
    return new Response(bytes.slice(), {
      status: 206,
      headers: { "content-range": `bytes ${from}-${to}/${source.size}` },
    })
  }
  try {
    return await gguf("https://file.invalid/gguf", { fetch: read, typedMetadata: true })
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    if (cause instanceof RangeError && isPast)
      return refuse("checkpoint/truncated", "the file ends inside of its header", hints.download)
    throw new WeftError(
      "checkpoint/header",
      `${printable(source.name)}: the header is not as it must be: ${printable(why)}`,
      {
        hint: hints.damaged,
        cause,
      },
    )
  }
}

type Info = Awaited<ReturnType<typeof parse>>["tensorInfos"][number]
interface Entry {
  readonly value: Value
  readonly type: number
  /** Of a list's items. */
  readonly subType?: number
}

/** Bytes of one value of a type, but for texts and lists. */
const scalarBytes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
}
const [textKind, listKind] = [8, 9]

/** Goes over the metadata in the file beside the values that were parsed: each text has to be there as it was read, or is read here. */
function placesIn(bytes: Uint8Array, refuse: Refuse) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  const encoder = new TextEncoder()
  let at = 0
  const skip = (count: number) => {
    at += count
    if (at > bytes.length) refuse("checkpoint/header", "the header does not hold what was read of it")
  }
  /** The library cuts texts where a part of the file ends that it has fetched, and leaves out byte order marks. */
  const text = (read: string): string => {
    skip(bytesOf.count)
    const length = Number(view.getBigUint64(at - bytesOf.count, true))
    skip(length)
    if (encoder.encode(read).length === length) return read
    try {
      return decoder.decode(bytes.subarray(at - length, at))
    } catch {
      return refuse("checkpoint/header", `a text of the header, ${printable(read)}, is no UTF-8`)
    }
  }
  const value = ({ value, type, subType }: Entry, key: string): Value => {
    if (type === textKind) return text(String(value))
    if (type !== listKind) {
      skip(scalarBytes[type]!)
      return plain(value)
    }
    const list = value as readonly Value[]
    if (subType === listKind || subType === undefined)
      return refuse("checkpoint/header", `${printable(key)} is a list of lists`)
    skip(bytesOf.type + bytesOf.count)
    if (subType === textKind) return list.map((item) => text(String(item)))
    skip(list.length * scalarBytes[subType]!)
    return list.map(plain)
  }
  const end = () => {
    if (at !== bytes.length) refuse("checkpoint/header", "the header does not hold what was read of it")
  }
  return { text, skip, value, end }
}

function alignmentOf(metadata: ReadonlyMap<string, Value>, refuse: Refuse): number {
  const value = metadata.get("general.alignment") ?? 32
  const alignment = Number(value)
  if (Number.isInteger(alignment) && alignment >= 1 && alignment <= 2 ** 20 && (alignment & (alignment - 1)) === 0)
    return alignment
  return refuse("checkpoint/header", `general.alignment is ${printable(String(value))}; it is a power of two`)
}

function tensorOf(
  { name, shape: dims, dtype, offset }: Info,
  dataBegin: number,
  alignment: number,
  source: ByteSource,
  refuse: Refuse,
): GgufTensor {
  const here = `tensor ${printable(name)}`
  if (name === "" || textBytes(name) > most.nameBytes)
    refuse("checkpoint/header", `${here}: the name is empty or too long`)
  const type = ggufTypes.get(dtype)
  if (type === undefined) return refuseType(here, dtype, refuse)
  const shape = dims.map(Number).reverse()
  const count = shape.reduce((n, extent) => n * extent, 1)
  const dense = `${type.name} [${shape.join(", ")}]`
  if (shape.length < 1 || shape.length > most.dimensions || !Number.isSafeInteger(count * type.bytes) || count === 0)
    return refuse("checkpoint/shape", `${here}: ${dense} is no tensor of 1 to ${most.dimensions} dimensions`)
  if (shape.at(-1)! % type.block !== 0)
    return refuse("checkpoint/shape", `${here}: ${dense} has rows that are no multiple of ${type.block}`)
  if (offset % BigInt(alignment) !== 0n)
    return refuse("checkpoint/offsets", `${here}: its offset ${offset} is no multiple of ${alignment}`)
  const byteLength = (count / type.block) * type.bytes
  const end = BigInt(dataBegin) + offset + BigInt(byteLength)
  if (end > source.size)
    return refuse(
      "checkpoint/truncated",
      `${here}: its data end at byte ${end}, the file has ${source.size} bytes`,
      hints.download,
    )
  return { source, name, type, shape, begin: dataBegin + Number(offset), byteLength }
}

function refuseType(here: string, dtype: number, refuse: Refuse): never {
  const known = [...ggufTypes.values()].map(({ name }) => name).join(", ")
  return refuse(
    "checkpoint/dtype",
    `${here} is of the type ${unreadType(dtype)}, which is not supported; ${known} are`,
    hints.types,
  )
}

function checkOverlap(tensors: readonly GgufTensor[], refuse: Refuse): void {
  const inOrder = [...tensors].sort((a, b) => a.begin - b.begin)
  inOrder.forEach((tensor, i) => {
    const last = inOrder[i - 1]
    if (last === undefined || tensor.begin >= last.begin + last.byteLength) return
    refuse(
      "checkpoint/overlap",
      `tensors ${printable(last.name)} and ${printable(tensor.name)} overlap at byte ${tensor.begin}`,
    )
  })
}
