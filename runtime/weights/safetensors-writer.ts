/** Writes a safetensors file, in the order in which the reference writes one. */

import { printable, WeftError } from "../errors.js"
import { bytesPerElement, type StoredType, tensorBytes } from "./dtypes.js"

export interface TensorData {
  readonly name: string
  readonly dtype: StoredType
  readonly shape: readonly number[]
  /** Little-endian, row-major. */
  readonly data: Uint8Array
}

/**
 * A safetensors file of the given tensors, sorted by element size (largest first) and then by name, so that every tensor begins
 * at a multiple of its element.
 *
 * @throws WeftError `checkpoint/write` for a name that stands twice or cannot be stored, a shape that is not of counts, or data
 * whose length does not follow from dtype and shape
 */
export function writeSafetensors(
  tensors: readonly TensorData[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  const sorted = [...tensors].sort(
    (a, b) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype) || (a.name < b.name ? -1 : Number(a.name > b.name)),
  )
  // Joined by hand: an object would lose the name `__proto__`.
  const entries = metadata.size
    ? [`"__metadata__":{${[...metadata].map(([key, text]) => entry(key, text)).join()}}`]
    : []
  const names = new Set<string>()
  let length = 0
  for (const tensor of sorted) {
    check(tensor, names)
    names.add(tensor.name)
    const { name, dtype, shape, data } = tensor
    entries.push(entry(name, { dtype, shape, data_offsets: [length, length + data.length] }))
    length += data.length
  }
  const header = new TextEncoder().encode(`{${entries.join()}}`)
  const dataBegin = 8 + Math.ceil(header.length / 8) * 8
  const file = new Uint8Array(dataBegin + length).fill(0x20, 8, dataBegin)
  new DataView(file.buffer).setBigUint64(0, BigInt(dataBegin - 8), true)
  file.set(header, 8)
  let at = dataBegin
  for (const { data } of sorted) {
    file.set(data, at)
    at += data.length
  }
  return file
}

function entry(key: string, value: unknown): string {
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`
}

function check({ name, dtype, shape, data }: TensorData, names: ReadonlySet<string>): void {
  const refuse = (problem: string): never => {
    throw new WeftError("checkpoint/write", `tensor ${printable(name)} cannot be written: ${problem}`, {
      hint: "give every tensor a name of its own and exactly the bytes of its shape",
    })
  }
  if (names.has(name)) refuse("the name stands twice")
  if (name === "__metadata__") refuse("the name is reserved")
  if (/\p{Surrogate}/u.test(name)) refuse("the name is not valid Unicode")
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    refuse(`the shape [${shape.join(", ")}] holds something that is not a count`)
  }
  const bytes = tensorBytes(dtype, shape)
  if (bytes !== data.length) refuse(`${dtype} [${shape.join(", ")}] takes ${bytes} bytes, the data have ${data.length}`)
}
