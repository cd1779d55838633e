/**
 * A file's metadata as the config.json from which they were made, for the families that read it.
 *
 *     general.architecture "llama", llama.block_count 32, llama.expert_count 8, …   →   { model_type: "mixtral", num_hidden_layers: 32, … }
 *
 * GGUF says some things by the tensors that are there: a head of its own, biases, layers without experts. Sources: `conversion/` and
 * `src/models/` of llama.cpp, which computes some things without being told: only Mixtral and Qwen3 make the experts' shares sum to 1. Its converter
 * leaves windows out (of Mistral 0.1, of Qwen), and so do its files: layers see all keys then, as they do in llama.cpp.
 */
import { printable, WeftError } from "../../errors.js"
import type { GgufHeader } from "./container.js"
import { type Fields, fieldsOf } from "./fields.js"
import { ropeOf } from "./rotary.js"

export type Config = Readonly<Record<string, unknown>>
type Tensors = GgufHeader["tensors"]

/** Says the rest of a config, and the `model_type`. */
type Family = (fields: Fields, tensors: Tensors) => Config & { readonly model_type: string }

const families: Readonly<Record<string, Family>> = {
  llama(fields, tensors) {
    const window = { sliding_window: fields.count("attention.sliding_window") || null }
    if (window.sliding_window !== null) allSlide(fields)
    if (fields.count("expert_count"))
      return { model_type: "mixtral", ...window, ...expertsOf(fields, true), ...expertSize(fields) }
    if (window.sliding_window !== null) return { model_type: "mistral", ...window }
    const mlp_bias = tensors.has("blk.0.ffn_gate.bias")
    return { model_type: "llama", attention_bias: hasBias(tensors), mlp_bias }
  },
  olmoe: (fields, tensors) => ({
    model_type: "olmoe",
    attention_bias: hasBias(tensors),
    clip_qkv: fields.number("attention.clamp_kqv") || null,
    ...expertsOf(fields, false),
    ...expertSize(fields),
  }),
  qwen2: (fields) => ({ model_type: "qwen2", ...windowOf(fields) }),
  qwen2moe: (fields, tensors) => ({
    model_type: "qwen2_moe",
    ...windowOf(fields),
    ...expertsOf(fields, false),
    ...sparseOf(fields, tensors),
    qkv_bias: hasBias(tensors),
    shared_expert_intermediate_size:
      fields.count("expert_shared_feed_forward_length") ?? fields.needed("feed_forward_length"),
  }),
  qwen3: (fields, tensors) => ({ model_type: "qwen3", attention_bias: hasBias(tensors), ...windowOf(fields) }),
  qwen3moe: (fields, tensors) => ({
    model_type: "qwen3_moe",
    attention_bias: hasBias(tensors),
    ...windowOf(fields, "all"),
    ...expertsOf(fields, true),
    ...sparseOf(fields, tensors),
  }),
}

/** Fields by which the result would be another, and the values by which it is not. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  "attention.causal": [true],
  "attention.scale": [0],
  "attention.temperature_scale": [0],
  attn_logit_softcapping: [0],
  embedding_scale: [0, 1],
  expert_gating_func: [0, 1],
  expert_group_count: [0, 1],
  expert_shared_count: [0],
  expert_weights_scale: [0, 1],
  final_logit_softcapping: [0],
  leading_dense_block_count: [0],
  logit_scale: [0, 1],
  nextn_predict_layers: [0],
  residual_scale: [0, 1],
  use_parallel_residual: [true],
}

/**
 * @param frequencies the numbers of `rope_freqs.weight`, where the file has it
 * @throws WeftError `checkpoint/metadata`, `checkpoint/architecture`, `checkpoint/missing` where a file has a vocabulary and no weights
 */
export function configOf(file: string, header: GgufHeader, frequencies: Float32Array | undefined): Config {
  const { metadata, tensors } = header
  const fields = fieldsOf(file, metadata)
  const family = Object.hasOwn(families, fields.architecture) ? families[fields.architecture] : undefined
  if (family === undefined)
    throw new WeftError(
      "checkpoint/architecture",
      `${printable(file)} is of the architecture ${printable(fields.architecture)}, which no model reads`,
      {
        hint: `known are ${Object.keys(families).join(", ")}`,
      },
    )
  const embedding = tensors.get("token_embd.weight")
  if (embedding === undefined)
    throw new WeftError(
      "checkpoint/missing",
      `${printable(file)} holds ${tensors.size === 0 ? "a vocabulary and no weights" : "no tensor token_embd.weight"}`,
      { hint: "fetch the file that has the model's weights" },
    )
  for (const [key, values] of Object.entries(neutral)) {
    const value = fields.value(key) ?? values[0]
    if (!values.includes(value)) fields.refuse(key, `is ${printable(String(value))}, which is not supported`)
  }
  const heads = fields.needed("attention.head_count")
  const hidden_size = fields.needed("embedding_length")
  const head_dim = fields.count("attention.key_length") ?? hidden_size / heads
  if (!Number.isInteger(head_dim) || head_dim < 2 || head_dim % 2 !== 0)
    fields.refuse(
      "attention.head_count",
      `is ${heads}, which leaves ${head_dim} channels for a head: they turn in pairs`,
    )
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const channels = fields.count(key) ?? head_dim
    if (channels !== head_dim)
      fields.refuse(key, `is ${channels}, and a head has ${head_dim} channels: that is not supported`)
  }
  return {
    vocab_size: embedding.shape[0],
    hidden_size,
    intermediate_size: fields.needed("feed_forward_length"),
    num_hidden_layers: fields.needed("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: fields.count("attention.head_count_kv") ?? heads,
    head_dim,
    max_position_embeddings: fields.needed("context_length"),
    rms_norm_eps:
      fields.number("attention.layer_norm_rms_epsilon") ??
      fields.refuse("attention.layer_norm_rms_epsilon", "is missing"),
    rope_parameters: ropeOf(fields, head_dim, frequencies),
    tie_word_embeddings: !tensors.has("output.weight"),
    eos_token_id: fields.count(".tokenizer.ggml.eos_token_id") ?? [],
    ...family(fields, tensors),
  }
}

const hasBias = (tensors: Tensors): boolean => tensors.has("blk.0.attn_q.bias") || tensors.has("blk.0.attn_qkv.bias")

/** What a router chooses from, at most: each is a tensor by itself. */
const mostExperts = 1000

function expertsOf(fields: Fields, normalised: boolean): Config {
  const num_experts = fields.needed("expert_count")
  if (num_experts > mostExperts) fields.refuse("expert_count", `is ${num_experts}, the limit is ${mostExperts}`)
  return {
    num_experts,
    num_experts_per_tok: fields.needed("expert_used_count"),
    norm_topk_prob: fields.flag("expert_weights_norm") ?? normalised,
  }
}

/** Where all layers are of experts, theirs is the only size. */
const expertSize = (fields: Fields): Config => ({
  intermediate_size: fields.count("expert_feed_forward_length") ?? fields.needed("feed_forward_length"),
})

/** Layers without a router are those that a config would list. */
function sparseOf(fields: Fields, tensors: Tensors): Config {
  const layers = Array.from({ length: Math.min(1000, fields.needed("block_count")) }, (_, i) => i)
  return {
    decoder_sparse_step: 1,
    mlp_only_layers: layers.filter((i) => !tensors.has(`blk.${i}.ffn_gate_inp.weight`)),
    moe_intermediate_size:
      fields.count("expert_feed_forward_length") ??
      Math.floor(fields.needed("feed_forward_length") / fields.needed("expert_used_count")),
  }
}

/** A window, and which layers it is of. */
function windowOf(fields: Fields, slides: "some" | "all" = "some"): Config {
  const window = fields.count("attention.sliding_window") ?? 0
  if (window === 0) return { use_sliding_window: false }
  const pattern = fields.value("attention.sliding_window_pattern")
  if (!Array.isArray(pattern) || pattern.length !== fields.needed("block_count"))
    return fields.refuse("attention.sliding_window_pattern", "does not say for each layer whether it slides")
  if (slides === "all") allSlide(fields)
  const layer_types = pattern.map((one) => (one ? "sliding_attention" : "full_attention"))
  return { use_sliding_window: true, sliding_window: window, layer_types }
}

/** Refuses layers that see all keys beside others. */
function allSlide(fields: Fields): void {
  const pattern = fields.value("attention.sliding_window_pattern")
  if (Array.isArray(pattern) ? pattern.some((one) => one !== true) : pattern !== undefined)
    fields.refuse("attention.sliding_window_pattern", "has layers that see all keys, which this family has not")
}
