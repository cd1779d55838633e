/**
 * Mixtral (Jiang et al. 2024, arXiv 2401.04088): Mistral's attention, and in every layer a router that chooses a few of several experts,
 * whose chances are made to sum to 1.
 */
import * as z from "zod"
import { attention, attentionWeights } from "./attention.js"
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

const configSchema = configObject(
  {
    ...decoderFields,
    model_type: z.literal("mixtral"),
    max_position_embeddings: count.default(131_072),
    rope_theta: z.number().positive().default(1e6),
    rms_norm_eps: z.number().positive().default(1e-5),
    sliding_window: count.nullable().default(null),
    ...expertFields,
    num_experts_per_tok: count.default(2),
    eos_token_id: tokensSchema.default([2]),
  },
  { nullable: ["sliding_window"] },
)
  .transform((c) => ({ ...withHeads(c), experts: expertsOf(c, 8) }))
  .superRefine((c, issues) => void checkDecoder(c, issues, c.experts))

const names = { gate: "w1", up: "w3", down: "w2" }

export const model = defineDecoder({
  families: ["mixtral"],
  config: configSchema,
  weights: (c, _, name) => ({
    ...blockWeights(c, name),
    attention: attentionWeights(c, `${name}.self_attn`),
    experts: expertWeights(c.hidden_size, c.intermediate_size, c.experts, `${name}.block_sparse_moe`, names),
  }),
  window: (c) => c.sliding_window ?? undefined,
  layer: (c, _, x, w, past, window) =>
    block(
      c,
      x,
      w,
      (x) => attention(c, x, w.attention, past, { window }),
      (x) => experts(x, w.experts, { chosen: c.num_experts_per_tok, normalised: true }),
    ),
})
