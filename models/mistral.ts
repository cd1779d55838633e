/**
 * Mistral (Jiang et al. 2023, arXiv 2310.06825): Llama's blocks, where each query sees the `sliding_window` keys before it in all layers,
 * or all keys where that is null, as from version 0.2 on.
 */
import * as z from "zod"
import { attention, attentionWeights } from "./attention.js"
import { checkDecoder, configObject, count, decoderFields, tokensSchema, withHeads } from "./config.js"
import { block, blockWeights, defineDecoder } from "./decoder.js"
import { dense, denseWeights } from "./feed-forward.js"

const configSchema = configObject(
  {
    ...decoderFields,
    model_type: z.literal("mistral"),
    max_position_embeddings: count.default(131_072),
    sliding_window: count.nullable().default(4096),
    layer_types: z.array(z.string()).optional(),
    eos_token_id: tokensSchema.default([2]),
  },
  { nullable: ["sliding_window"] },
)
  .transform(withHeads)
  .superRefine((c, issues) => {
    const refuse = checkDecoder(c, issues)
    const kind = c.sliding_window === null ? "full_attention" : "sliding_attention"
    if (c.layer_types?.some((type) => type !== kind))
      refuse("layer_types", `layers of several kinds are not this family's (ministral); all are ${kind}`)
  })

export const model = defineDecoder({
  families: ["mistral"],
  config: configSchema,
  weights: (c, _, name) => ({
    ...blockWeights(c, name),
    attention: attentionWeights(c, `${name}.self_attn`),
    feedForward: denseWeights(c.hidden_size, c.intermediate_size, `${name}.mlp`),
  }),
  window: (c) => c.sliding_window ?? undefined,
  layer: (c, _, x, w, past, window) =>
    block(
      c,
      x,
      w,
      (x) => attention(c, x, w.attention, past, { window }),
      (x) => dense(x, w.feedForward),
    ),
})
