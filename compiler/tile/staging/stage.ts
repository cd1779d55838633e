/**
 * stage: a store × its schedule → the store over what its workgroup stages, chunk by chunk.
 *
 *   y[s, o] = sum_{k}(x[s, k] · w[o, k])   with   { reduce: { k: { chunk: 16 } }, staged: { x: …, w: … } }
 *   →  local x.staged[s, k] = x[s, k];  local w.staged[o, k] = w[o, k];  y[s, o] = sum_{k}(x.staged{s, k} · w.staged{o, k})
 *
 * The factors of a fold are told apart by what they depend on, so that all of x · scale[s] · weight[k] is one operand. An online fold becomes
 * plain sums over scores that are staged:
 *
 *   online_{key}(s, 1, v)   →   local scores[row, key] = s;  sum_{key}(scores), sum_{key}(scores · v)
 *
 * `tile` turns each chunk of scores into weights before it is read, and advances the sums when the pivots move. Folds side by side of one
 * extent get one axis, so that they share what is staged.
 */

import {
  component,
  freeVariables,
  identity,
  localRead,
  mul,
  reduce,
  rewrite,
  rewriter,
  substitute,
  variable,
} from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import { memoized } from "../../ir/memoized.js"
import { type Online as OnlineMonoid, sum } from "../../ir/monoid.js"
import type { Expression, LocalRead, Reduce } from "../../ir/nodes.js"
import { chainOf, nodesOf, outermostFolds } from "../../ir/query.js"
import { type RecipeName, recipeOf } from "../../ir/recipes.js"
import { type ReductionTile, renamedTile, type StagedTile, type StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import { everyRowCounts, type Masked, maskedLift } from "../range.js"
import type { StagedLocal } from "./staged.js"

/** Scores of an online fold: the local holds them, then their weights. */
export interface Online {
  readonly scores: string
  /** A score at its own place. */
  readonly read: LocalRead
  readonly recipe: RecipeName
  /** Whether the folds of these scores are all loose. */
  readonly loose: boolean
  /** The axes of a row of scores: the local's but the last. */
  readonly rows: readonly Axis[]
}

export interface Staged {
  readonly store: Store
  /** Stores that are made along with it, over its axes. */
  readonly beside: readonly Store[]
  readonly locals: readonly StagedLocal[]
  /** The axis of the item's own that an axis of such a local stands for. */
  readonly origins: ReadonlyMap<string, string>
  readonly online: readonly Online[]
  /** The chunked axis and the axes that are folded around it, outermost first. */
  readonly chunk: Axis & {
    readonly size: number
    readonly step: number
    readonly peelTail: boolean
    readonly depth: number
    /** Elements of a run, where the schedule says it. */
    readonly run: number | undefined
  }
  /** The predicates of the chunked folds, when every one has a predicate that may leave elements out. */
  readonly masks: readonly Masked[]
  readonly outer: readonly Axis[]
}

/** What a workgroup stages, as the folds of its stores are taken apart. */
interface Staging {
  readonly name: string
  readonly given: Store
  readonly schedule: StoreSchedule
  /** The folds from one that is taken in chunks down to its axis, if it is. */
  readonly chunked: (r: Reduce) => readonly Reduce[] | undefined
  /** The axis whose elements come in chunks. */
  readonly axis: string
  /** Those of the store and of its folds. */
  readonly axes: ReadonlyMap<string, Axis>
  readonly locals: StagedLocal[]
  readonly origins: Map<string, string>
  readonly online: Online[]
  /** Scores by what they are scores of. */
  readonly scored: Map<string, { readonly read: LocalRead; readonly scores: string }>
  /** Scores that some fold may not lose. */
  readonly strict: Set<string>
  /** The operand of a fold over what is staged. */
  readonly operand: (x: Expression) => Expression
}

/** The staged store and those made along with it, or undefined when its schedule asks for no chunk. */
export function stage(
  given: Store,
  schedule: StoreSchedule,
  name: string,
  along: readonly Store[] = [],
): Staged | undefined {
  const chunked = (r: Reduce) => chunkChain(r, schedule.reduce)
  const folds = outermostFolds(given.value).filter((r) => chunked(r) !== undefined)
  const [first] = folds
  if (first === undefined) return undefined
  const chain = chunked(first)!
  const last = chain.at(-1)!
  const wanted = schedule.reduce[last.axis]!
  checkChunks(given, schedule, folds, chain)
  const value = unite(given.value, folds, chain, chunked)
  const axes = new Map<string, Axis>(given.axes.map((a) => [a.name, a]))
  for (const r of nodesOf([value], "reduce")) axes.set(r.axis, { name: r.axis, extent: r.extent })
  const block: Staging = {
    name,
    given,
    schedule,
    chunked,
    axis: last.axis,
    axes,
    locals: [],
    origins: new Map(),
    online: [],
    scored: new Map(),
    strict: new Set(),
    operand: createStaging(schedule.staged ?? {}, axes, (...staged) => stageOperand(block, ...staged)),
  }
  const visit = restaged(block)
  const store: Store = { ...given, value: visit(value) }
  const beside = along.map((s): Store => ({ ...s, value: visit(unite(s.value, [], chain, chunked)) }))
  const chunk = {
    name: last.axis,
    extent: last.extent,
    size: wanted.chunk!,
    step: wanted.innerUnroll ?? 1,
    peelTail: wanted.peelTail ?? true,
    depth: wanted.stages ?? 1,
    run: wanted.run,
  }
  const online = block.online.map((c) => ({ ...c, loose: !block.strict.has(c.scores) }))
  const found = outermostFolds(value).flatMap((r) => (chunked(r) === undefined ? [] : [maskOf(r, given.axes)]))
  const masks = found.every((m) => m !== undefined) ? (found as readonly Masked[]) : []
  const outer = chain.slice(0, -1).map((r) => ({ name: r.axis, extent: r.extent }))
  const { locals, origins } = block
  return { store, beside, locals, origins, online, chunk, masks, outer }
}

/** Refuses what is not taken in chunks. */
function checkChunks(given: Store, schedule: StoreSchedule, folds: readonly Reduce[], chain: readonly Reduce[]): void {
  const { axis } = chain.at(-1)!
  const { vector, accumulators, group, stages, peelTail } = schedule.reduce[axis]!
  if (vector !== undefined || accumulators !== undefined || group !== undefined)
    throw new Refused("reduce/chunk", `'${axis}' is taken in chunks, and so has no vectors or lanes of its own`)
  for (const r of chain) steady(schedule, r.axis, r.extent)
  const points = new Set(given.axes.map((a) => a.name))
  if (!folds.every((r) => [...freeVariables(r)].every((v) => points.has(v))))
    throw new Refused("reduce/chunk", "a fold inside of a prefix is not taken in chunks")
  if (stages !== undefined && (peelTail === false || stages < 1 || stages > 2))
    throw new Refused(
      "reduce/chunk",
      `the chunks of '${axis}' are staged one or two at a time, and have bodies of their own`,
    )
}

/** Folds that are taken in chunks, over what the block stages of each chunk. */
function restaged(block: Staging): (x: Expression) => Expression {
  return rewriter((x) => {
    const of = x.kind === "component" ? x.of : x
    if (of.kind !== "reduce" || block.chunked(of) === undefined) return undefined
    if (of.monoid.kind !== "online") {
      const made = restage(block, of)
      return x.kind === "component" ? component(made, x.index, x.slot) : made
    }
    const { read, scores } = scoresOf(block, of, of.monoid)
    const at = x.kind === "component" ? x.index : 0
    const pivots = recipeOf(of.monoid.recipe).pivots.length
    if (at < pivots) return localRead(pivotName(scores, at), read.index.slice(0, -1), "f32")
    const factor = of.lift[1 + at - pivots]!
    const one = factor.kind === "literal" && factor.value === 1
    return reduce(of.axis, of.extent, sum, [one ? read : mul(read, block.operand(factor))])
  })
}

function steady(schedule: StoreSchedule, axis: string, extent: Expression) {
  if ([...freeVariables(extent)].some((v) => (schedule.tile[v]?.block ?? 1) !== 1))
    throw new Refused("reduce/chunk", `the extent of '${axis}' differs from point to point`)
}

function stageOperand(
  block: Staging,
  stem: string,
  operand: Expression,
  order: readonly string[],
  tile: StagedTile,
  moves = false,
): LocalRead {
  const local = `${block.name}_${stem}_${block.locals.length}`
  const fresh = new Map(order.map((a) => [a, `${a}_${local}`] as const))
  for (const [from, to] of fresh) block.origins.set(to, from)
  const extents = order.map((a) => {
    const { extent } = block.axes.get(a)!
    steady(block.schedule, a, extent)
    return { name: fresh.get(a)!, extent }
  })
  const renamed = new Map([...fresh].map(([from, to]) => [from, variable(to)] as const))
  const own = renamedTile(tile, (a) => fresh.get(a) ?? a)
  const value = substitute(operand, renamed)
  block.locals.push({ kind: "local", name: local, axes: extents, value, tile: own, moves })
  return localRead(
    local,
    order.map((a) => variable(a)),
    operand.dtype,
  )
}

function scoresOf(block: Staging, r: Reduce, { recipe, loose }: OnlineMonoid) {
  const score = r.lift[0]!
  const key = `${recipe} ${identity(score)}`
  const known = block.scored.get(key)
  if (known !== undefined) {
    if (loose !== true) block.strict.add(known.scores)
    return known
  }
  const rows = [...freeVariables(score)].filter((a) => a !== r.axis)
  const order = [...block.given.axes.map((a) => a.name).filter((a) => rows.includes(a)), r.axis]
  if (order.length !== rows.length + 1)
    throw new Refused("reduce/chunk", "the scores of an online fold depend on another fold")
  const read = stageOperand(
    block,
    "scores",
    block.operand(score),
    order,
    block.schedule.staged?.scores ?? { tile: {} },
    true,
  )
  const { name: scores, axes: staged } = block.locals.at(-1)!
  if (loose !== true) block.strict.add(scores)
  block.online.push({ scores, read, recipe, loose: true, rows: staged.slice(0, -1) })
  const made = { read, scores }
  block.scored.set(key, made)
  return made
}

/** The fold over staged operands; the folds of its chain stay what they are. */
function restage(block: Staging, r: Reduce): Reduce {
  const inner = r.lift[0]!
  const deeper = chainOf(r).length > 1 && r.axis !== block.axis
  return reduce(
    r.axis,
    r.extent,
    r.monoid,
    deeper ? [restage(block, inner as Reduce)] : r.lift.map(block.operand),
  ) as Reduce
}

/** The predicate of a fold's lift, where elements that fail it may be left out. */
function maskOf(r: Reduce, rows: readonly Axis[]): Masked | undefined {
  const { kind } = r.monoid
  if (kind === "sum" || kind === "max" || kind === "min") return maskedLift(r.lift[0]!, kind)
  if (kind !== "online") return undefined
  const [pivot] = recipeOf(r.monoid.recipe).pivots
  const mask = pivot?.of === "$0" ? maskedLift(r.lift[0]!, pivot.fold) : undefined
  return mask !== undefined && everyRowCounts(mask, { name: r.axis, extent: r.extent }, rows) ? mask : undefined
}

/** What a block keeps of a pivot: one element per row of scores. */
export const pivotName = (scores: string, i: number): string => `${scores}_pivot${i}`

/** The folds from `r` to the first chunked one, when its chain has one. */
function chunkChain(r: Reduce, reduce: Readonly<Record<string, ReductionTile>>): readonly Reduce[] | undefined {
  const chain = r.monoid.kind === "online" ? [r] : chainOf(r)
  const at = chain.findIndex((c) => reduce[c.axis]?.chunk !== undefined)
  return at < 0 ? undefined : chain.slice(0, at + 1)
}

/** Gives the folds the axes of the first one's chain. */
function unite(
  value: Expression,
  folds: readonly Reduce[],
  chain: readonly Reduce[],
  chunked: (r: Reduce) => readonly Reduce[] | undefined,
): Expression {
  const names = new Map<string, string>()
  for (const r of folds) {
    const mine = chunked(r)!
    if (mine.length !== chain.length || mine.some((c, i) => c.extent !== chain[i]!.extent))
      throw new Refused("reduce/chunk", "folds of different extents are not taken in chunks together")
    for (const [i, c] of mine.entries()) names.set(c.axis, chain[i]!.axis)
  }
  return rewrite(value, (e, again) => {
    if (e.kind === "variable") return names.has(e.name) ? variable(names.get(e.name)!) : e
    if (e.kind !== "reduce" || !names.has(e.axis) || names.get(e.axis) === e.axis) return undefined
    return reduce(names.get(e.axis)!, again(e.extent), e.monoid, e.lift.map(again))
  })
}

/** Replaces the operands that load a staged buffer by reads of locals, in all folds of a value. */
function createStaging(
  staged: Readonly<Record<string, StagedTile>>,
  axes: ReadonlyMap<string, Axis>,
  stageOperand: (stem: string, value: Expression, order: readonly string[], tile: StagedTile) => Expression,
): (x: Expression) => Expression {
  const own = (x: Expression) => [...freeVariables(x)].filter((v) => axes.has(v))
  const wanted = (x: Expression) => nodesOf([x], "load").findLast((l) => staged[l.buffer] !== undefined)
  const operand: (x: Expression) => Expression = memoized((x) => {
    const load = wanted(x)
    if (load === undefined || x.kind === "localRead") return x
    // What a prefix inside of the fold runs over is no axis that can be staged.
    if ([...freeVariables(x)].some((v) => !axes.has(v))) return x
    // In the order of memory; what a fold inside of the operand runs over is not the operand's.
    const mine = new Set(own(x))
    const order = new Set(load.index.flatMap((i) => [...freeVariables(i)]).filter((v) => mine.has(v)))
    for (const v of mine) order.add(v)
    return stageOperand(load.buffer, x, [...order], staged[load.buffer]!)
  })
  const inside = (lift: Expression): Expression => {
    const factors = factorsOf(lift)
    const all = own(lift)
    if (factors.length > 1) {
      const groups = new Map<string, Expression>()
      for (const f of factors) {
        const key = own(f).sort().join(" ")
        const before = groups.get(key)
        groups.set(key, before === undefined ? f : mul(before, f))
      }
      const parts = [...groups].map(([key, x]) =>
        key.split(" ").filter(Boolean).length < all.length ? operand(x) : folds(x),
      )
      return parts.reduce((a, b) => mul(a, b))
    }
    return folds(lift)
  }
  /** Below operations: loads that depend on less than all, and the folds. */
  const folds = rewriter((x) =>
    x.kind === "reduce" ? reduce(x.axis, x.extent, x.monoid, x.lift.map(inside)) : undefined,
  )
  return inside
}

/** The factors of a product of f32, from left to right. */
export function factorsOf(x: Expression): readonly Expression[] {
  if (x.kind !== "operation" || x.operation !== "mul" || x.dtype !== "f32") return [x]
  return x.args.flatMap(factorsOf)
}
