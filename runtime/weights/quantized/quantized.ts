/**
 * A checkpoint whose weights are quantized, as one whose weights are in formats.
 *
 *     q_proj.qweight, q_proj.qzeros, q_proj.scales, q_proj.bias; config.quantization_config   →   q_proj.weight int4-g128, q_proj.bias
 *
 * What else is stored stays as it is. Nobody above sees `quantization_config`: a model refuses one, for it was not heeded here.
 */
import { printable } from "../../errors.js"
import type { Checkpoint, StoredTensor } from "../checkpoint.js"
import { formatBytes } from "../formats/layout.js"
import { planeReader, type RangeReader } from "../formats/plane-reader.js"
import { awqWeights } from "./awq.js"
import { compressedWeights } from "./compressed-tensors.js"
import { eightBitWeights } from "./eight-bit.js"
import { gptqWeights } from "./gptq.js"
import { isRecord, oneOf, refuse, type Settings } from "./settings.js"
import type { QuantizedWeight, Stored } from "./stored.js"

const methods = {
  gptq: gptqWeights,
  awq: awqWeights,
  fp8: eightBitWeights,
  fbgemm_fp8: eightBitWeights,
  "compressed-tensors": compressedWeights,
} as const satisfies Record<string, (stored: Stored, settings: Settings) => Promise<readonly QuantizedWeight[]>>

const methodNames = Object.keys(methods) as readonly (keyof typeof methods)[]

/** Last parts of names of what narrows activations or the keys and values that are kept, which stay as they are here. */
const unused = new Set([
  "input_scale",
  "input_scale_ub",
  "input_zero_point",
  "activation_scale",
  "k_scale",
  "v_scale",
  "kv_scale",
])
/** Last parts of names that only parts of quantized weights have. */
const parts = new Set([
  "qweight",
  "qzeros",
  "scales",
  "g_idx",
  "weight_packed",
  "weight_shape",
  "weight_zero_point",
  "weight_g_idx",
  "weight_scale",
  "weight_scale_inv",
])

/**
 * The checkpoint with the weights that its quantized tensors stand for; the same checkpoint where its config has no `quantization_config`.
 *
 * @throws WeftError `checkpoint/quantization` for settings or tensors that are not read, by their names
 */
export async function quantizedCheckpoint(checkpoint: Checkpoint): Promise<Checkpoint> {
  const { quantization_config: given, ...config } = checkpoint.config
  if (given === undefined || given === null || (isRecord(given) && Object.keys(given).length === 0)) return checkpoint
  const { folder } = checkpoint
  if (!isRecord(given)) return refuse(folder, "quantization_config of config.json has to be an object")
  const settings: Settings = { folder, path: "quantization_config", fields: given }
  const weights = await methods[oneOf(settings, "quant_method", methodNames)](checkpoint, settings)
  if (weights.length === 0) refuse(folder, "config.json has a quantization_config, and no tensor is quantized")

  const taken = new Map(weights.flatMap((weight) => weight.of.map((name) => [name, weight] as const)))
  const readers = new Map<StoredTensor, RangeReader>()
  const tensors = new Map<string, StoredTensor>()
  const add = (tensor: StoredTensor) => {
    if (tensors.has(tensor.name)) refuse(folder, `${printable(tensor.name)} is stored twice, quantized and as it is`)
    tensors.set(tensor.name, tensor)
  }
  for (const tensor of checkpoint.tensors.values()) {
    const last = tensor.name.slice(tensor.name.lastIndexOf(".") + 1)
    const weight = taken.get(tensor.name)
    if (weight?.of[0] === tensor.name) {
      const made = tensorOf(weight, tensor)
      readers.set(made, planeReader(weight.format, weight.shape, weight.fill))
      add(made)
    } else if (weight === undefined && parts.has(last)) {
      refuse(folder, `${printable(tensor.name)} is part of no quantized weight`)
    } else if (weight === undefined && !unused.has(last)) add(tensor)
  }
  return {
    ...checkpoint,
    config,
    tensors,
    async read(tensor, byteOffset = 0, byteLength = tensor.byteLength - byteOffset, into) {
      const reader = readers.get(tensor)
      return reader ? reader(byteOffset, byteLength, into) : checkpoint.read(tensor, byteOffset, byteLength, into)
    },
  }
}

/** A tensor of a format, as long as its canonical bytes; `file` is where its codes are. */
function tensorOf({ name, format, shape }: QuantizedWeight, { file }: StoredTensor): StoredTensor {
  const byteLength = formatBytes(format, shape)
  return { name, dtype: format.name, shape, file, begin: 0, end: byteLength, byteLength }
}
