/** What an evaluation takes, noted for the lanes that take part. */
import type { Place } from "./evaluate.js"
import { differing } from "./patterns.js"
import type { State } from "./state.js"
import { type LaneValue, patternOf } from "./values.js"

/** Evaluates something and notes what it took, for the lanes that take part. */
export function counted(state: State, { effort }: Place, instructions: number, evaluate: () => LaneValue): LaneValue {
  const [before, operations] = [effort.instructions, effort.operations]
  state.elements = 0
  const value = evaluate()
  const { work, times, kernel } = state
  work.instructions += times * state.warps * (effort.instructions - before + instructions)
  const computed = effort.operations - operations
  const amount = computed + state.elements
  if (amount > 0 && state.lanes > 0) {
    const apart = differing(patternOf(value, state.names.patterns), state.active, 0, kernel.threads)
    work.distinctWork += times * amount * apart
    work.laneWork += times * amount
    work.operations += times * computed * apart
  }
  return value
}
