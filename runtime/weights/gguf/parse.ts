/**
 * What stands in the header of a GGUF file, as `@huggingface/gguf` parses it.
 *
 * It is made for files of the Hub, so what it takes on trust is held against the file here: it is given no byte beyond the end, each text that it
 * read has to be in its place in the file (it cuts some), and keys that stand twice are told. Its package has no way in for pages yet, so
 * `weft/runtime`, which they bundle, does not lead here.
 */
import type { MetadataValue } from "@huggingface/gguf"
import { type ErrorCode, printable, WeftError } from "../../errors.js"
import type { ByteSource } from "../source.js"

export type Value = MetadataValue

/** Several times what the largest published files have. */
export const most = {
  tensors: 100_000,
  pairs: 10_000,
  nameBytes: 500,
  dimensions: 4,
  headerBytes: 2 ** 25,
} as const
/** What parts of a header take; of tensors and pairs at least. */
export const bytesOf = { count: 8, type: 4, tensor: 24, pair: 13, start: 24 } as const

export const hints = {
  damaged: "the file is damaged or no GGUF of today; fetch it again, or convert the model anew",
  download: "the download is incomplete; fetch the file again",
  types: "fetch the model in another type, such as Q4_K_M, Q8_0 or BF16",
} as const

export type Refuse = (code: ErrorCode, problem: string, hint?: string) => never

/**
 * The metadata, what is said of each tensor, and where the header ends.
 *
 * @param pairs of metadata, by the header's beginning
 */
export async function parseHeader(source: ByteSource, pairs: number, refuse: Refuse) {
  const { typedMetadata, tensorInfos, tensorInfoByteRange } = await parse(source, refuse)
  const [begin, end] = tensorInfoByteRange
  if (end > source.size)
    refuse("checkpoint/truncated", `the header ends at byte ${end}, the file has ${source.size} bytes`, hints.download)
  const entries = Object.entries<Entry>(typedMetadata).filter(([key]) => !builtIn.has(key))
  if (entries.length !== pairs)
    refuse("checkpoint/duplicate", "a key stands twice in the header, or is one that no file has")
  const places = placesIn(await source.read(bytesOf.start, begin - bytesOf.start), refuse)
  const metadata = new Map(
    entries.map(([key, entry]) => {
      places.text(key)
      places.skip(bytesOf.type)
      return [key, places.value(entry, key)]
    }),
  )
  places.end()
  return { metadata, infos: tensorInfos, end }
}

/** What the library puts beside the pairs of the file; one of that name would hide behind it, and its bytes be missing. */
const builtIn = new Set(["version", "tensor_count", "kv_count"])

/** Whole numbers of 64 bits as numbers, where they are exact as such. */
const plain = (value: Value): Value =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

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

export type Info = Awaited<ReturnType<typeof parse>>["tensorInfos"][number]
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
