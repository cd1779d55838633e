/**
 * Axes of which the last elements alone are kept.
 *
 *   rows 4 of 9 in memory for 6, and 2 more are written at 9      5 … 8 are there, then 5 … 10:  6 7 8 9 10 5
 */
import { type Dim, maximum } from "../dim.js"

/** The last elements of an axis: those before `first` are 0. Where the memory has room for fewer than `most`, element i lies at i mod its room. */
export interface Kept {
  readonly axis: string
  /** How many elements from before a step are there. */
  readonly rows: number
  readonly first: Dim
  /** Elements of the axis at most. */
  readonly most: number
}

/** What has axes. */
interface WithAxes {
  readonly axes: readonly { readonly name: string; readonly extent: Dim }[]
}

/** An input, as far as it matters here. */
interface Holding extends WithAxes {
  readonly name: string
  readonly capacity: readonly number[]
  readonly kept?: Kept
}

/** The elements that the memory of a kept axis has room for, where they are fewer than the axis may have: there they go round. */
export function ringOf({ kept, axes, capacity }: Holding): number | undefined {
  const room = kept && capacity[axes.findIndex((a) => a.name === kept.axis)]!
  return room !== undefined && room < kept!.most ? room : undefined
}

/** What is wrong with what is written to a state: it must leave what is kept as it is. */
export function lostBy(state: Holding, axis: string | undefined, value: WithAxes): string | undefined {
  const { kept } = state
  if (kept === undefined) return undefined
  if (axis !== kept.axis)
    return `a state that keeps the last of '${kept.axis}' is appended to along it, and not assigned`
  const ring = ringOf(state)
  const added = maximum(value.axes.find((a) => a.name === axis)!.extent)
  if (ring === undefined || kept.rows + added <= ring) return undefined
  return `a state that keeps ${kept.rows} of '${axis}' has memory for ${ring}, and ${added} more may be appended at once`
}
