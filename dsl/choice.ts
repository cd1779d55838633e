/** Numbers that each target chooses for itself: how something is computed, and never what. */
import { tracing } from "./attach.js"

/**
 * The number that the target's machine has under `name`; `otherwise` where it has none.
 *
 *     choice("digitBits", 2)      → 4 on hardware of many lanes
 */
export function choice(name: string, otherwise: number): number {
  return tracing().choice(name, otherwise)
}
