/**
 * Which iterations of a loop stand for the others, and what counters hold after those.
 *
 *   for i < 100 { … }                              one in the middle, for all 100
 *   for i < 100 { if i > 50 { … } }                the first, one in the middle for 98, the last
 */
import { carriesLoads, type For, variesWith } from "./shape.js"
import type { State } from "./state.js"

/** The iterations that stand for all, and for how many each. */
export function samples(s: For, extent: number, innermost: boolean) {
  const middle = Math.floor(extent / 2)
  if (extent <= 2 || variesWith(s)) {
    const all = [
      { at: 0, weight: 1 },
      { at: middle, weight: extent - 2 },
      { at: extent - 1, weight: 1 },
    ]
    return extent <= 2 ? [all[0]!, all[2]!].slice(0, extent) : all
  }
  // What is asked for in one iteration and waited for in the next is seen from the second on.
  if (innermost && carriesLoads(s))
    return [
      { at: 0, weight: 1 },
      { at: middle, weight: extent - 1 },
    ]
  return [{ at: middle, weight: extent }]
}

/** Variables that are assigned and hold one known number. */
export function numbersOf({ mutable, variables }: State): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const name of mutable) {
    const value = variables.get(name)
    if (value?.known && typeof value.at === "number") found.set(name, value.at)
  }
  return found
}

/** Counters go on as in the iteration that stood for all. */
export function advance({ variables }: State, before: ReadonlyMap<string, number>, weight: number): void {
  if (weight === 1) return
  for (const [name, from] of before) {
    const now = variables.get(name)!
    if (now.known && typeof now.at === "number" && Number.isFinite(now.at - from))
      variables.set(name, { ...now, at: from + weight * (now.at - from) })
  }
}
