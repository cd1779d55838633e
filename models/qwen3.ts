/**
 * Qwen3, dense and mixture of experts (Qwen team 2025, arXiv 2505.09388): pre-norm blocks of grouped-query attention with normalised
 * queries and keys, rotary positions, and gated feed-forward layers of which some choose a few experts for each token.
 *
 *     h = h + attention(rmsNorm(h)),  h = h + feedForward(rmsNorm(h)),  logits = rmsNorm(h) · head
 *
 * Axes: seq (new tokens), key (all tokens so far), embed, kv and rep (a query head is one of `rep` that share a key head), dim (the
 * channels of a head), hidden (of the feed-forward layer), expert, slot (the experts chosen), vocab. Names of tensors and fields are those
 * of transformers, and so are the defaults.
 */
import * as z from "zod"
import {
  add,
  append,
  at,
  biased,
  call,
  causal,
  defineModel,
  dot,
  extent,
  grows,
  iota,
  map,
  normalize,
  rename,
  repeat,
  rmsNorm,
  rope,
  scale,
  silu,
  softmax,
  stack,
  state,
  type Tensor,
  top,
  weight,
} from "../dsl/index.js"
import { absentSchema, configObject, onlySchema, tokensSchema, unusedUnless } from "./config.js"
import { rotaryConflict, rotaryContext, rotaryFields, rotaryFrequencies } from "./rotary.js"

type Embedded = Tensor<"seq" | "embed">

const count = z.int32().positive()
const several = count.max(1000) // what a checkpoint has a tensor of its own for

const configSchema = configObject(
  {
    ...rotaryFields,
    model_type: z.enum(["qwen3", "qwen3_moe"]),
    vocab_size: count,
    hidden_size: count,
    intermediate_size: count,
    num_hidden_layers: several,
    num_attention_heads: count,
    num_key_value_heads: count,
    head_dim: count.optional(),
    hidden_act: onlySchema("hidden_act", "silu"),
    rms_norm_eps: z.number().positive().default(1e-6),
    attention_bias: z.boolean().default(false),
    tie_word_embeddings: z.boolean().default(false),
    eos_token_id: tokensSchema.default([]),
    use_sliding_window: z.boolean().default(false),
    sliding_window: count.nullable().default(4096),
    max_window_layers: z.int().nonnegative().default(28),
    layer_types: z.array(z.enum(["full_attention", "sliding_attention"])).optional(),
    num_experts: several.optional(),
    num_local_experts: several.optional(),
    num_experts_per_tok: count.default(8),
    moe_intermediate_size: count.default(768),
    norm_topk_prob: z.boolean().default(false),
    decoder_sparse_step: count.default(1),
    mlp_only_layers: z.array(z.int()).optional(),
    quantization_config: absentSchema("quantized checkpoints (quantization_config) are not supported"),
  },
  { nullable: ["sliding_window"], unused: unusedUnless("qwen3_moe") },
)
  .transform((c) => ({
    ...c,
    head_dim: c.head_dim ?? c.hidden_size / c.num_attention_heads,
    rep: c.num_attention_heads / c.num_key_value_heads,
    experts: c.model_type === "qwen3_moe" ? (c.num_experts ?? c.num_local_experts ?? 128) : 0,
    window: c.use_sliding_window ? c.sliding_window : null,
  }))
  .superRefine((c, issues) => {
    const refuse = (field: string, message: string) => issues.addIssue({ code: "custom", path: [field], message })
    if (rotaryConflict(c)) refuse("rope_scaling", "rope_scaling stands beside rope_parameters; leave one")
    const beyond = c.eos_token_id.find((token) => token >= c.vocab_size)
    if (beyond !== undefined) refuse("eos_token_id", `${beyond} is no token: vocab_size is ${c.vocab_size}`)
    if (c.head_dim % 2 !== 0) refuse("head_dim", `a head has ${c.head_dim} channels; rotary positions need pairs`)
    const { num_attention_heads: heads, num_key_value_heads: keys } = c
    if (heads % keys !== 0) refuse("num_key_value_heads", `${heads} query heads do not share ${keys} key heads`)
    if (c.experts > 0 && c.num_experts_per_tok > c.experts)
      refuse("num_experts_per_tok", `${c.num_experts_per_tok} of ${c.experts} experts cannot be chosen`)
    if (c.layer_types && c.layer_types.length !== c.num_hidden_layers)
      refuse("layer_types", `there are ${c.layer_types.length} layer_types for ${c.num_hidden_layers} layers`)
    if (c.experts === 0 && c.window === null && c.layer_types?.includes("sliding_attention"))
      refuse("layer_types", "layer_types names sliding_attention, and use_sliding_window or sliding_window is off")
  })
type Config = z.output<typeof configSchema>

/** How many keys a query of layer `i` sees; undefined is all of them. Without `layer_types`, the first layers see all. */
function windowOf(c: Config, i: number): number | undefined {
  const slides =
    c.model_type === "qwen3_moe" ||
    (c.layer_types ? c.layer_types[i] === "sliding_attention" : i >= c.max_window_layers)
  return slides ? (c.window ?? undefined) : undefined
}

function isSparse(c: Config, i: number): boolean {
  return c.experts > 0 && !c.mlp_only_layers?.includes(i) && (i + 1) % c.decoder_sparse_step === 0
}

type Attention = ReturnType<typeof attentionWeights>
function attentionWeights(c: Config, name: string) {
  const embed = { embed: c.hidden_size }
  const keys = { kv: c.num_key_value_heads, dim: c.head_dim }
  const queries = { kv: c.num_key_value_heads, rep: c.rep, dim: c.head_dim }
  return {
    q: weight(`${name}.q_proj.weight`, queries, embed),
    k: weight(`${name}.k_proj.weight`, keys, embed),
    v: weight(`${name}.v_proj.weight`, keys, embed),
    o: weight(`${name}.o_proj.weight`, embed, queries),
    qNorm: weight(`${name}.q_norm.weight`, { dim: c.head_dim }),
    kNorm: weight(`${name}.k_norm.weight`, { dim: c.head_dim }),
    qBias: c.attention_bias ? weight(`${name}.q_proj.bias`, queries) : undefined,
    kBias: c.attention_bias ? weight(`${name}.k_proj.bias`, keys) : undefined,
    vBias: c.attention_bias ? weight(`${name}.v_proj.bias`, keys) : undefined,
    oBias: c.attention_bias ? weight(`${name}.o_proj.bias`, embed) : undefined,
  }
}

type Cache = ReturnType<typeof cacheState>
function cacheState(c: Config) {
  const rows = { key: grows(rotaryContext(c)), kv: c.num_key_value_heads, dim: c.head_dim }
  return { k: state(rows), v: state(rows) }
}

function attention(c: Config, window: number | undefined, x: Embedded, w: Attention, past: Cache) {
  const position = iota("seq", extent(x, "seq"), extent(past.k, "key"), "position")
  const rotary = rotaryFrequencies(c, c.head_dim)
  const eps = c.rms_norm_eps
  const q = rope(rmsNorm(biased(dot(x, w.q, "embed"), w.qBias), w.qNorm, "dim", eps), position, "dim", rotary)
  const k = rope(rmsNorm(biased(dot(x, w.k, "embed"), w.kBias), w.kNorm, "dim", eps), position, "dim", rotary)
  const v = biased(dot(x, w.v, "embed"), w.vBias)
  const keys = append(past.k, "key", rename(k, "seq", "key"))
  const values = append(past.v, "key", rename(v, "seq", "key"))
  const scores = scale(dot(q, keys, "dim"), c.head_dim ** -0.5)
  const p = softmax(causal(scores, position, "key", window), "key")
  const y = biased(dot(dot(p, values, "key"), w.o, "kv", "rep", "dim"), w.oBias)
  return { y, cache: { k: keys, v: values } }
}

type Dense = ReturnType<typeof denseWeights>
function denseWeights(c: Config, name: string) {
  const embed = { embed: c.hidden_size }
  const hidden = { hidden: c.intermediate_size }
  return {
    gate: weight(`${name}.gate_proj.weight`, hidden, embed),
    up: weight(`${name}.up_proj.weight`, hidden, embed),
    down: weight(`${name}.down_proj.weight`, embed, hidden),
  }
}

function dense(x: Embedded, w: Dense) {
  const h = map((g, u) => silu(g) * u, dot(x, w.gate, "embed"), dot(x, w.up, "embed"))
  return dot(h, w.down, "hidden")
}

type Experts = ReturnType<typeof expertWeights>
function expertWeights(c: Config, name: string) {
  const embed = { embed: c.hidden_size }
  const hidden = { hidden: c.moe_intermediate_size }
  return {
    router: weight(`${name}.gate.weight`, { expert: c.experts }, embed),
    gate: stack("expert", c.experts, (e) => weight(`${name}.experts.${e}.gate_proj.weight`, hidden, embed)),
    up: stack("expert", c.experts, (e) => weight(`${name}.experts.${e}.up_proj.weight`, hidden, embed)),
    down: stack("expert", c.experts, (e) => weight(`${name}.experts.${e}.down_proj.weight`, embed, hidden)),
  }
}

function experts(c: Config, x: Embedded, w: Experts) {
  const chances = softmax(dot(x, w.router, "embed"), "expert")
  const { index, value } = top(chances, "expert", c.num_experts_per_tok, "slot")
  const gate = dot(x, at(w.gate, "expert", index), "embed")
  const up = dot(x, at(w.up, "expert", index), "embed")
  const h = map((g, u) => silu(g) * u, gate, up)
  const share = c.norm_topk_prob ? normalize(value, "slot") : value
  return dot(dot(h, at(w.down, "expert", index), "hidden"), share, "slot")
}

type Layer = ReturnType<typeof layerWeights>
function layerWeights(c: Config, i: number) {
  const name = `model.layers.${i}`
  return {
    attentionNorm: weight(`${name}.input_layernorm.weight`, { embed: c.hidden_size }),
    attention: attentionWeights(c, `${name}.self_attn`),
    feedForwardNorm: weight(`${name}.post_attention_layernorm.weight`, { embed: c.hidden_size }),
    feedForward: isSparse(c, i) ? expertWeights(c, `${name}.mlp`) : denseWeights(c, `${name}.mlp`),
  }
}

function block(c: Config, window: number | undefined, x: Embedded, w: Layer, past: Cache) {
  const { y, cache } = attention(c, window, rmsNorm(x, w.attentionNorm, "embed", c.rms_norm_eps), w.attention, past)
  const h = add(x, y)
  const normed = rmsNorm(h, w.feedForwardNorm, "embed", c.rms_norm_eps)
  const out = "router" in w.feedForward ? experts(c, normed, w.feedForward) : dense(normed, w.feedForward)
  return { x: add(h, out), cache }
}

export const model = defineModel({
  families: ["qwen3", "qwen3_moe"],
  config: configSchema,

  facts: (c) => ({
    context: rotaryContext(c),
    vocabulary: c.vocab_size,
    endTokens: c.eos_token_id,
  }),

  alternatives: (c) => (c.tie_word_embeddings ? { "model.embed_tokens.weight": ["lm_head.weight"] } : undefined),

  parameters(c) {
    const embedding = weight("model.embed_tokens.weight", { vocab: c.vocab_size }, { embed: c.hidden_size })
    return {
      embedding,
      layers: repeat(c.num_hidden_layers, (i) => layerWeights(c, i)),
      norm: weight("model.norm.weight", { embed: c.hidden_size }),
      head: c.tie_word_embeddings
        ? embedding
        : weight("lm_head.weight", { vocab: c.vocab_size }, { embed: c.hidden_size }),
    }
  },

  state: (c) => repeat(c.num_hidden_layers, () => cacheState(c)),

  forward(c, w, tokens, past) {
    let x = at(w.embedding, "vocab", tokens)
    const caches = w.layers.map((weights, i) => {
      const layer = (x: Embedded, w: Layer, past: Cache) => block(c, windowOf(c, i), x, w, past)
      const after = call(layer, x, weights, past[i]!)
      x = after.x
      return after.cache
    })
    return { logits: dot(rmsNorm(x, w.norm, "embed", c.rms_norm_eps), w.head, "embed"), past: caches }
  },
})
