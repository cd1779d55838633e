/**
 * compressed-tensors, the format of llm-compressor: integers in words along `in`, or numbers of eight bits (`eight-bit.ts`). Source:
 * vllm-project/compressed-tensors, `compressors/pack_quantized`.
 *
 *     X.weight_packed I32 [out, in / 8]   X.weight_scale [out, groups]   X.weight_shape [2]                        →   X.weight int4-g128-symmetric
 *     … with X.weight_zero_point I32 [out / 8, groups], and X.weight_g_idx I32 [in] where columns are in groups out of order
 *
 *     X.weight I8 [out, in]   X.weight_scale [out, 1]                                                             →   X.weight int8-row-symmetric
 *
 * Tensors say how they are quantized; a group of the config must agree.
 */
import { printable } from "../../errors.js"
import type { StoredTensor } from "../checkpoint.js"
import { eightBitTensors } from "./eight-bit.js"
import { scaleFields } from "./gptq.js"
import { readOrder, type UnorderedWeight, withOrder } from "./order.js"
import { countOf, inside, oneOf, pairOf, refuse, refuseField, refuseUnlessEmpty, type Settings } from "./settings.js"
import {
  alignedBytes,
  asStored,
  byRows,
  neededPart,
  partOf,
  passBytes,
  type QuantizedWeight,
  type Stored,
  stemsOf,
} from "./stored.js"
import { turnedZeros } from "./zeros.js"

interface Integers {
  readonly bits: 4 | 8
  /** Columns of a group; −1 for all. */
  readonly group: number
}

/** What the groups of a config ask for. */
interface Schemes {
  readonly integers: readonly Integers[]
  readonly blocks: readonly (readonly [number, number])[]
}

/** @throws WeftError `checkpoint/quantization` for settings or tensors that are not read */
export async function compressedWeights(stored: Stored, settings: Settings): Promise<readonly QuantizedWeight[]> {
  const { integers, blocks } = schemesOf(settings)
  const packed = stemsOf(stored, ".weight_packed").map((stem) => packedWeight(stored, stem, integers))
  const plain = stemsOf(stored, ".weight").flatMap((stem) => plainWeight(stored, stem, integers) ?? [])
  return [...withOrder([...(await Promise.all(packed)), ...plain]), ...eightBitTensors(stored, blocks)]
}

function schemesOf(settings: Settings): Schemes {
  refuseUnlessEmpty(settings, ["transform_config"])
  const { sparsity_config } = settings.fields
  if (sparsity_config != null && Object.keys(sparsity_config).length > 0)
    oneOf(inside(settings, "sparsity_config"), "format", ["dense"])
  const groups = inside(settings, "config_groups")
  const integers: Integers[] = []
  const blocks: (readonly [number, number])[] = []
  for (const name of Object.keys(groups.fields)) {
    const group = inside(groups, name)
    refuseUnlessEmpty(group, ["output_activations"])
    const weights = inside(group, "weights")
    const isInteger = oneOf(weights, "type", ["int", "float"], "int") === "int"
    // Groups may have formats of their own.
    const named = group.fields.format == null ? settings : group
    if (isInteger) {
      oneOf(named, "format", ["pack-quantized", "int-quantized"])
      integers.push(integersOf(weights))
      continue
    }
    oneOf(named, "format", ["float-quantized", "naive-quantized"])
    oneOf(weights, "num_bits", [8])
    oneOf(weights, "symmetric", [true], true)
    if (oneOf(weights, "strategy", ["tensor", "channel", "block"]) !== "block") continue
    blocks.push(
      pairOf(weights, "block_structure") ??
        refuseField(weights, "block_structure", "it has to be two positive integers"),
    )
  }
  return { integers, blocks }
}

function integersOf(weights: Settings): Integers {
  const bits = oneOf(weights, "num_bits", [4, 8])
  const size = weights.fields.group_size
  const strategy = oneOf(weights, "strategy", ["group", "channel"], size == null || size === -1 ? "channel" : "group")
  return { bits, group: strategy === "channel" ? -1 : countOf(weights, "group_size") }
}

async function packedWeight(stored: Stored, stem: string, known: readonly Integers[]): Promise<UnorderedWeight> {
  const codes = neededPart(stored, `${stem}.weight_packed`, ["I32"])
  const shapeTensor = neededPart(stored, `${stem}.weight_shape`, ["I64", "I32"], [[2]])
  const [out, columns] = await pairFrom(stored, shapeTensor)
  const scales = neededPart(stored, `${stem}.weight_scale`, Object.keys(scaleFields))
  const groupsOf = ({ group }: Integers) => (group === -1 ? 1 : Math.ceil(columns / group))
  const fits = (i: Integers) =>
    codes.shape.join() === `${out},${Math.ceil((columns * i.bits) / 32)}` &&
    scales.shape.join() === `${out},${groupsOf(i)}`
  const scheme =
    known.find(fits) ??
    refuse(
      stored.folder,
      `${printable(codes.name)} is [${codes.shape.join(", ")}] with scales [${scales.shape.join(", ")}] for weights [${out}, ${columns}], as no group of quantization_config.config_groups has it`,
    )
  const { bits } = scheme
  const groups = groupsOf(scheme)
  const zeros = partOf(stored, `${stem}.weight_zero_point`, ["I32"], [[Math.ceil((out * bits) / 32), groups]])
  const index = partOf(stored, `${stem}.weight_g_idx`, ["I32"], [[columns]])
  const scale = scaleFields[scales.dtype as keyof typeof scaleFields]
  const perWord = 32 / bits
  const word = (row: number, group: number) => Math.floor(row / perWord) * groups + group
  const packing = { bits, groups, word, field: (row: number) => row % perWord, added: 0 }
  return {
    name: `${stem}.weight`,
    options: { bits, group: groups === 1 ? "row" : scheme.group, symmetric: zeros === undefined, scale },
    order: index && (await readOrder(stored, index, scheme.group, groups)),
    shape: [out, columns],
    fill: {
      codes: asStored(stored, codes),
      scale: asStored(stored, scales),
      ...(zeros === undefined ? {} : { zero: byRows(turnedZeros(stored, zeros, packing)) }),
    },
    of: [codes, shapeTensor, scales, zeros, index].flatMap((t) => (t === undefined ? [] : [t.name])),
  }
}

/** A weight of integers of eight bits as they are, less 128, without zeros; activations are not narrowed as the file may say. */
function plainWeight(stored: Stored, stem: string, known: readonly Integers[]): UnorderedWeight | undefined {
  const codes = stored.tensors.get(`${stem}.weight`)!
  if (codes.dtype !== "I8") return undefined
  const [out = 0, columns = 0] = codes.shape
  const scales = neededPart(stored, `${stem}.weight_scale`, Object.keys(scaleFields))
  const fits = ({ bits, group }: Integers) =>
    bits === 8 && scales.shape.join() === `${out},${group === -1 ? 1 : Math.ceil(columns / group)}`
  const scheme = known.find(fits)
  if (codes.shape.length !== 2 || columns % 4 !== 0 || scheme === undefined)
    return refuse(
      stored.folder,
      `${printable(codes.name)} is I8 [${codes.shape.join(", ")}] with scales [${scales.shape.join(", ")}], as no group of quantization_config.config_groups has it`,
    )
  return {
    name: codes.name,
    shape: [out, columns],
    options: {
      bits: 8,
      group: scales.shape[1] === 1 ? "row" : scheme.group,
      symmetric: true,
      scale: scaleFields[scales.dtype as keyof typeof scaleFields],
    },
    order: undefined,
    fill: {
      codes: (_, from, part) =>
        passBytes(stored, codes, from, part, (piece) => {
          for (let i = 0; i < piece.length; i++) piece[i]! ^= 0x80
        }),
      scale: asStored(stored, scales),
    },
    of: [codes.name, scales.name],
  }
}

/** Two counts that a tensor holds. */
async function pairFrom(stored: Stored, tensor: StoredTensor): Promise<readonly [number, number]> {
  const bytes = await alignedBytes(stored, tensor)
  const values = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = tensor.byteLength / 2
  const at = (i: number) => (size === 8 ? Number(values.getBigInt64(i * 8, true)) : values.getInt32(i * 4, true))
  const [rows, columns] = [at(0), at(1)]
  if (rows > 0 && columns > 0 && Number.isSafeInteger(rows * columns)) return [rows, columns]
  return refuse(stored.folder, `${printable(tensor.name)} holds ${rows} and ${columns}, which is no shape`)
}
