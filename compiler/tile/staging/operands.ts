/**
 * Operands: which values of a store its workgroup stages, and the folds over them.
 *
 *   sum_{k}(g[k] · x[s, k] · r[s] · w[o, k])   with   { staged: { x: … } }   →   local x[s, k] = g[k] · x[s, k] · r[s];  sum_{k}(x{s, k} · w[o, k])
 *   online_{key}(s, 1, v)   in chunks   →   local scores[row, key] = s;  sum_{key}(scores), sum_{key}(scores · v)
 *
 * With the factor of a fold that loads a buffer go all factors that depend on no more axes. An online fold in chunks becomes plain sums over
 * scores: each chunk of them is turned into weights before it is read, and sums advance when the pivots move (online.ts). Equal values over
 * axes of equal extents are staged once.
 */

import { freeVariables, identity, localRead, mul, reduce, rewriter, substitute, variable } from "../../ir/expression.js"
import { sum } from "../../ir/monoid.js"
import type { Expression, LocalRead, Reduce } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import { type RecipeName, recipeOf } from "../../ir/recipes.js"
import { renamedTile, type StagedTile, type StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import type { StagedLocal } from "./staged.js"

/** Scores of an online fold: the local is first these, then their weights. */
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

/** What operands are staged for. */
interface Purpose {
  /** Stem of the names. */
  readonly name: string
  readonly schedule: StoreSchedule
  readonly points: readonly Axis[]
  /** Those of the store and of its folds. */
  readonly axes: ReadonlyMap<string, Axis>
  /** Whether a fold is taken in chunks. */
  readonly chunked: (r: Reduce) => boolean
}

interface Operands {
  /** In the order in which they are made. */
  readonly locals: Map<string, StagedLocal>
  readonly online: Map<string, Online>
  /** A value over what is staged of it. */
  readonly over: (x: Expression) => Expression
}

/** What a block keeps of a pivot: one element per row of scores. */
export const pivotName = (scores: string, i: number): string => `${scores}_pivot${i}`

export function createOperands(purpose: Purpose): Operands {
  const { axes, chunked, points, schedule } = purpose
  const { staged = {} } = schedule
  const locals = new Map<string, StagedLocal>()
  const online = new Map<string, Online>()
  const own = (x: Expression) => [...freeVariables(x)].filter((v) => axes.has(v))

  const inside = (lift: Expression): Expression => {
    const all = own(lift).length
    const factors = factorsOf(lift)
    const left = new Set(factors.keys())
    const reads = new Map<number, LocalRead>()
    for (const [at, factor] of factors.entries()) {
      const load = nodesOf([factor], "load").findLast((l) => staged[l.buffer] !== undefined)
      const mine = new Set(own(factor))
      if (load === undefined || mine.size === all || !left.has(at)) continue
      const tile = staged[load.buffer]!
      const goes = (i: number) => i === at || (tile.packed !== true && own(factors[i]!).every((v) => mine.has(v)))
      const along = [...left].filter(goes)
      const value = along.map((i) => factors[i]!).reduce((a, b) => mul(a, b))
      // What a prefix around it runs over is no axis that can be staged.
      if ([...freeVariables(value)].some((v) => !axes.has(v))) continue
      // In the order of memory.
      const order = [...new Set([...load.index.flatMap(own).filter((v) => mine.has(v)), ...mine])]
      reads.set(along[0]!, readAt(stagedLocal(purpose, locals, load.buffer, value, order, tile), order))
      for (const i of along) left.delete(i)
    }
    return factors.flatMap((f, i) => reads.get(i) ?? (left.has(i) ? [over(f)] : [])).reduce((a, b) => mul(a, b))
  }

  const scoresOf = (r: Reduce, recipe: RecipeName, loose: boolean): Online => {
    const score = r.lift[0]!
    const rows = [...freeVariables(score)].filter((a) => a !== r.axis)
    const order = [...points.map((a) => a.name).filter((a) => rows.includes(a)), r.axis]
    if (order.length !== rows.length + 1)
      throw new Refused("reduce/chunk", "the scores of an online fold depend on another fold")
    const tile = staged.scores ?? { tile: {} }
    const local = stagedLocal(purpose, locals, `${recipe}_scores`, inside(score), order, tile, true)
    const before = online.get(local.name)
    const read = readAt(local, order)
    const made = { scores: local.name, read, recipe, rows: local.axes.slice(0, -1) }
    online.set(local.name, { ...made, loose: loose && before?.loose !== false })
    return online.get(local.name)!
  }

  const over: (x: Expression) => Expression = rewriter((x) => {
    const r = x.kind === "component" ? x.of : x
    if (r.kind !== "reduce") return undefined
    if (r.monoid.kind !== "online" || !chunked(r))
      return x === r ? reduce(r.axis, r.extent, r.monoid, r.lift.map(inside)) : undefined
    const { recipe, loose } = r.monoid
    const { read, scores } = scoresOf(r, recipe, loose === true)
    const at = x.kind === "component" ? x.index : 0
    const pivots = recipeOf(recipe).pivots.length
    if (at < pivots) return localRead(pivotName(scores, at), read.index.slice(0, -1), "f32")
    const factor = r.lift[1 + at - pivots]!
    const one = factor.kind === "literal" && factor.value === 1
    return reduce(r.axis, r.extent, sum, [one ? read : mul(read, inside(factor))])
  })
  return { locals, online, over }
}

const readAt = ({ name, value }: StagedLocal, order: readonly string[]): LocalRead =>
  localRead(
    name,
    order.map((a) => variable(a)),
    value.dtype,
  )

/** The local of a value over axes of the store and its folds. */
function stagedLocal(
  { name, schedule, axes }: Purpose,
  locals: Map<string, StagedLocal>,
  stem: string,
  value: Expression,
  order: readonly string[],
  tile: StagedTile,
  moves = false,
): StagedLocal {
  const to = new Map(order.map((a, i) => [a, `${name}_axis${i}`] as const))
  const own = order.map((a): Axis => ({ name: to.get(a)!, extent: axes.get(a)!.extent }))
  for (const [i, { extent }] of own.entries()) checkSteady(schedule, order[i]!, extent)
  const renamed = substitute(value, new Map([...to].map(([from, name]) => [from, variable(name)] as const)))
  const key = [stem, identity(renamed), ...own.map((a) => identity(a.extent))].join(" ")
  const made = {
    kind: "local",
    name: `${name}_${stem}_${locals.size}`,
    axes: own,
    value: renamed,
    tile: renamedTile(tile, (a) => to.get(a)),
    moves,
  } as const
  const local = locals.get(key) ?? made
  locals.set(key, local)
  return local
}

/** @throws Refused where the points of a block have different extents of an axis */
export function checkSteady(schedule: StoreSchedule, axis: string, extent: Expression): void {
  if ([...freeVariables(extent)].some((v) => (schedule.tile[v]?.block ?? 1) !== 1))
    throw new Refused("reduce/chunk", `the extent of '${axis}' differs from point to point`)
}

/** The factors of a product of f32, from left to right. */
export function factorsOf(x: Expression): readonly Expression[] {
  if (x.kind !== "operation" || x.operation !== "mul" || x.dtype !== "f32") return [x]
  return x.args.flatMap(factorsOf)
}
