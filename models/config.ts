/**
 * config.json as transformers writes it, before a schema reads it: what says nothing is left out.
 *
 *     { head_dim: null, num_experts: 0, … }   →   { … }       of a dense model, which has no use for `num_experts`
 *
 * A field that is null has its default; a field that the rest of the config turns off may hold anything.
 */
import * as z from "zod"

type Unused = (json: Readonly<Record<string, unknown>>) => readonly string[]

interface Silent {
  /** Fields of which null is a value of its own. */
  readonly nullable?: readonly string[]
  /** Fields that count for nothing beside the others. */
  readonly unused?: Unused
}

/** The schema `z.object(shape)` over what is left of a config. */
export function configObject<const S extends z.ZodRawShape>(shape: S, { nullable = [], unused }: Silent) {
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
const expertFields = [
  "num_experts",
  "num_local_experts",
  "num_experts_per_tok",
  "moe_intermediate_size",
  "norm_topk_prob",
  "decoder_sparse_step",
  "mlp_only_layers",
]

/** What a model whose layers see all keys has no use for. */
const windowFields = ["sliding_window", "max_window_layers"]

/** The fields that count for nothing: those of experts but in the family that has some, and those of windows that are off. */
export const unusedUnless = (expertFamily: string): Unused => {
  return ({ model_type, use_sliding_window }) => [
    ...(model_type === expertFamily ? [] : expertFields),
    ...(use_sliding_window === true ? [] : windowFields),
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
export const absentSchema = (message: string) => z.strictObject({}, { error: message }).optional()
