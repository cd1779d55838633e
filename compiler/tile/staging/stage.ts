/**
 * stage: a store × its schedule → the store over what its workgroup stages, all at once or chunk by chunk.
 *
 *   y[s, o] = sum_{k}(x[s, k] · w[o, k])   with   { reduce: { k: { chunk: 16 } }, staged: { x: …, w: … } }
 *   →  local x.staged[s, k] = x[s, k];  local w.staged[o, k] = w[o, k];  y[s, o] = sum_{k}(x.staged{s, k} · w.staged{o, k})
 *
 * Operands.ts says what is staged; here is which folds come in chunks. Folds side by side of one extent get one axis, so that they share what
 * is staged.
 */

import { freeVariables, reduce, rewrite, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { chainOf, nodesOf, outermostFolds } from "../../ir/query.js"
import type { ReductionTile, StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { type Masked, maskOf } from "../../ir/verify/masks.js"
import { Refused } from "../block.js"
import { checkSteady, createOperands, type Online } from "./operands.js"
import type { StagedLocal } from "./staged.js"

export interface Staged {
  readonly store: Store
  /** Stores that are made along with it, over its axes. */
  readonly beside: readonly Store[]
  readonly locals: readonly StagedLocal[]
  readonly online: readonly Online[]
  /** The axis that is taken in chunks, if one is. */
  readonly chunk: Chunk | undefined
}

export interface Chunk extends Axis {
  readonly size: number
  readonly step: number
  readonly peelTail: boolean
  readonly depth: number
  /** Elements of a run, where the schedule says it. */
  readonly run: number | undefined
  /** The axes that are folded around it, outermost first. */
  readonly outer: readonly Axis[]
  /** The predicates of the folds, when every one has a predicate that may leave elements out. */
  readonly masks: readonly Masked[]
}

export type StagedInChunks = Staged & { readonly chunk: Chunk }

export const isInChunks = (staged: Staged): staged is StagedInChunks => staged.chunk !== undefined

/** The folds from one that is taken in chunks down to its axis, if it is. */
type Chain = (r: Reduce) => readonly Reduce[] | undefined

/** The staged store and those made along with it. */
export function stage(given: Store, schedule: StoreSchedule, name: string, along: readonly Store[] = []): Staged {
  const chained: Chain = (r) => chunkChain(r, schedule.reduce)
  const folds = outermostFolds(given.value).filter((r) => chained(r) !== undefined)
  const [first] = folds
  const chain = first && chained(first)
  if (chain === undefined && Object.keys(schedule.staged ?? {}).length === 0)
    return { store: given, beside: along, locals: [], online: [], chunk: undefined }
  if (chain !== undefined) checkChunks(given, schedule, folds, chain)
  const united = chain === undefined ? (x: Expression) => x : unite(folds, chain, chained)
  const value = united(given.value)
  const others = along.map((s) => united(s.value))
  const axes = new Map<string, Axis>(given.axes.map((a) => [a.name, a]))
  for (const r of nodesOf([value, ...others], "reduce")) axes.set(r.axis, { name: r.axis, extent: r.extent })
  const chunked = (r: Reduce) => chained(r) !== undefined
  const operands = createOperands({ name, schedule, points: given.axes, axes, chunked })
  const store: Store = { ...given, value: operands.over(value) }
  const beside = along.map((s, i): Store => ({ ...s, value: operands.over(others[i]!) }))
  const chunk = chain && chunkOf(chain, schedule, outermostFolds(value).filter(chunked), given.axes)
  return { store, beside, locals: [...operands.locals.values()], online: [...operands.online.values()], chunk }
}

function chunkOf(
  chain: readonly Reduce[],
  schedule: StoreSchedule,
  folds: readonly Reduce[],
  points: readonly Axis[],
): Chunk {
  const { axis, extent } = chain.at(-1)!
  const { chunk, innerUnroll = 1, peelTail = true, stages = 1, run } = schedule.reduce[axis]!
  const masks = folds.map((r) => maskOf(r, points))
  return {
    name: axis,
    extent,
    size: chunk!,
    step: innerUnroll,
    peelTail,
    depth: stages,
    run,
    outer: chain.slice(0, -1).map((r) => ({ name: r.axis, extent: r.extent })),
    masks: masks.every((m) => m !== undefined) ? (masks as readonly Masked[]) : [],
  }
}

/** Refuses what is not taken in chunks. */
function checkChunks(given: Store, schedule: StoreSchedule, folds: readonly Reduce[], chain: readonly Reduce[]): void {
  const { axis } = chain.at(-1)!
  const { vector, accumulators, group, stages, peelTail } = schedule.reduce[axis]!
  if (vector !== undefined || accumulators !== undefined || group !== undefined)
    throw new Refused("reduce/chunk", `'${axis}' is taken in chunks, and so has no vectors or lanes of its own`)
  for (const r of chain) checkSteady(schedule, r.axis, r.extent)
  const points = new Set(given.axes.map((a) => a.name))
  if (!folds.every((r) => [...freeVariables(r)].every((v) => points.has(v))))
    throw new Refused("reduce/chunk", "a fold inside of a prefix is not taken in chunks")
  if (stages !== undefined && (peelTail === false || stages < 1 || stages > 2))
    throw new Refused(
      "reduce/chunk",
      `the chunks of '${axis}' are staged one or two at a time, and have bodies of their own`,
    )
}

/** The folds from `r` to the first chunked one, when its chain has one. */
function chunkChain(r: Reduce, reduce: Readonly<Record<string, ReductionTile>>): readonly Reduce[] | undefined {
  const chain = r.monoid.kind === "online" ? [r] : chainOf(r)
  const at = chain.findIndex((c) => reduce[c.axis]?.chunk !== undefined)
  return at < 0 ? undefined : chain.slice(0, at + 1)
}

/** Gives folds the axes of the first one's chain. */
function unite(folds: readonly Reduce[], chain: readonly Reduce[], chained: Chain): (x: Expression) => Expression {
  const names = new Map<string, string>()
  for (const r of folds) {
    const mine = chained(r)!
    if (mine.length !== chain.length || mine.some((c, i) => c.extent !== chain[i]!.extent))
      throw new Refused("reduce/chunk", "folds of different extents are not taken in chunks together")
    for (const [i, c] of mine.entries()) names.set(c.axis, chain[i]!.axis)
  }
  return (value) =>
    rewrite(value, (e, again) => {
      if (e.kind === "variable") return names.has(e.name) ? variable(names.get(e.name)!) : e
      if (e.kind !== "reduce" || !names.has(e.axis) || names.get(e.axis) === e.axis) return undefined
      return reduce(names.get(e.axis)!, again(e.extent), e.monoid, e.lift.map(again))
    })
}
