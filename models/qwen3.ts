/**
 * Qwen3, dense and mixture of experts (Qwen team 2025, arXiv 2505.09388): pre-norm blocks of grouped-query attention with normalised
 * queries and keys, rotary positions, and gated feed-forward layers of which some choose a few experts for each token.
 *
 *     h = h + attention(rmsNorm(h)),  h = h + feedForward(rmsNorm(h)),  logits = rmsNorm(h) · head
 */
import * as z from "zod"
import { rmsNorm, weight } from "../dsl/index.js"
import { attention, attentionWeights, type Keys, type Queries } from "./attention.js"
import {
  checkDecoder,
  checkWindow,
  configObject,
  count,
  decoderFields,
  expertFields,
  expertsOf,
  isSparse,
  sparseFields,
  unusedUnless,
  windowFields,
  withHeads,
} from "./config.js"
import { block, blockWeights, defineDecoder } from "./decoder.js"
import { dense, denseWeights, experts, expertWeights } from "./feed-forward.js"

const configSchema = configObject(
  {
    ...decoderFields,
    ...windowFields,
    ...sparseFields,
    ...expertFields,
    model_type: z.enum(["qwen3", "qwen3_moe"]),
    attention_bias: z.boolean().default(false),
    num_experts_per_tok: count.default(8),
    moe_intermediate_size: count.default(768),
  },
  { nullable: ["sliding_window"], unused: unusedUnless("qwen3_moe") },
)
  .transform((c) => ({
    ...withHeads(c),
    experts: c.model_type === "qwen3_moe" ? expertsOf(c, 128) : 0,
    window: c.use_sliding_window ? c.sliding_window : null,
  }))
  .superRefine((c, issues) => {
    const refuse = checkDecoder(c, issues, c.experts)
    if (c.experts === 0) checkWindow(c, refuse)
  })
type Config = z.output<typeof configSchema>

/** How many keys a query of layer `i` sees; undefined is all of them. Without `layer_types`, the first layers see all. */
export function windowOf(c: Config, i: number): number | undefined {
  const slides =
    c.model_type === "qwen3_moe" ||
    (c.layer_types ? c.layer_types[i] === "sliding_attention" : i >= c.max_window_layers)
  return slides ? (c.window ?? undefined) : undefined
}

type Layer = ReturnType<typeof layerWeights>
function layerWeights(c: Config, i: number, name: string) {
  const biases = { inputs: c.attention_bias, output: c.attention_bias }
  const isOfExperts = c.experts > 0 && isSparse(c, i)
  return {
    ...blockWeights(c, name),
    attention: attentionWeights(c, `${name}.self_attn`, biases),
    qNorm: weight(`${name}.self_attn.q_norm.weight`, { dim: c.head_dim }),
    kNorm: weight(`${name}.self_attn.k_norm.weight`, { dim: c.head_dim }),
    dense: isOfExperts ? undefined : denseWeights(c.hidden_size, c.intermediate_size, `${name}.mlp`),
    experts: isOfExperts ? expertWeights(c.hidden_size, c.moe_intermediate_size, c.experts, `${name}.mlp`) : undefined,
  }
}

const steps = (c: Config, w: Layer) => ({
  queries: (q: Queries) => rmsNorm(q, w.qNorm, "dim", c.rms_norm_eps),
  keys: (k: Keys) => rmsNorm(k, w.kNorm, "dim", c.rms_norm_eps),
})

export const model = defineDecoder({
  families: ["qwen3", "qwen3_moe"],
  config: configSchema,
  weights: layerWeights,
  window: windowOf,
  layer: (c, _, x, w, past, window) =>
    block(
      c,
      x,
      w,
      (x) => attention(c, x, w.attention, past, { ...steps(c, w), window }),
      (x) =>
        w.experts
          ? experts(x, w.experts, { chosen: c.num_experts_per_tok, normalised: c.norm_topk_prob })
          : dense(x, w.dense!),
    ),
})
