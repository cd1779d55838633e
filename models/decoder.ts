/**
 * Decoders: a table of embeddings, layers that add to what they are given, a norm and a head. A family says what its config may hold and
 * what its layers are; `index.ts` lists the families.
 *
 *     export const model = defineDecoder({
 *       families: ["llama"],
 *       config: configSchema,
 *       weights: (c, i, name) => ({ ...blockWeights(c, name), attention: attentionWeights(c, `${name}.self_attn`), … }),
 *       layer: (c, i, x, w, past) => block(c, x, w, (x) => attention(c, x, w.attention, past), (x) => dense(x, w.feedForward)),
 *     })
 *
 * Names of tensors and fields are those of transformers, and so are the defaults.
 */
import {
  add,
  at,
  type ConfigSchema,
  call,
  defineModel,
  dot,
  type Model,
  repeat,
  rmsNorm,
  type Tree,
  weight,
} from "../dsl/index.js"
import { type AttentionConfig, type Cache, cacheState, type Embedded } from "./attention.js"
import { rotaryContext } from "./rotary.js"

export interface DecoderConfig extends AttentionConfig {
  readonly vocab_size: number
  readonly num_hidden_layers: number
  readonly rms_norm_eps: number
  readonly tie_word_embeddings: boolean
  readonly eos_token_id: readonly number[]
}

// A type and no interface, for it has to be a tree.
type After = { readonly x: Embedded; readonly cache: Cache }

export interface DecoderDefinition<C extends DecoderConfig, W extends Tree> {
  readonly families: readonly string[]
  readonly config: ConfigSchema<C>
  /** The weights of layer `i`, whose tensors' names begin with `name`. */
  weights(c: NoInfer<C>, i: number, name: string): W
  /** How many keys a query of layer `i` sees, itself among them; undefined, or left out, is all before it. */
  window?(c: NoInfer<C>, i: number): number | undefined
  layer(c: NoInfer<C>, i: number, x: Embedded, w: NoInfer<W>, past: Cache, window: number | undefined): After
}

/** Weights of the two norms of a layer. */
export const blockWeights = (c: DecoderConfig, name: string) => ({
  attentionNorm: weight(`${name}.input_layernorm.weight`, { embed: c.hidden_size }),
  feedForwardNorm: weight(`${name}.post_attention_layernorm.weight`, { embed: c.hidden_size }),
})

/** h = x + attend(rmsNorm(x)), then h + feed(rmsNorm(h)). */
export function block(
  c: DecoderConfig,
  x: Embedded,
  w: ReturnType<typeof blockWeights>,
  attend: (x: Embedded) => { readonly y: Embedded; readonly cache: Cache },
  feed: (x: Embedded) => Embedded,
): After {
  const { y, cache } = attend(rmsNorm(x, w.attentionNorm, "embed", c.rms_norm_eps))
  const h = add(x, y)
  return { x: add(h, feed(rmsNorm(h, w.feedForwardNorm, "embed", c.rms_norm_eps))), cache }
}

/** The model of a family of decoders. */
export const defineDecoder = <C extends DecoderConfig, const W extends Tree>(family: DecoderDefinition<C, W>): Model =>
  defineModel({
    families: family.families,
    config: family.config,

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
        layers: repeat(c.num_hidden_layers, (i) => family.weights(c, i, `model.layers.${i}`)),
        norm: weight("model.norm.weight", { embed: c.hidden_size }),
        head: c.tie_word_embeddings
          ? embedding
          : weight("lm_head.weight", { vocab: c.vocab_size }, { embed: c.hidden_size }),
      }
    },

    state: (c) => repeat(c.num_hidden_layers, (i) => cacheState(c, family.window?.(c, i))),

    forward(c, w, tokens, past) {
      let x = at(w.embedding, "vocab", tokens)
      const caches = w.layers.map((weights, i) => {
        const layer = (x: Embedded, w: W, past: Cache) => family.layer(c, i, x, w, past, family.window?.(c, i))
        const after = call(layer, x, weights, past[i]!)
        x = after.x
        return after.cache
      })
      return { logits: dot(rmsNorm(x, w.norm, "embed", c.rms_norm_eps), w.head, "embed"), past: caches }
    },
  })
