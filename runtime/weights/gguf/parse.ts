/**
 * What stands in the header of a GGUF file, in the order of its bytes.
 *
 *     "GGUF" │ u32 3 │ u64 tensors │ u64 pairs │ u64 5 "a.key" │ u32 9, a list │ u32 8, of texts │ u64 2 │ u64 1 "x" │ u64 1 "y" │ …
 *       … │ u64 4 "name" │ u32 dimensions │ u64 each │ u32 type │ u64 offset
 *
 * Source: docs/gguf.md of ggml. Version 2 has the same bytes as version 3, which may be big-endian, too.
 */
import { printable } from "../../errors.js"
import type { ByteSource } from "../source.js"
import { HeaderBytes, hints, type Parts, type Refuse } from "./header-bytes.js"

type Scalar = string | number | bigint | boolean
/** Whole numbers of 64 bits are numbers where they are exact as such. */
export type Value = Scalar | Scalar[]

export interface Info {
  readonly name: string
  /** The first lies closely. */
  readonly dimensions: readonly number[]
  /** `ggml_type`. */
  readonly type: number
  /** From the beginning of the data. */
  readonly offset: bigint
}

/** Several times what the largest published files have. */
const most = {
  tensors: 100_000,
  pairs: 10_000,
  /** Of all lists together. */
  items: 4_000_000,
  keyBytes: 65_535,
  nameBytes: 500,
  dimensions: 4,
} as const
/** What takes how many bytes at least. */
const least = { tensor: 33, pair: 13, text: 8 } as const

interface Reader {
  readonly bytes: number
  read(view: DataView, at: number): Scalar
}

const plain = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

/** Values by the numbers of their types, but for texts and lists. */
const readers: Readonly<Record<number, Reader>> = {
  0: { bytes: 1, read: (view, at) => view.getUint8(at) },
  1: { bytes: 1, read: (view, at) => view.getInt8(at) },
  2: { bytes: 2, read: (view, at) => view.getUint16(at, true) },
  3: { bytes: 2, read: (view, at) => view.getInt16(at, true) },
  4: { bytes: 4, read: (view, at) => view.getUint32(at, true) },
  5: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  6: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  7: { bytes: 1, read: (view, at) => view.getUint8(at) !== 0 },
  10: { bytes: 8, read: (view, at) => plain(view.getBigUint64(at, true)) },
  11: { bytes: 8, read: (view, at) => plain(view.getBigInt64(at, true)) },
  12: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
}
const [textType, listType] = [8, 9]
/** Bytes of a list's numbers that are read at a time. */
const numbersAtATime = 2 ** 16

/**
 * The metadata, what is said of each tensor, and where the header ends.
 *
 * @throws WeftError `checkpoint/header`, `checkpoint/truncated`, `checkpoint/duplicate`, `checkpoint/shape`, and what the source throws
 */
export async function parseHeader(source: ByteSource, refuse: Refuse, parts?: Parts) {
  const bytes = new HeaderBytes(source, refuse, parts)
  await parseStart(bytes, source, refuse)
  const tensors = await bytes.count("tensors", most.tensors, least.tensor)
  const pairs = await bytes.count("pairs of metadata", most.pairs, least.pair)
  const metadata = new Map<string, Value>()
  const readValue = valuesIn(bytes, refuse)
  for (let i = 0; i < pairs; i++) {
    const begin = bytes.position
    const key = await bytes.text(`the key of pair ${i}`, most.keyBytes)
    if (metadata.has(key))
      refuse("checkpoint/duplicate", `the key ${printable(key)} stands twice, again at byte ${begin}`)
    metadata.set(key, await readValue(key))
  }
  const infos: Info[] = []
  for (let i = 0; i < tensors; i++) infos.push(await parseInfo(bytes, i, refuse))
  return { metadata, infos, end: bytes.position }
}

const startBytes = 24

async function parseStart(bytes: HeaderBytes, { size }: ByteSource, refuse: Refuse): Promise<void> {
  if (size < startBytes)
    refuse("checkpoint/truncated", `the file has ${size} bytes, its counts alone take ${startBytes}`, hints.download)
  await bytes.need(startBytes, "the beginning")
  const magic = bytes.take(4, (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i))))
  if (magic !== "GGUF") {
    const isPointer = magic === "vers"
    refuse(
      "checkpoint/header",
      `the file begins with ${printable(magic)}, a GGUF with "GGUF"`,
      isPointer ? "this is a pointer of Git LFS; fetch the file that it stands for" : hints.damaged,
    )
  }
  const version = await bytes.u32("the version")
  if ((version & 0xffff) === 0)
    refuse("checkpoint/header", "the file is big-endian", "convert the model for little-endian machines")
  if (version !== 2 && version !== 3)
    refuse("checkpoint/header", `GGUF of version ${version} is not supported; 2 and 3 are`)
}

/** Reads the value of a key, which comes next. */
function valuesIn(bytes: HeaderBytes, refuse: Refuse): (key: string) => Promise<Value> {
  let items = 0
  const readerOf = (type: number, of: string): Reader =>
    readers[type] ??
    refuse("checkpoint/header", `${of} has the type ${type}, which no value has, before byte ${bytes.position}`)
  const listOf = async (of: string): Promise<Scalar[]> => {
    const type = await bytes.u32(`the type of ${of}`)
    if (type === listType) refuse("checkpoint/header", `${of} is a list of lists before byte ${bytes.position}`)
    const reader = type === textType ? undefined : readerOf(type, of)
    const count = await bytes.count(`items of ${of}`, most.items - items, reader?.bytes ?? least.text)
    items += count
    return reader === undefined ? bytes.texts(of, count) : numbersOf(bytes, reader, count, of)
  }
  return async (key) => {
    const of = printable(key)
    const type = await bytes.u32(`the type of ${of}`)
    if (type === textType) return bytes.text(of)
    if (type === listType) return listOf(of)
    const { bytes: count, read } = readerOf(type, of)
    await bytes.need(count, of)
    return bytes.take(count, read)
  }
}

async function numbersOf(bytes: HeaderBytes, { bytes: each, read }: Reader, count: number, of: string) {
  const list: Scalar[] = []
  while (list.length < count) {
    const ready = Math.min(count - list.length, numbersAtATime / each)
    await bytes.need(ready * each, of)
    for (let i = 0; i < ready; i++) list.push(bytes.take(each, read))
  }
  return list
}

async function parseInfo(bytes: HeaderBytes, i: number, refuse: Refuse): Promise<Info> {
  const begin = bytes.position
  const name = await bytes.text(`the name of tensor ${i}`, most.nameBytes)
  const of = `tensor ${printable(name)}`
  if (name === "") refuse("checkpoint/header", `the name of tensor ${i} at byte ${begin} is empty`)
  const dimensions: number[] = []
  const count = await bytes.u32(`the number of dimensions of ${of}`)
  if (count < 1 || count > most.dimensions)
    refuse("checkpoint/shape", `${of} at byte ${begin} has ${count} dimensions, not 1 to ${most.dimensions}`)
  for (let d = 0; d < count; d++) dimensions.push(Number(await bytes.u64(`dimension ${d} of ${of}`)))
  const type = await bytes.u32(`the type of ${of}`)
  return { name, dimensions, type, offset: await bytes.u64(`the offset of ${of}`) }
}
