/**
 * config.json as transformers writes it, before a schema reads it: what says nothing is left out.
 *
 *     { head_dim: null, num_experts: 0, … }   →   { … }       of a dense model, which has no use for `num_experts`
 *
 * A field that is null has its default; a field that the rest of the config turns off may hold anything.
 */
import * as z from "zod"
import { type RotaryConfig, rotaryConflict, rotaryFields } from "./rotary.js"

type Unused = (json: Readonly<Record<string, unknown>>) => readonly string[]

interface Silent {
  /** Fields of which null is a value of its own. */
  readonly nullable?: readonly string[]
  /** Fields that count for nothing beside the others. */
  readonly unused?: Unused
}

/** The schema `z.object(shape)` over what is left of a config. */
export function configObject<const S extends z.ZodRawShape>(shape: S, { nullable = [], unused }: Silent = {}) {
  const speaking = (json: unknown): unknown => {
    if (typeof json !== "object" || json === null || Array.isArray(json)) return json
    const dropped = unused?.(json as Readonly<Record<string, unknown>>) ?? []
    const says = ([name, value]: [string, unknown]) =>
      !dropped.includes(name) && (value !== null || nullable.includes(name))
    return Object.fromEntries(Object.entries(json).filter(says))
  }
  return z.preprocess(speaking, z.object(shape))
}

/** What a model without experts has no use for. */
const expertFieldNames = [
  "num_experts",
  "num_local_experts",
  "num_experts_per_tok",
  "moe_intermediate_size",
  "norm_topk_prob",
  "decoder_sparse_step",
  "mlp_only_layers",
]

/** What a model whose layers see all keys has no use for. */
const windowFieldNames = ["sliding_window", "max_window_layers"]

/** The fields that count for nothing: those of experts but in the family that has some, and those of windows that are off. */
export const unusedUnless = (expertFamily?: string): Unused => {
  return ({ model_type, use_sliding_window }) => [
    ...(model_type === expertFamily ? [] : expertFieldNames),
    ...(use_sliding_window === true ? [] : windowFieldNames),
  ]
}

/** A field that may ask for one thing only, which is its default. */
export const onlySchema = <const V extends string>(field: string, value: V) =>
  z
    .literal(value, { error: ({ input }) => `${field} '${input}' is not supported; ${value} is` })
    .default(value as never)

/** A token, or several. */
export const tokensSchema = z
  .union([z.int().nonnegative(), z.array(z.int().nonnegative())], { error: "it is a token, or a list of tokens" })
  .transform((tokens) => [tokens].flat())

/** An object that asks for nothing: left out, null or empty. */
const absentSchema = (message: string) => z.strictObject({}, { error: message }).optional()

export const count = z.int32().positive()
/** What a checkpoint has a tensor of its own for. */
export const several = count.max(1000)

/** What every decoder's config says, for a family's schema: `configObject({ …decoderFields, … })`. */
export const decoderFields = {
  ...rotaryFields,
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: several,
  num_attention_heads: count,
  num_key_value_heads: count,
  head_dim: count.optional(),
  hidden_act: onlySchema("hidden_act", "silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  eos_token_id: tokensSchema.default([]),
  quantization_config: absentSchema(
    "a quantization_config is read where the weights are: give the folder of the checkpoint",
  ),
}

/** Which layers see a window of keys only, as Qwen's families say it. */
export const windowFields = {
  use_sliding_window: z.boolean().default(false),
  sliding_window: count.nullable().default(4096),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: z.array(z.enum(["full_attention", "sliding_attention"])).optional(),
}

/** How many experts there are, by either of its names, and whether the shares of those that are chosen sum to 1. */
export const expertFields = {
  num_experts: several.optional(),
  num_local_experts: several.optional(),
  norm_topk_prob: z.boolean().default(false),
}

/** The number of experts; `otherwise` is the family's default. */
export const expertsOf = (c: z.output<z.ZodObject<typeof expertFields>>, otherwise: number): number =>
  c.num_experts ?? c.num_local_experts ?? otherwise

/** Which layers are of experts, as Qwen's families say it. */
export const sparseFields = {
  decoder_sparse_step: count.default(1),
  mlp_only_layers: z.array(z.int()).optional(),
}

/** Whether layer `i` is of experts. */
export const isSparse = (c: z.output<z.ZodObject<typeof sparseFields>>, i: number): boolean =>
  !c.mlp_only_layers?.includes(i) && (i + 1) % c.decoder_sparse_step === 0

interface Heads {
  readonly hidden_size: number
  readonly num_attention_heads: number
  readonly num_key_value_heads?: number | undefined
  readonly head_dim?: number | undefined
}

/** With what is left out about heads: as many of keys as of queries, channels that share the embedding, query heads of a key head. */
export function withHeads<C extends Heads>(c: C) {
  const num_key_value_heads = c.num_key_value_heads ?? c.num_attention_heads
  const head_dim = c.head_dim ?? c.hidden_size / c.num_attention_heads
  return { ...c, head_dim, num_key_value_heads, rep: c.num_attention_heads / num_key_value_heads }
}

interface Checked extends RotaryConfig {
  readonly num_attention_heads: number
  readonly num_key_value_heads: number
  readonly head_dim: number
  readonly vocab_size: number
  readonly num_hidden_layers: number
  readonly eos_token_id: readonly number[]
  readonly layer_types?: readonly string[] | undefined
  readonly num_experts_per_tok?: number
}

/** Says, by field, what is wrong with a config. */
export type Refusal = (field: string, message: string) => void

/** Refuses what is wrong with any decoder's config; a family goes on with the `Refusal` that it gives. */
export function checkDecoder(c: Checked, issues: z.RefinementCtx, experts = 0): Refusal {
  const refuse: Refusal = (field, message) => issues.addIssue({ code: "custom", path: [field], message })
  if (rotaryConflict(c)) refuse("rope_scaling", "rope_scaling stands beside rope_parameters; leave one")
  const beyond = c.eos_token_id.find((token) => token >= c.vocab_size)
  if (beyond !== undefined) refuse("eos_token_id", `${beyond} is no token: vocab_size is ${c.vocab_size}`)
  if (c.head_dim % 2 !== 0) refuse("head_dim", `a head has ${c.head_dim} channels; rotary positions need pairs`)
  const { num_attention_heads: heads, num_key_value_heads: keys } = c
  if (heads % keys !== 0) refuse("num_key_value_heads", `${heads} query heads do not share ${keys} key heads`)
  if (experts > 0 && c.num_experts_per_tok! > experts)
    refuse("num_experts_per_tok", `${c.num_experts_per_tok} of ${experts} experts cannot be chosen`)
  if (c.layer_types && c.layer_types.length !== c.num_hidden_layers)
    refuse("layer_types", `there are ${c.layer_types.length} layer_types for ${c.num_hidden_layers} layers`)
  return refuse
}

/** Refuses layers that would slide where the window is off. */
export function checkWindow(
  { window, layer_types }: { readonly window: number | null; readonly layer_types?: readonly string[] | undefined },
  refuse: Refusal,
): void {
  if (window === null && layer_types?.includes("sliding_attention"))
    refuse("layer_types", "layer_types names sliding_attention, and use_sliding_window or sliding_window is off")
}
