/**
 * Qwen2, 2.5 and 2.5-Coder, dense and mixture of experts (Qwen team 2024, arXiv 2407.10671, 2412.15115): Llama's blocks with biases on
 * queries, keys and values; layers of experts add an expert that every token goes through, times a share of its own.
 */
import * as z from "zod"
import { add, dot, map, weight } from "../dsl/index.js"
import { attention, attentionWeights, type Embedded } from "./attention.js"
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
    model_type: z.enum(["qwen2", "qwen2_moe"]),
    qkv_bias: z.boolean().default(true),
    num_experts_per_tok: count.default(4),
    moe_intermediate_size: count.default(1408),
    shared_expert_intermediate_size: count.default(5632),
  },
  { nullable: ["sliding_window"], unused: unusedUnless("qwen2_moe") },
)
  .transform((c) => ({
    ...withHeads(c),
    experts: c.model_type === "qwen2_moe" ? expertsOf(c, 60) : 0,
    window: c.use_sliding_window ? c.sliding_window : null,
  }))
  .superRefine((c, issues) => {
    const refuse = checkDecoder(c, issues, c.experts)
    checkWindow(c, refuse)
    if (c.model_type === "qwen2" && !c.qkv_bias) refuse("qkv_bias", "qwen2 has biases; qkv_bias false is qwen2_moe's")
  })
type Config = z.output<typeof configSchema>

/** How many keys a query of layer `i` sees; undefined is all of them. Dense models slide from a layer on, those of experts in every other layer before it. */
export function windowOf(c: Config, i: number): number | undefined {
  const byLayer = c.experts > 0 ? i % 2 === 0 && i < c.max_window_layers : i >= c.max_window_layers
  const slides = c.layer_types ? c.layer_types[i] === "sliding_attention" : byLayer
  return slides ? (c.window ?? undefined) : undefined
}

type Mixture = ReturnType<typeof mixtureWeights>
const mixtureWeights = (c: Config, name: string) => ({
  chosen: expertWeights(c.hidden_size, c.moe_intermediate_size, c.experts, name),
  shared: denseWeights(c.hidden_size, c.shared_expert_intermediate_size, `${name}.shared_expert`),
  share: weight(`${name}.shared_expert_gate.weight`, {}, { embed: c.hidden_size }),
})

function mixture(c: Config, x: Embedded, w: Mixture): Embedded {
  const routing = { chosen: c.num_experts_per_tok, normalised: c.norm_topk_prob }
  const shared = map((y, s) => y / (1 + Math.exp(-s)), dense(x, w.shared), dot(x, w.share, "embed"))
  return add(experts(x, w.chosen, routing), shared)
}

export const model = defineDecoder({
  families: ["qwen2", "qwen2_moe"],
  config: configSchema,
  weights(c, i, name) {
    const isOfExperts = c.experts > 0 && isSparse(c, i)
    return {
      ...blockWeights(c, name),
      attention: attentionWeights(c, `${name}.self_attn`, { inputs: c.qkv_bias }),
      dense: isOfExperts ? undefined : denseWeights(c.hidden_size, c.intermediate_size, `${name}.mlp`),
      mixture: isOfExperts ? mixtureWeights(c, `${name}.mlp`) : undefined,
    }
  },
  window: windowOf,
  layer: (c, _, x, w, past, window) =>
    block(
      c,
      x,
      w,
      (x) => attention(c, x, w.attention, past, { window }),
      (x) => (w.mixture ? mixture(c, x, w.mixture) : dense(x, w.dense!)),
    ),
})
