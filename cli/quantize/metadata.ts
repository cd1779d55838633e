/**
 * A config.json as the metadata of a GGUF file, for the families of `models/`; what GGUF cannot say is refused.
 *
 *     { model_type: "mixtral", num_hidden_layers: 32, num_local_experts: 8, … }
 *       →   general.architecture "llama", llama.block_count 32, llama.expert_count 8, …
 *
 * Some things are said by tensors: a head of its own, biases, layers without experts, and by `rope_freqs.weight` how Llama 3 stretches positions.
 */
import { windowOf as qwen2Window } from "../../models/qwen2.js"
import { windowOf as qwen3Window } from "../../models/qwen3.js"
import { type RotaryConfig, rotaryFrequencies } from "../../models/rotary.js"
import { ropeOf } from "../../models/rotary-config.js"
import { printable, WeftError } from "../../runtime/errors.js"
import { architectures } from "../../runtime/weights/gguf/file-names.js"
import type { Entry } from "../../runtime/weights/gguf/writer.js"

/** What the schemas of all families say. */
export interface Config extends RotaryConfig {
  readonly model_type: string
  readonly vocab_size: number
  readonly hidden_size: number
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly num_key_value_heads: number
  readonly head_dim: number
  readonly rms_norm_eps: number
  readonly eos_token_id: readonly number[]
  readonly sliding_window?: number | null
  readonly experts?: number
  readonly norm_topk_prob?: boolean
  readonly clip_qkv?: number | undefined
}

export interface ModelMetadata {
  readonly architecture: string
  /** Keys behind the architecture's name. */
  readonly entries: ReadonlyMap<string, Entry>
  /** What each frequency is divided by, for `rope_freqs.weight`. */
  readonly divisors: Float32Array<ArrayBuffer> | undefined
}

const u32 = (value: number): Entry => ({ type: "u32", value })
const f32 = (value: number): Entry => ({ type: "f32", value })

/** Fields that are numbers under both names; those of which a config has none are left out. */
const counts: readonly (readonly [field: string, key: string])[] = [
  ["vocab_size", "vocab_size"],
  ["max_position_embeddings", "context_length"],
  ["hidden_size", "embedding_length"],
  ["num_hidden_layers", "block_count"],
  ["intermediate_size", "feed_forward_length"],
  ["num_attention_heads", "attention.head_count"],
  ["num_key_value_heads", "attention.head_count_kv"],
  ["head_dim", "attention.key_length"],
  ["head_dim", "attention.value_length"],
  ["head_dim", "rope.dimension_count"],
]
const expertCounts: readonly (readonly [field: string, key: string])[] = [
  ["experts", "expert_count"],
  ["num_experts_per_tok", "expert_used_count"],
  ["moe_intermediate_size", "expert_feed_forward_length"],
  ["shared_expert_intermediate_size", "expert_shared_feed_forward_length"],
]

/**
 * @param config as the model's schema reads it
 * @throws WeftError `quantize/config`
 */
export function metadataOf(config: Config): ModelMetadata {
  const { model_type: family, experts = 0 } = config
  const architecture = Object.hasOwn(architectures, family) ? architectures[family] : undefined
  if (architecture === undefined)
    return refuse(`GGUF has no architecture for models of the family ${printable(family)}`)
  const entries = new Map<string, Entry>()
  for (const [field, key] of experts > 0 ? [...counts, ...expertCounts] : counts) {
    const value = (config as unknown as Readonly<Record<string, unknown>>)[field]
    if (typeof value === "number") entries.set(key, u32(value))
  }
  entries.set("attention.layer_norm_rms_epsilon", f32(config.rms_norm_eps))
  if (experts > 0 && config.norm_topk_prob !== undefined && family !== "mixtral")
    entries.set("expert_weights_norm", { type: "bool", value: config.norm_topk_prob })
  if (config.clip_qkv !== undefined) entries.set("attention.clamp_kqv", f32(config.clip_qkv))
  for (const [key, entry] of windowEntries(config)) entries.set(key, entry)
  const { turning, divisors } = rotaryEntries(config)
  for (const [key, entry] of turning) entries.set(key, entry)
  return { architecture, entries, divisors }
}

function refuse(problem: string): never {
  throw new WeftError("quantize/config", problem, { hint: "use the model's folder as it is" })
}

/** Keys that a query sees, where they are not all, and in which layers. */
function windowEntries(config: Config): readonly (readonly [string, Entry])[] {
  if (config.model_type === "mistral" || config.model_type === "mixtral")
    return config.sliding_window == null ? [] : [["attention.sliding_window", u32(config.sliding_window)]]
  const windowOf = config.model_type.startsWith("qwen2") ? qwen2Window : qwen3Window
  if (!config.model_type.startsWith("qwen")) return []
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) =>
    windowOf(config as unknown as Parameters<typeof qwen2Window>[0] & Parameters<typeof qwen3Window>[0], i),
  )
  const window = layers.find((size) => size !== undefined)
  if (window === undefined) return []
  return [
    ["attention.sliding_window", u32(window)],
    ["attention.sliding_window_pattern", { type: "bools", value: layers.map((size) => size !== undefined) }],
  ]
}

function rotaryEntries(config: Config) {
  const { rope, kind, original, factor } = ropeOf(config)
  const theta = rope.rope_theta ?? config.rope_theta ?? 10_000
  const turning: (readonly [string, Entry])[] = [["rope.freq_base", f32(theta)]]
  const scaling = (key: string, entry: Entry) => turning.push([`rope.scaling.${key}`, entry])
  if (kind === "linear" || kind === "yarn") {
    scaling("type", { type: "text", value: kind })
    scaling("factor", f32(factor))
  }
  if (kind === "yarn") {
    if (rope.truncate === false) refuse("GGUF cannot say YaRN with truncate false")
    scaling("original_context_length", u32(original))
    if (rope.beta_fast != null) scaling("yarn_beta_fast", f32(rope.beta_fast))
    if (rope.beta_slow != null) scaling("yarn_beta_slow", f32(rope.beta_slow))
    if (rope.attention_factor != null || (rope.mscale && rope.mscale_all_dim))
      scaling("yarn_attn_factor", f32(rotaryFrequencies(config, config.head_dim).scaling))
  }
  if (kind !== "llama3") return { turning, divisors: undefined }
  const { frequencies } = rotaryFrequencies(config, config.head_dim)
  const divisors = Float32Array.from(frequencies, (f, i) => theta ** ((-2 * i) / config.head_dim) / f)
  return { turning, divisors }
}
