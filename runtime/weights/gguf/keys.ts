/**
 * Fields of config.json and keys of GGUF that say the same. One table serves both directions.
 *
 *     num_hidden_layers 28   ↔   qwen3.block_count 28
 *
 * What is no number that both have (how positions are stretched, windows by layer, experts by layer) is not here. Source: `constants.py` of gguf-py.
 */

export interface Key {
  /** The field of a config. */
  readonly field: string
  /** The key, behind the architecture. */
  readonly key: string
  readonly type: "u32" | "f32" | "bool"
}

const count = (field: string, key: string): Key => ({ field, key, type: "u32" })

const decoder: readonly Key[] = [
  count("vocab_size", "vocab_size"),
  count("max_position_embeddings", "context_length"),
  count("hidden_size", "embedding_length"),
  count("num_hidden_layers", "block_count"),
  count("intermediate_size", "feed_forward_length"),
  count("num_attention_heads", "attention.head_count"),
  count("num_key_value_heads", "attention.head_count_kv"),
  count("head_dim", "attention.key_length"),
  count("head_dim", "attention.value_length"),
  { field: "rms_norm_eps", key: "attention.layer_norm_rms_epsilon", type: "f32" },
  { field: "rope_theta", key: "rope.freq_base", type: "f32" },
]

const experts: readonly Key[] = [
  count("num_experts", "expert_count"),
  count("num_experts_per_tok", "expert_used_count"),
  { field: "norm_topk_prob", key: "expert_weights_norm", type: "bool" },
]

const byFamily: Readonly<Record<string, readonly Key[]>> = {
  mixtral: [count("num_local_experts", "expert_count"), count("num_experts_per_tok", "expert_used_count")],
  olmoe: experts,
  qwen2_moe: [
    ...experts,
    count("moe_intermediate_size", "expert_feed_forward_length"),
    count("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
  ],
  qwen3_moe: [...experts, count("moe_intermediate_size", "expert_feed_forward_length")],
}

/** The keys of a family of models, by `model_type` of a config. */
export const keysOf = (family: string): readonly Key[] => [...decoder, ...(byFamily[family] ?? [])]
