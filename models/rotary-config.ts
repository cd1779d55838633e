/**
 * What a config says of positions, wherever it says it.
 *
 *     { rope_theta: 1e6, rope_scaling: { type: "linear", factor: 2 } }   →   kind linear, factor 2
 *     { rope_parameters: { rope_theta: 1e6, rope_type: "yarn", … } }     →   kind yarn, …
 */
import * as z from "zod"

const kinds = ["default", "linear", "yarn", "llama3"]

const positive = z.number().positive().nullish()
const ropeSchema = z
  .looseObject({
    rope_type: z.string().nullish(),
    type: z.string().nullish(),
    rope_theta: positive,
    factor: z.number().min(1).nullish(),
    original_max_position_embeddings: z.int().positive().nullish(),
    beta_fast: z.number().nonnegative().nullish(),
    beta_slow: z.number().nonnegative().nullish(),
    truncate: z.boolean().nullish(),
    mscale: z.number().nonnegative().nullish(),
    mscale_all_dim: z.number().nonnegative().nullish(),
    attention_factor: positive,
    partial_rotary_factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
  })
  .superRefine((rope, issues) => {
    const refuse = (message: string, path: string[] = []) => issues.addIssue({ code: "custom", message, path })
    const kind = kindOf(rope)
    const nested = Object.keys(rope).find((key) => typeof rope[key] === "object" && rope[key] !== null)
    if (!kinds.includes(kind)) refuse(`rope_type '${kind}' is not supported; ${kinds.join(", ")} are`)
    else if (nested !== undefined) refuse(`rotary parameters for each layer type ('${nested}') are not supported`)
    else if (rope.rope_type != null && rope.type != null && rope.rope_type !== rope.type)
      refuse(`rope_type is '${kind}' and type is '${rope.type}'; leave one`, ["type"])
    else if (
      rope.factor == null &&
      (kind === "linear" || (kind === "yarn" && rope.original_max_position_embeddings == null))
    )
      refuse(`rope_type '${kind}' needs a factor`, ["factor"])
    else if (kind === "llama3")
      for (const field of [
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
      ] as const)
        if (rope[field] == null) refuse(`rope_type 'llama3' needs ${field}`, [field])
    if (kind === "llama3" && rope.low_freq_factor! >= rope.high_freq_factor!)
      refuse("high_freq_factor is more than low_freq_factor", ["high_freq_factor"])
    if ((rope.partial_rotary_factor ?? 1) !== 1)
      refuse("partial_rotary_factor other than 1 is not supported", ["partial_rotary_factor"])
  })

/** The kind by either of its names. */
const kindOf = (rope: { readonly rope_type?: string | null | undefined; readonly type?: string | null | undefined }) =>
  rope.rope_type ?? rope.type ?? "default"

/** The fields of a config that say how positions turn, for a model's schema: `z.object({ …rotaryFields, … })`. */
export const rotaryFields = {
  rope_theta: positive,
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  max_position_embeddings: z.int32().positive().default(32768),
  original_max_position_embeddings: z.int32().positive().nullish(),
  partial_rotary_factor: z.literal(1, { error: "partial_rotary_factor other than 1 is not supported" }).nullish(),
}

export type RotaryConfig = z.infer<z.ZodObject<typeof rotaryFields>>

const says = (rope: RotaryConfig["rope_scaling"]) => rope != null && Object.keys(rope).length > 0

/** Whether a config says two things of positions. Files for old and new readers say one in both fields. */
export function rotaryConflict({ rope_parameters, rope_scaling }: RotaryConfig): boolean {
  if (!says(rope_parameters) || !says(rope_scaling)) return false
  return Object.entries(rope_scaling!).some(
    ([name, value]) => value !== (rope_parameters![name] ?? null) && value != null,
  )
}

/**
 * What a config says of positions, wherever it says it: `rope_parameters` come first, and empty objects say nothing. Of YaRN, the context
 * that the model was trained for counts; beside `rope_scaling`, as in transformers, it comes first. Without a factor it is how far
 * `max_position_embeddings` lies beyond that.
 */
export function ropeOf({ rope_parameters, rope_scaling, ...config }: RotaryConfig) {
  const rope = (says(rope_parameters) ? rope_parameters : rope_scaling) ?? {}
  const most = config.max_position_embeddings
  const original = config.original_max_position_embeddings ?? rope.original_max_position_embeddings ?? most
  return { rope, kind: kindOf(rope), most, original, factor: rope.factor ?? Math.max(1, most / original) }
}
