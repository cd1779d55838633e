/**
 * A context shorter than the one that the model was trained for: only capacities change.
 *
 *   facts.context 40960, states.k [key < 40960, …]      context 4096  →      facts.context 4096, states.k [key < 4096, …]
 *
 * The config stays as it is, for what else follows from it (the scaling of rotary positions) belongs to the weights.
 */
import type { Program } from "../../dsl/model.js"
import type { StateSpec } from "../../dsl/tracing.js"
import { WeftError } from "../../runtime/errors.js"
import { mapTree } from "./tree.js"

/** @throws WeftError `compile/context` when the program has no context, or a shorter one */
export function shortenContext(program: Program, context: number | undefined): Program {
  if (context === undefined) return program
  const most = program.facts?.context
  if (most === undefined || !Number.isInteger(context) || context < 1 || context > most)
    throw new WeftError(
      "compile/context",
      most === undefined
        ? "a program has no context to make shorter"
        : `context is ${context}; it is a whole number from 1 to ${most}, the model's own`,
    )
  return {
    ...program,
    facts: { ...program.facts!, context },
    states: mapTree(program.states, isState, (spec) => {
      const { axes, ...rest } = spec as StateSpec
      return { ...rest, axes: axes.map((a) => (a.grows ? { ...a, extent: Math.min(a.extent, context) } : a)) }
    }) as Program["states"],
  }
}

const isState = (x: unknown): boolean =>
  typeof x === "object" && x !== null && (x as { kind?: unknown }).kind === "state"
