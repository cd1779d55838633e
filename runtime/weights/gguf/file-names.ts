/**
 * Names of tensors: those of transformers, by which Weft knows weights, and those of GGUF. One table serves both directions.
 *
 *     model.layers.3.self_attn.q_proj.weight          ↔   blk.3.attn_q.weight
 *     model.layers.3.mlp.experts.5.up_proj.weight     ↔   expert 5 of blk.3.ffn_up_exps.weight
 *
 * Source: `tensor_mapping.py` of gguf-py.
 */

/** The name of a tensor without its last part, `weight` or `bias`; `*` is a layer, and in the first a second one is an expert. */
type Pair = readonly [model: string, file: string]

const whole: readonly Pair[] = [
  ["model.embed_tokens", "token_embd"],
  ["model.norm", "output_norm"],
  ["lm_head", "output"],
]

const attention: readonly Pair[] = [
  ["model.layers.*.input_layernorm", "blk.*.attn_norm"],
  ["model.layers.*.self_attn.q_proj", "blk.*.attn_q"],
  ["model.layers.*.self_attn.k_proj", "blk.*.attn_k"],
  ["model.layers.*.self_attn.v_proj", "blk.*.attn_v"],
  ["model.layers.*.self_attn.o_proj", "blk.*.attn_output"],
  ["model.layers.*.self_attn.q_norm", "blk.*.attn_q_norm"],
  ["model.layers.*.self_attn.k_norm", "blk.*.attn_k_norm"],
  ["model.layers.*.post_attention_layernorm", "blk.*.ffn_norm"],
]

const feedForward: readonly Pair[] = [
  ["model.layers.*.mlp.gate_proj", "blk.*.ffn_gate"],
  ["model.layers.*.mlp.up_proj", "blk.*.ffn_up"],
  ["model.layers.*.mlp.down_proj", "blk.*.ffn_down"],
  ["model.layers.*.mlp.gate", "blk.*.ffn_gate_inp"],
  ["model.layers.*.mlp.experts.*.gate_proj", "blk.*.ffn_gate_exps"],
  ["model.layers.*.mlp.experts.*.up_proj", "blk.*.ffn_up_exps"],
  ["model.layers.*.mlp.experts.*.down_proj", "blk.*.ffn_down_exps"],
  ["model.layers.*.mlp.shared_expert_gate", "blk.*.ffn_gate_inp_shexp"],
  ["model.layers.*.mlp.shared_expert.gate_proj", "blk.*.ffn_gate_shexp"],
  ["model.layers.*.mlp.shared_expert.up_proj", "blk.*.ffn_up_shexp"],
  ["model.layers.*.mlp.shared_expert.down_proj", "blk.*.ffn_down_shexp"],
]

const mixtralFeedForward: readonly Pair[] = [
  ["model.layers.*.block_sparse_moe.gate", "blk.*.ffn_gate_inp"],
  ["model.layers.*.block_sparse_moe.experts.*.w1", "blk.*.ffn_gate_exps"],
  ["model.layers.*.block_sparse_moe.experts.*.w3", "blk.*.ffn_up_exps"],
  ["model.layers.*.block_sparse_moe.experts.*.w2", "blk.*.ffn_down_exps"],
]

/** The names of a family of models, by `model_type` of a config. */
const pairsOf = (family: string): readonly Pair[] => [
  ...whole,
  ...attention,
  ...(family === "mixtral" ? mixtralFeedForward : feedForward),
]

/** What an architecture of GGUF is called in a config, and the other way round. Llama's has several families, which are told apart by what else is said. */
export const architectures: Readonly<Record<string, string>> = {
  llama: "llama",
  mistral: "llama",
  mixtral: "llama",
  olmoe: "olmoe",
  qwen2: "qwen2",
  qwen2_moe: "qwen2moe",
  qwen3: "qwen3",
  qwen3_moe: "qwen3moe",
}

/**
 * Whether rows of queries and keys lie in another order in a file: those of a head's first half and of its second in turns, for runtimes that turn
 * channels 2i and 2i + 1 together, and not i and i + half.
 */
export const isInterleaved = (architecture: string, name: string): boolean =>
  architecture === "llama" && /^blk\.\d+\.attn_[qk]\.(weight|bias)$/.test(name)

/** What a tensor of a model is in a file. */
export interface FileName {
  readonly name: string
  /** Which part of the file's tensor it is, along the first of its dimensions. */
  readonly expert?: number
}

/** The tensor of a file that holds a tensor of a model. */
export function fileName(family: string, name: string): FileName | undefined {
  const { stem, kind } = split(name)
  for (const [model, file] of pairsOf(family)) {
    const [layer, expert] = numbers(model, stem) ?? [undefined]
    if (layer === undefined) continue
    const found = `${file.replace("*", String(layer))}.${kind}`
    return expert === undefined ? { name: found } : { name: found, expert }
  }
  return undefined
}

/** The name in a model of a file's tensor, with `*` in the place of the expert where it holds one after the other. */
export function modelName(family: string, name: string): string | undefined {
  const { stem, kind } = split(name)
  for (const [model, file] of pairsOf(family)) {
    const [layer] = numbers(file, stem) ?? [undefined]
    if (layer !== undefined) return `${model.replace("*", String(layer))}.${kind}`
  }
  return undefined
}

function split(name: string) {
  const dot = name.lastIndexOf(".")
  return { stem: name.slice(0, dot), kind: name.slice(dot + 1) }
}

/** The numbers that a name has at the stars of a pattern; of one without stars a 0. */
function numbers(pattern: string, name: string): readonly number[] | undefined {
  const expected = pattern.split(".")
  const parts = name.split(".")
  if (parts.length !== expected.length) return undefined
  if (!parts.every((part, i) => (expected[i] === "*" ? /^(0|[1-9]\d*)$/.test(part) : part === expected[i])))
    return undefined
  return pattern.includes("*") ? parts.filter((_, i) => expected[i] === "*").map(Number) : [0]
}
