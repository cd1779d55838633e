/**
 * The header of a GGUF file: what it says of a model, and which tensors it has where.
 *
 *     GGUF, 3, 310 tensors, 28 pairs │ general.architecture "qwen3", … │ token_embd.weight {1024, 151936} Q6_K at 0, … │ data
 *
 * No size or offset is used before it is known to lie in the file.
 */
import { printable, WeftError } from "../../errors.js"
import type { ByteSource } from "../source.js"
import { hints, type Refuse } from "./header-bytes.js"
import { type Info, parseHeader, type Value } from "./parse.js"
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
  const { metadata, infos, end } = await parseHeader(source, refuse)
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

const roundUp = (n: number, step: number): number => Math.ceil(n / step) * step

function alignmentOf(metadata: ReadonlyMap<string, Value>, refuse: Refuse): number {
  const value = metadata.get("general.alignment") ?? 32
  const alignment = Number(value)
  if (Number.isInteger(alignment) && alignment >= 1 && alignment <= 2 ** 20 && (alignment & (alignment - 1)) === 0)
    return alignment
  return refuse("checkpoint/header", `general.alignment is ${printable(String(value))}; it is a power of two`)
}

function tensorOf(
  { name, dimensions, type: number, offset }: Info,
  dataBegin: number,
  alignment: number,
  source: ByteSource,
  refuse: Refuse,
): GgufTensor {
  const here = `tensor ${printable(name)}`
  const type = ggufTypes.get(number)
  if (type === undefined) return refuseType(here, number, refuse)
  const shape = [...dimensions].reverse()
  const count = shape.reduce((n, extent) => n * extent, 1)
  const dense = `${type.name} [${shape.join(", ")}]`
  if (!Number.isSafeInteger(count * type.bytes) || count === 0)
    return refuse("checkpoint/shape", `${here}: ${dense} has no elements, or more than can be counted`)
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
