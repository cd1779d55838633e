/**
 * The header of a GGUF file: what it says of a model, and which tensors it has where.
 *
 *     GGUF, 3, 310 tensors, 28 pairs │ general.architecture "qwen3", … │ token_embd.weight {1024, 151936} Q6_K at 0, … │ data
 *
 * No size or offset is used before it is known to lie in the file.
 */
import { printable, WeftError } from "../../errors.js"
import type { ByteSource } from "../source.js"
import { bytesOf, hints, type Info, most, parseHeader, type Refuse, type Value } from "./parse.js"
import { type GgufType, ggufTypes, unreadType } from "./types.js"

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
  const { metadata, infos, end } = await parseHeader(source, pairs, refuse)
  const alignment = alignmentOf(metadata, refuse)
  const dataBegin = roundUp(end, alignment)
  const tensors = new Map<string, GgufTensor>()
  for (const info of infos) {
    if (tensors.has(info.name)) refuse("checkpoint/duplicate", `tensor ${printable(info.name)} stands twice`)
    tensors.set(info.name, tensorOf(info, dataBegin, alignment, source, refuse))
  }
  checkOverlap([...tensors.values()], refuse)
  return { metadata, tensors }
}

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
