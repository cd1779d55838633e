/**
 * OLMoE (Muennighoff et al. 2024, arXiv 2409.02060): attention whose queries and keys are normalised over all heads at once, optionally
 * clipped, and experts in every layer.
 */
import * as z from "zod"
import { map, rmsNorm, type Tensor, weight } from "../dsl/index.js"
import { attention, attentionWeights, headAxes, type Keys, type Queries } from "./attention.js"
import {
  checkDecoder,
  configObject,
  count,
  decoderFields,
  expertFields,
  expertsOf,
  tokensSchema,
  withHeads,
} from "./config.js"
import { block, blockWeights, defineDecoder } from "./decoder.js"
import { experts, expertWeights } from "./feed-forward.js"

const configSchema = configObject({
  ...decoderFields,
  model_type: z.literal("olmoe"),
  max_position_embeddings: count.default(4096),
  num_key_value_heads: count.optional(),
  rms_norm_eps: z.number().positive().default(1e-5),
  attention_bias: z.boolean().default(false),
  clip_qkv: z.number().positive().optional(),
  ...expertFields,
  num_experts_per_tok: count.default(8),
  eos_token_id: tokensSchema.default([50_279]),
})
  .transform((c) => ({ ...withHeads(c), experts: expertsOf(c, 64) }))
  .superRefine((c, issues) => void checkDecoder(c, issues, c.experts))
type Config = z.output<typeof configSchema>

type Layer = ReturnType<typeof layerWeights>
function layerWeights(c: Config, _: number, name: string) {
  const { queries, keys } = headAxes(c)
  return {
    ...blockWeights(c, name),
    attention: attentionWeights(c, `${name}.self_attn`, { inputs: c.attention_bias, output: c.attention_bias }),
    qNorm: weight(`${name}.self_attn.q_norm.weight`, queries),
    kNorm: weight(`${name}.self_attn.k_norm.weight`, keys),
    experts: expertWeights(c.hidden_size, c.intermediate_size, c.experts, `${name}.mlp`),
  }
}

function clipped<X extends string>(limit: number | undefined, x: Tensor<X>): Tensor<X>
function clipped(limit: number | undefined, x: Tensor<string>): Tensor<string> {
  return limit === undefined ? x : map((v) => Math.min(Math.max(v, -limit), limit), x)
}

const steps = (c: Config, w: Layer) => ({
  queries: (q: Queries) => clipped(c.clip_qkv, rmsNorm(q, w.qNorm, ["kv", "rep", "dim"], c.rms_norm_eps)),
  keys: (k: Keys) => clipped(c.clip_qkv, rmsNorm(k, w.kNorm, ["kv", "dim"], c.rms_norm_eps)),
  values: (v: Keys) => clipped(c.clip_qkv, v),
})

export const model = defineDecoder({
  families: ["olmoe"],
  config: configSchema,
  weights: layerWeights,
  layer: (c, _, x, w, past) =>
    block(
      c,
      x,
      w,
      (x) => attention(c, x, w.attention, past, steps(c, w)),
      (x) => experts(x, w.experts, { chosen: c.num_experts_per_tok, normalised: c.norm_topk_prob }),
    ),
})
