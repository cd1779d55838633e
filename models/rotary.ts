/**
 * Rotary position embedding: the angular frequencies of a checkpoint's config, in float64.
 *
 *     { rope_theta: 1e6, rope_scaling: null }                                    frequencies[i] = theta^(−2i/dim), scaling 1
 *     { rope_theta: 1e6, rope_scaling: { rope_type: "linear", factor: 2 } }      … divided by the factor
 *     { rope_parameters: { rope_theta: 1e6, rope_type: "yarn", factor: 4, original_max_position_embeddings: 32768 } }
 *
 * YaRN (Peng et al. 2023, arXiv 2309.00071) divides the slow frequencies by the factor, keeps the fast ones, and blends between: the ramp
 * runs over the channels that turn `beta_fast` to `beta_slow` times within the original context. Llama 3 does the same with a ramp over how
 * often a channel turns, from `low_freq_factor` to `high_freq_factor`. Older files have `rope_theta` beside
 * `rope_scaling`, newer ones have both in `rope_parameters`; either is read, other kinds are refused by name.
 */
import type { Rotary } from "../dsl/index.js"
import { isExtent, refuse, shown } from "../dsl/refuse.js"
import { type RotaryConfig, ropeOf } from "./rotary-config.js"

export { type RotaryConfig, rotaryConflict, rotaryFields } from "./rotary-config.js"

/**
 * The largest number of positions: those of the config, or as many as its scaling makes of those that the model was trained for. Qwen3's
 * recipe, a factor of 4 over 32,768, is 131,072 though `max_position_embeddings` stays 40,960.
 */
export function rotaryContext(config: RotaryConfig): number {
  const { kind, most, original, factor } = ropeOf(config)
  return kind === "default" || kind === "llama3"
    ? most
    : Math.min(2 ** 31 - 1, Math.max(most, Math.floor(original * factor)))
}

/**
 * The frequencies of `dim` rotated channels, dim / 2 of them. Formulas as in transformers' `modeling_rope_utils.py`.
 *
 * @throws `model/definition`, at the caller's line, when `dim` is no even whole number from 2 to 2^31 − 1
 */
export function rotaryFrequencies(config: RotaryConfig, dim: number): Rotary {
  if (!isExtent(dim, 2) || dim % 2 !== 0)
    refuse(
      rotaryFrequencies,
      `rotaryFrequencies(…, ${shown(dim)}): channels rotate in pairs; an even number of them is expected`,
    )
  const { rope, kind, original, factor } = ropeOf(config)
  const theta = rope.rope_theta ?? config.rope_theta ?? 10_000
  const base = Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim))
  switch (kind) {
    case "linear":
      return { frequencies: base.map((f) => f / factor), scaling: 1 }
    case "yarn": {
      const { low, high } = yarnRamp(
        theta,
        dim,
        original,
        rope.beta_fast || 32,
        rope.beta_slow || 1,
        rope.truncate ?? true,
      )
      const frequencies = base.map((f, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)))
        return (f / factor) * ramp + f * (1 - ramp)
      })
      const magnitude = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1)
      const ratio =
        rope.mscale && rope.mscale_all_dim ? magnitude(rope.mscale) / magnitude(rope.mscale_all_dim) : magnitude(1)
      return { frequencies, scaling: rope.attention_factor ?? ratio }
    }
    case "llama3": {
      // Wavelengths beyond `original / low` are stretched, those below `original / high` are not; between, by how often they turn.
      const [low, high] = [rope.low_freq_factor!, rope.high_freq_factor!]
      const frequencies = base.map((f) => {
        const turns = (original * f) / (2 * Math.PI)
        const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)))
        return kept * f + ((1 - kept) * f) / factor
      })
      return { frequencies, scaling: 1 }
    }
    default:
      return { frequencies: base, scaling: 1 }
  }
}

/** The channels between which YaRN blends: those that turn `fast` and `slow` times within `context` positions. */
function yarnRamp(theta: number, dim: number, context: number, fast: number, slow: number, truncate: boolean) {
  const channel = (turns: number) => (dim * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const low = Math.max(0, truncate ? Math.floor(channel(fast)) : channel(fast))
  const high = Math.min(dim - 1, truncate ? Math.ceil(channel(slow)) : channel(slow))
  return { low, high: low === high ? high + 0.001 : high }
}
