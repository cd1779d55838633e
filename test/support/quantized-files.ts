/**
 * Files of quantized models whose stored bytes are drawn by their tensors' names: `test/golden/quantized.py` draws the same, decodes them with other
 * people's code and asks transformers for the logits.
 */
import { model as qwen3 } from "../../models/qwen3.js"
import { type TensorData, writeSafetensors } from "../../runtime/weights/safetensors-writer.js"
import { type Datum, type TensorToWrite, writeGguf } from "./gguf.js"
import { tensorShapes } from "./specs.js"

const base = {
  vocab_size: 96,
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  max_position_embeddings: 128,
  bos_token_id: 0,
  eos_token_id: 1,
  tie_word_embeddings: false,
  rope_parameters: { rope_type: "default", rope_theta: 10000 },
}
const experts = { num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 256, norm_topk_prob: true }
/** Columns of a group, in folders. */
const group = 64

/** Words of 32 bits: the finaliser of MurmurHash3 over their numbers, from the FNV-1a of the name on. */
export function words(name: string, count: number): Uint32Array<ArrayBuffer> {
  const seed = [...new TextEncoder().encode(name)].reduce((h, byte) => Math.imul(h ^ byte, 16777619), 2166136261 | 0)
  return Uint32Array.from({ length: count }, (_, i) => {
    let x = (seed + i) | 0
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    return x ^ (x >>> 16)
  })
}

const drawn = (name: string, bytes: number) => new Uint8Array(words(name, Math.ceil(bytes / 4)).buffer, 0, bytes)
const volume = (shape: readonly number[]) => shape.reduce((n, extent) => n * extent, 1)
const bytesOf = (values: Float32Array | Uint16Array | Uint32Array | Int32Array) =>
  new Uint8Array(values.buffer as ArrayBuffer)
/** Half words that were drawn, each altered. */
const halves = (name: string, count: number, alter: (half: number) => number) =>
  bytesOf(new Uint16Array(drawn(name, count * 2).buffer, 0, count).map(alter))

/** Numbers in F32: of one dimension 0.75 … 1.25, of a router −0.25 … 0.25. */
const plain = (name: string, shape: readonly number[]) =>
  bytesOf(
    Float32Array.from(words(name, volume(shape)), (w) =>
      shape.length === 1 ? 0.75 + (w >>> 16) / 2 ** 17 : ((w >>> 16) - 32768) / 2 ** 17,
    ),
  )
const bf16 = (name: string, shape: readonly number[]) =>
  halves(name, volume(shape), (half) => (half & 0x807f) | (123 << 7))
const f16 = (name: string, shape: readonly number[]) =>
  halves(name, volume(shape), (half) => (half & 0x83ff) | (11 << 10))

interface BlockType {
  readonly number: number
  readonly weights: number
  readonly bytes: number
  /** Numbers in half precision: where, their exponent, and their sign. */
  readonly halves: readonly (readonly [at: number, exponent: number, negative: 0 | 1])[]
}

const type = (number: number, weights: number, bytes: number, ...list: BlockType["halves"]): BlockType => ({
  number,
  weights,
  bytes,
  halves: list,
})
const blockTypes: Readonly<Record<string, BlockType>> = {
  Q4_0: type(2, 32, 18, [0, -6, 0]),
  Q4_1: type(3, 32, 20, [0, -6, 0], [2, -3, 1]),
  Q5_0: type(6, 32, 22, [0, -7, 0]),
  Q5_1: type(7, 32, 24, [0, -7, 0], [2, -3, 1]),
  Q8_0: type(8, 32, 34, [0, -10, 0]),
  Q4_K: type(12, 256, 144, [0, -11, 0], [2, -8, 0]),
  Q5_K: type(13, 256, 176, [0, -12, 0], [2, -8, 0]),
  Q6_K: type(14, 256, 210, [208, -14, 0]),
  IQ4_NL: type(20, 32, 18, [0, -10, 0]),
  IQ4_XS: type(23, 256, 136, [0, -14, 0]),
}

function blocks(name: string, shape: readonly number[], { weights, bytes, halves }: BlockType): Uint8Array {
  const raw = drawn(name, (volume(shape) / weights) * bytes)
  const view = new DataView(raw.buffer)
  for (let block = 0; block < raw.length; block += bytes)
    for (const [at, exponent, negative] of halves) {
      const half = view.getUint16(block + at, true)
      view.setUint16(block + at, (half & 0x3ff) | ((exponent + 15) << 10) | (negative << 15), true)
    }
  return raw
}

/** A matrix of a GGUF file. */
function written(name: string, from: string, shape: readonly number[], kind: string): TensorToWrite {
  if (kind === "F16") return { name, type: 1, shape, data: f16(from, shape) }
  if (kind === "BF16") return { name, type: 30, shape, data: bf16(from, shape) }
  const block = blockTypes[kind]!
  return { name, type: block.number, shape, data: blocks(from, shape, block) }
}

const ggufNames: readonly (readonly [string | RegExp, string])[] = [
  [/^model\.layers\.(\d+)\./, "blk.$1."],
  ["model.embed_tokens", "token_embd"],
  ["model.norm", "output_norm"],
  ["lm_head", "output"],
  ["input_layernorm", "attn_norm"],
  ["post_attention_layernorm", "ffn_norm"],
  [/self_attn\.([qk])_norm/, "attn_$1_norm"],
  [/self_attn\.([qkv])_proj/, "attn_$1"],
  ["self_attn.o_proj", "attn_output"],
  [/mlp\.(gate|up|down)_proj/, "ffn_$1"],
  ["mlp.gate", "ffn_gate_inp"],
]
const ggufName = (name: string) => ggufNames.reduce((text, [from, to]) => text.replace(from, to), name)

const mixed = (name: string) => (name.includes("embed") ? "Q8_0" : /v_proj|down|^lm_head/.test(name) ? "Q6_K" : "Q4_K")

/** A GGUF file of weights in blocks of `kind`; `mixed` is what people call Q4_K_M. */
export function ggufFile(kind: string, ofExperts: boolean): Uint8Array<ArrayBuffer> {
  const config = { ...base, model_type: ofExperts ? "qwen3_moe" : "qwen3", ...(ofExperts ? experts : {}) }
  const kindOf = (name: string) => (kind === "mixed" ? mixed(name) : kind)
  const tensors: TensorToWrite[] = []
  for (const [name, shape] of tensorShapes(qwen3, config)) {
    if (name.includes(".experts.")) continue
    const isPlain = shape.length === 1 || name.endsWith("mlp.gate.weight")
    tensors.push(
      isPlain
        ? { name: ggufName(name), type: 0, shape, data: plain(name, shape) }
        : written(ggufName(name), name, shape, kindOf(name)),
    )
  }
  for (let layer = 0; ofExperts && layer < 2; layer++)
    for (const of of ["gate", "up", "down"]) {
      const from = `model.layers.${layer}.mlp.experts.${of}_proj`
      tensors.push(written(`blk.${layer}.ffn_${of}_exps.weight`, from, [4, 256, 256], kindOf(of)))
    }
  const architecture = ofExperts ? "qwen3moe" : "qwen3"
  const settings: readonly (readonly [string, Datum])[] = [
    ["context_length", 128],
    ["embedding_length", 256],
    ["block_count", 2],
    ["feed_forward_length", 512],
    ["attention.head_count", 4],
    ["attention.head_count_kv", 2],
    ["attention.key_length", 64],
    ["attention.value_length", 64],
    ["rope.freq_base", { f32: 10000 }],
    ["attention.layer_norm_rms_epsilon", { f32: 1e-6 }],
    ["vocab_size", 96],
    ...(ofExperts
      ? ([
          ["expert_count", 4],
          ["expert_used_count", 2],
          ["expert_feed_forward_length", 256],
        ] as const)
      : []),
  ]
  return writeGguf({
    metadata: [
      ["general.architecture", architecture],
      ...settings.map(([key, value]) => [`${architecture}.${key}`, value] as const),
      ["tokenizer.ggml.model", "none"],
    ],
    tensors,
  })
}

const i32 = (name: string, shape: readonly number[], data = drawn(name, volume(shape) * 4)): TensorData => ({
  name,
  dtype: "I32",
  shape,
  data,
})
/** Scales in half precision, 1/64 … 1/32. */
const scalesOf = (name: string, shape: readonly number[]): TensorData => ({
  name,
  dtype: "F16",
  shape,
  data: halves(name, volume(shape), (half) => (half & 0x3ff) | (9 << 10)),
})

/** What a folder has in place of the weight of a linear layer. */
function stored(stem: string, [out, columns]: readonly [number, number], method: string): readonly TensorData[] {
  const groups = columns / group
  if (method.startsWith("gptq")) {
    const order = Int32Array.from({ length: columns }, (_, c) =>
      Math.floor((method === "gptq-order" ? (c * 37) % columns : c) / group),
    )
    const zeros = method === "gptq-symmetric" ? new Uint8Array((groups * out) / 2).fill(0x77) : undefined
    return [
      i32(`${stem}.qweight`, [columns / 8, out]),
      i32(`${stem}.qzeros`, [groups, out / 8], zeros),
      i32(`${stem}.g_idx`, [columns], bytesOf(order)),
      scalesOf(`${stem}.scales`, [groups, out]),
    ]
  }
  if (method === "awq")
    return [
      i32(`${stem}.qweight`, [columns, out / 8]),
      i32(`${stem}.qzeros`, [groups, out / 8]),
      scalesOf(`${stem}.scales`, [groups, out]),
    ]
  if (method === "compressed-tensors") {
    const name = `${stem}.weight_scale`
    const scale = halves(name, out * groups, (half) => (half & 0x7f) | (121 << 7))
    return [
      i32(`${stem}.weight_packed`, [out, columns / 8]),
      { name, dtype: "BF16", shape: [out, groups], data: scale },
      i32(`${stem}.weight_shape`, [2], bytesOf(Int32Array.of(out, columns))),
    ]
  }
  const codes = drawn(`${stem}.weight`, out * columns).map((c) => ((c & 0x7f) === 0x7f ? c & 0xf7 : c))
  const shape = method === "fp8-row" ? [out, 1] : [Math.ceil(out / 128), Math.ceil(columns / 128)]
  const scale = words(`${stem}.weight_scale`, volume(shape)).map((w) => (w & 0x7fffff) | (116 << 23))
  return [
    { name: `${stem}.weight`, dtype: "F8_E4M3", shape: [out, columns], data: codes },
    { name: `${stem}.weight_scale${method === "fp8" ? "_inv" : ""}`, dtype: "F32", shape, data: bytesOf(scale) },
  ]
}

const ofGroups = (weights: object, format: string) => ({
  quant_method: "compressed-tensors",
  format,
  ignore: ["lm_head"],
  config_groups: { group_0: { targets: ["Linear"], weights } },
})
const gptq = { quant_method: "gptq", bits: 4, group_size: group, checkpoint_format: "gptq" }

/** `quantization_config` of each kind of folder. */
export const folderMethods: Readonly<Record<string, object>> = {
  "gptq-symmetric": { ...gptq, sym: true, desc_act: false },
  gptq: { ...gptq, sym: false, desc_act: false },
  "gptq-order": { ...gptq, sym: false, desc_act: true },
  awq: { quant_method: "awq", bits: 4, group_size: group, zero_point: true, version: "gemm" },
  fp8: { quant_method: "fp8", fmt: "e4m3", activation_scheme: "dynamic", weight_block_size: [128, 128] },
  "fp8-row": ofGroups({ num_bits: 8, type: "float", symmetric: true, strategy: "channel" }, "float-quantized"),
  "compressed-tensors": ofGroups(
    { num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: group },
    "pack-quantized",
  ),
}

/** The files of a folder. What GPTQ has to say stands in a file of its own in one of them, as AutoGPTQ wrote it. */
export function folderFiles(method: string, ofExperts: boolean): Readonly<Record<string, string | Uint8Array>> {
  const plainConfig = { ...base, model_type: ofExperts ? "qwen3_moe" : "qwen3", ...(ofExperts ? experts : {}) }
  const tensors = [...tensorShapes(qwen3, plainConfig)].flatMap(([name, shape]): readonly TensorData[] => {
    if (shape.length === 1) return [{ name, dtype: "F32", shape, data: plain(name, shape) }]
    if (name.endsWith("mlp.gate.weight")) return [{ name, dtype: "F32", shape, data: plain(name, shape) }]
    if (!name.includes("layers")) return [{ name, dtype: "BF16", shape, data: bf16(name, shape) }]
    return stored(name.slice(0, -".weight".length), shape as [number, number], method)
  })
  const settings = folderMethods[method]
  const isApart = method === "gptq"
  return {
    "config.json": JSON.stringify(isApart ? plainConfig : { ...plainConfig, quantization_config: settings }),
    "model.safetensors": writeSafetensors(tensors),
    ...(isApart ? { "quantize_config.json": JSON.stringify({ ...settings, quant_method: undefined }) } : {}),
  }
}
