/**
 * Grouped-query attention with rotary positions (Vaswani et al. 2017, arXiv 1706.03762; Ainslie et al. 2023, arXiv 2305.13245), as the
 * families of decoders have it; what one of them does to queries, keys and values before they turn, it says itself.
 *
 *     attention(c, x, w, past)                                                                      Llama
 *     attention(c, x, w, past, { queries: (q) => rmsNorm(q, w.qNorm, "dim", c.rms_norm_eps), … })   Qwen3
 *
 * Axes: seq (new tokens), key (all tokens so far), embed, kv and rep (a query head is one of `rep` that share a key head), dim (the
 * channels of a head).
 */
import {
  append,
  biased,
  causal,
  dot,
  extent,
  grows,
  iota,
  keeps,
  rename,
  rope,
  scale,
  softmax,
  state,
  type Tensor,
  weight,
} from "../dsl/index.js"
import { type RotaryConfig, rotaryContext, rotaryFrequencies } from "./rotary.js"

export type Embedded = Tensor<"seq" | "embed">
export type Queries = Tensor<"seq" | "kv" | "rep" | "dim">
export type Keys = Tensor<"seq" | "kv" | "dim">

export interface AttentionConfig extends RotaryConfig {
  readonly hidden_size: number
  readonly num_key_value_heads: number
  /** Query heads of a key head. */
  readonly rep: number
  readonly head_dim: number
}

/** Which projections have a bias. */
export interface AttentionBiases {
  readonly inputs?: boolean
  readonly output?: boolean
}

/** The stored dimensions of what an attention layer computes, each made of named axes. */
export const headAxes = (c: AttentionConfig) => ({
  queries: { kv: c.num_key_value_heads, rep: c.rep, dim: c.head_dim },
  keys: { kv: c.num_key_value_heads, dim: c.head_dim },
})

export type AttentionWeights = ReturnType<typeof attentionWeights>
export function attentionWeights(c: AttentionConfig, name: string, { inputs, output }: AttentionBiases = {}) {
  const embed = { embed: c.hidden_size }
  const { queries, keys } = headAxes(c)
  return {
    q: weight(`${name}.q_proj.weight`, queries, embed),
    k: weight(`${name}.k_proj.weight`, keys, embed),
    v: weight(`${name}.v_proj.weight`, keys, embed),
    o: weight(`${name}.o_proj.weight`, embed, queries),
    qBias: inputs ? weight(`${name}.q_proj.bias`, queries) : undefined,
    kBias: inputs ? weight(`${name}.k_proj.bias`, keys) : undefined,
    vBias: inputs ? weight(`${name}.v_proj.bias`, keys) : undefined,
    oBias: output ? weight(`${name}.o_proj.bias`, embed) : undefined,
  }
}

export type Cache = ReturnType<typeof cacheState>
/** What a layer holds of the tokens so far; one that sees `window` keys keeps no more of them. */
export function cacheState(c: AttentionConfig, window?: number) {
  const context = rotaryContext(c)
  const key = window === undefined ? grows(context) : keeps(window, context)
  const rows = { key, kv: c.num_key_value_heads, dim: c.head_dim }
  return { k: state(rows), v: state(rows) }
}

/** What a family does itself. */
export interface AttentionSteps {
  /** How many keys a query sees, itself among them; left out, all before it. */
  readonly window?: number | undefined
  readonly queries?: (q: Queries) => Queries
  readonly keys?: (k: Keys) => Keys
  readonly values?: (v: Keys) => Keys
}

/** The output of attention of each new token, seq embed, and the cache with what they added. */
export function attention(c: AttentionConfig, x: Embedded, w: AttentionWeights, past: Cache, own: AttentionSteps = {}) {
  const { window, queries = (q) => q, keys = (k) => k, values = (v) => v } = own
  const position = iota("seq", extent(x, "seq"), extent(past.k, "key"), "position")
  const rotary = rotaryFrequencies(c, c.head_dim)
  const q = rope(queries(biased(dot(x, w.q, "embed"), w.qBias)), position, "dim", rotary)
  const k = rope(keys(biased(dot(x, w.k, "embed"), w.kBias)), position, "dim", rotary)
  const v = values(biased(dot(x, w.v, "embed"), w.vBias))
  const cache = { k: append(past.k, "key", rename(k, "seq", "key")), v: append(past.v, "key", rename(v, "seq", "key")) }
  const scores = scale(dot(q, cache.k, "dim"), c.head_dim ** -0.5)
  const p = softmax(causal(scores, position, "key", window), "key")
  const y = biased(dot(dot(p, cache.v, "key"), w.o, "kv", "rep", "dim"), w.oBias)
  return { y, cache }
}
