/**
 * Numbers of eight bits with scales beside them, as Qwen's and DeepSeek's FP8 folders and those of compressed-tensors have them.
 *
 *     X.weight F8_E4M3 [out, in]   X.weight_scale_inv [out / 128, in / 128]   →   X.weight fp8-128x128
 *     X.weight F8_E4M3 [out, in]   X.weight_scale [out, 1], [out], [1] or []  →   X.weight fp8-row, fp8-tensor
 *
 * The weight is the code times the scale, whatever the scale is called. Activations stay as wide as they are, though the file may say how
 * they could be narrowed.
 */
import { printable, WeftError } from "../../errors.js"
import type { StoredTensor } from "../checkpoint.js"
import { toFloat32 } from "../dtypes.js"
import { eightBitFormat, type ScaledBlock } from "../formats/eight-bit-floats.js"
import type { PlaneFill } from "../formats/plane-reader.js"
import { oneOf, pairOf, refuse, type Settings } from "./settings.js"
import { alignedBytes, byRows, neededPart, partOf, passBytes, type QuantizedWeight, type Stored } from "./stored.js"

const scaleTypes = ["F32", "BF16", "F16"] as const

/** @throws WeftError `checkpoint/quantization` for settings or tensors that are not read */
export async function eightBitWeights(stored: Stored, settings: Settings): Promise<readonly QuantizedWeight[]> {
  oneOf(settings, "fmt", ["e4m3", "float8_e4m3fn"], "e4m3")
  oneOf(settings, "activation_scheme", ["dynamic", "static"], "dynamic")
  const block = pairOf(settings, "weight_block_size")
  return eightBitTensors(stored, block === undefined ? [] : [block])
}

/** All tensors of numbers of eight bits; `blocks` are the sizes that scales may have. */
export function eightBitTensors(
  stored: Stored,
  blocks: readonly (readonly [number, number])[],
): readonly QuantizedWeight[] {
  const tensors = [...stored.tensors.values()].filter(({ dtype }) => dtype === "F8_E4M3")
  return tensors.map((codes) => weightOf(stored, codes, blocks))
}

function weightOf(
  stored: Stored,
  codes: StoredTensor,
  blocks: readonly (readonly [number, number])[],
): QuantizedWeight {
  const [out = 0, columns = 0] = codes.shape
  if (codes.shape.length !== 2) refuse(stored.folder, `${printable(codes.name)} is no matrix`)
  const shapes: readonly (readonly [ScaledBlock, readonly number[]])[] = [
    ...blocks.map((b) => [b, [Math.ceil(out / b[0]), Math.ceil(columns / b[1])]] as const),
    ["row", [out, 1]],
    ["row", [out]],
    ["tensor", [1]],
    ["tensor", []],
    ["tensor", [1, 1]],
  ]
  const known = shapes.map(([, shape]) => shape)
  const scale =
    partOf(stored, `${codes.name}_scale_inv`, scaleTypes, known) ??
    neededPart(stored, `${codes.name}_scale`, scaleTypes, known)
  const [block] = shapes.find(
    ([, shape]) => shape.join() === scale.shape.join() && shape.length === scale.shape.length,
  )!
  return {
    name: codes.name,
    format: eightBitFormat(block),
    shape: [out, columns],
    fill: { codes: codesOf(stored, codes), scale: scalesOf(stored, scale) },
    of: [codes.name, scale.name],
  }
}

/** The codes as they are, of which none is no number. */
function codesOf(stored: Stored, codes: StoredTensor): PlaneFill {
  const [, columns = 0] = codes.shape
  const read = (from: number, part: Uint8Array) =>
    passBytes(stored, codes, from, part, (piece, at) => checkCodes(codes, at, piece))
  if (columns % 4 === 0) return (_, from, part) => read(from, part)
  const each = Math.ceil(columns / 4) * 4
  return byRows(async (first, end, into) => {
    const dense = new Uint8Array((end - first) * columns)
    await read(first * columns, dense)
    into.fill(0)
    for (let row = 0; row < end - first; row++) into.set(dense.subarray(row * columns, (row + 1) * columns), row * each)
  })
}

/** Refuses codes that are no number, four at a time: where seven bits are set, one more carries into the eighth. */
function checkCodes(codes: StoredTensor, from: number, part: Uint8Array): void {
  const words = new Uint32Array(part.buffer, part.byteOffset, part.length >> 2)
  let bad = 0
  for (let i = 0; i < words.length; i++) bad |= (words[i]! & 0x7f7f7f7f) + 0x01010101
  for (let i = words.length * 4; i < part.length; i++) bad |= (part[i]! & 0x7f) + 1
  if ((bad & 0x80808080) === 0) return
  const at = from + part.findIndex((code) => (code & 0x7f) === 0x7f)
  const columns = codes.shape.at(-1)!
  throw new WeftError(
    "checkpoint/number",
    `${printable(codes.name)}: what is in row ${Math.floor(at / columns)}, column ${at % columns} is no number`,
    { hint: "the weights are damaged; fetch the file again" },
  )
}

/** Scales in float32. There are few of them. */
const scalesOf =
  (stored: Stored, scale: StoredTensor): PlaneFill =>
  async (_, from, part) => {
    const numbers = toFloat32(scale.dtype as (typeof scaleTypes)[number], await alignedBytes(stored, scale))
    const wrong = numbers.findIndex((x) => !Number.isFinite(x))
    if (wrong >= 0)
      throw new WeftError("checkpoint/number", `${printable(scale.name)}: scale ${wrong} is ${numbers[wrong]}`, {
        hint: "the weights are damaged; fetch the file again",
      })
    part.set(new Uint8Array(numbers.buffer).subarray(from, from + part.length))
  }
