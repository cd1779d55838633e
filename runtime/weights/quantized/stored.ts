/**
 * The tensors that quantized weights are made of, and the weights that are made of them.
 *
 *     q_proj.qweight I32, q_proj.qzeros I32, q_proj.scales F16   →   q_proj.weight int4-g128
 */
import { printable } from "../../errors.js"
import type { Checkpoint, StoredTensor } from "../checkpoint.js"
import type { Format } from "../formats/format.js"
import type { PlaneFill } from "../formats/plane-reader.js"
import { refuse } from "./settings.js"

export type Stored = Pick<Checkpoint, "folder" | "tensors" | "read">

/** A weight that several tensors of a checkpoint stand for. */
export interface QuantizedWeight {
  readonly name: string
  readonly format: Format
  readonly shape: readonly number[]
  /** By the names of the format's planes. */
  readonly fill: Readonly<Record<string, PlaneFill>>
  /** The names of the tensors that it is made of; the first is the one with the codes. */
  readonly of: readonly string[]
}

/**
 * The tensor of that name, if there is one, which must have one of the types.
 *
 * @param shapes of which it must have one; any where they are left out
 * @throws WeftError `checkpoint/quantization`
 */
export function partOf(
  { folder, tensors }: Stored,
  name: string,
  types: readonly string[],
  shapes?: readonly (readonly number[])[],
): StoredTensor | undefined {
  const tensor = tensors.get(name)
  if (tensor === undefined) return undefined
  const is = `${printable(name)} is ${tensor.dtype} [${tensor.shape.join(", ")}]`
  if (!types.includes(tensor.dtype)) return refuse(folder, `${is}, and has to be ${types.join(" or ")}`)
  const same = (shape: readonly number[]) => shape.join() === tensor.shape.join()
  if (shapes !== undefined && !shapes.some(same))
    return refuse(folder, `${is}, and has to be ${shapes.map((s) => `[${s.join(", ")}]`).join(" or ")}`)
  return tensor
}

/** Like `partOf`, for a tensor that has to be there. */
export function neededPart(
  stored: Stored,
  name: string,
  types: readonly string[],
  shapes?: readonly (readonly number[])[],
): StoredTensor {
  return partOf(stored, name, types, shapes) ?? refuse(stored.folder, `there is no tensor ${printable(name)}`)
}

/** The beginnings of the names that end so. */
export const stemsOf = ({ tensors }: Stored, ending: string): readonly string[] =>
  [...tensors.keys()].filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length))

/** Bytes of a tensor, at a place in memory that is a multiple of eight. */
export async function alignedBytes(
  { read }: Stored,
  tensor: StoredTensor,
  byteOffset = 0,
  byteLength = tensor.byteLength - byteOffset,
): Promise<Uint8Array> {
  const bytes = await read(tensor, byteOffset, byteLength)
  return bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes)
}

/** A tensor in I32, as words. */
export async function wordsOf(stored: Stored, tensor: StoredTensor): Promise<Uint32Array> {
  const bytes = await alignedBytes(stored, tensor)
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
}

/** A plane that is stored just as its canonical bytes are. */
export const asStored =
  ({ read }: Stored, tensor: StoredTensor): PlaneFill =>
  async (_, from, part) => {
    const found = await read(tensor, from, part.length, part)
    if (found !== part) part.set(found)
  }

/** Bytes that are looked at at a time. */
const pieceBytes = 1 << 20
/** Memory that is read into again and again. */
const idle: Uint8Array[] = []

/**
 * Bytes of a tensor that are looked at, or altered, on their way into `part`: aside, for a device's memory may be slow to read.
 *
 * @param look gets some of them, at a multiple of four bytes of memory, and where in the tensor they begin
 */
export async function passBytes(
  { read }: Stored,
  tensor: StoredTensor,
  from: number,
  part: Uint8Array,
  look: (piece: Uint8Array, at: number) => void,
): Promise<void> {
  const memory = idle.pop() ?? new Uint8Array(pieceBytes)
  for (let at = 0; at < part.length; at += pieceBytes) {
    const piece = memory.subarray(0, Math.min(pieceBytes, part.length - at))
    const found = await read(tensor, from + at, piece.length, piece)
    if (found !== piece) piece.set(found)
    look(piece, from + at)
    part.set(piece, at)
  }
  idle.push(memory)
}

/** Writes whole rows of a plane, from `first` to before `end`; `into` begins at a multiple of four bytes. */
export type RowFill = (first: number, end: number, into: Uint8Array) => Promise<void>

/** A plane that is filled by whole rows: where a range begins or ends inside of one, aside. */
export const byRows =
  (fill: RowFill): PlaneFill =>
  async ({ byteLength, rows }, from, part) => {
    const each = byteLength / rows
    const first = Math.floor(from / each)
    const end = Math.ceil((from + part.length) / each)
    const at = from - first * each
    const bytes = (end - first) * each
    if (bytes === part.length && part.byteOffset % 4 === 0) return fill(first, end, part)
    const aside = new Uint8Array(bytes)
    await fill(first, end, aside)
    part.set(aside.subarray(at, at + part.length))
  }
