/**
 * Llama 2 and 3 (Llama team 2024, arXiv 2407.21783), and what is built like it: pre-norm blocks of grouped-query attention with rotary
 * positions and of a gated feed-forward layer. From 3.1 on slow positions are stretched (`rope_type: "llama3"`, rotary.ts).
 */
import * as z from "zod"
import { attention, attentionWeights } from "./attention.js"
import { checkDecoder, configObject, count, decoderFields, tokensSchema, withHeads } from "./config.js"
import { block, blockWeights, defineDecoder } from "./decoder.js"
import { dense, denseWeights } from "./feed-forward.js"

const configSchema = configObject({
  ...decoderFields,
  model_type: z.literal("llama"),
  max_position_embeddings: count.default(2048),
  num_key_value_heads: count.optional(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  eos_token_id: tokensSchema.default([2]),
})
  .transform(withHeads)
  .superRefine((c, issues) => void checkDecoder(c, issues))

export const model = defineDecoder({
  families: ["llama"],
  config: configSchema,
  weights: (c, _, name) => ({
    ...blockWeights(c, name),
    attention: attentionWeights(c, `${name}.self_attn`, { inputs: c.attention_bias, output: c.attention_bias }),
    feedForward: denseWeights(c.hidden_size, c.intermediate_size, `${name}.mlp`, c.mlp_bias),
  }),
  layer: (c, _, x, w, past) =>
    block(
      c,
      x,
      w,
      (x) => attention(c, x, w.attention, past),
      (x) => dense(x, w.feedForward),
    ),
})
