/**
 * The rows of a register tile: scores that differ, each with its pivots and with the channels that are folded by it.
 *
 *   copies (r 0, d 0 … 7), (r 1, d 0 … 7) of online_{key}(s[r, key], 1, v[key, d])   →   rows s[0, key], s[1, key], each of the channels 1 and v[key, d 0 … 7]
 */

import { freeVariables, identity, literal, splat, substitute, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { outermostFolds } from "../../ir/query.js"
import { type Recipe, recipeOf } from "../../ir/recipes.js"
import type { Naming } from "../accumulators.js"
import { laneVariable, Refused } from "../block.js"
import { onlineIdentity, onlineMerge } from "../online-step.js"
import type { Merge } from "../runs.js"
import type { Copies } from "../store-copies.js"

/** The elements of the folded axis that count for a block. */
export interface Counted {
  readonly from: Expression
  readonly end: Expression
  readonly count: Expression
}

export interface Row {
  readonly recipe: Recipe
  readonly score: Expression
  /** What is folded with the weights of the scores; none is there twice. */
  readonly values: readonly Expression[]
  /** Lanes of the vector that each value has. */
  readonly widths: readonly number[]
  /** Whether each value is another one in each lane of a group. */
  readonly apart: readonly boolean[]
  readonly loose: boolean
  /** The folds that the row solves, with the places of their values. */
  readonly folds: ReadonlyMap<Reduce, readonly number[]>
}

/** The rows of the copies of some stores. */
export function rowsOf(stores: readonly Store[], held: Copies, axis: string, along: string): readonly Row[] {
  interface Draft {
    readonly recipe: Recipe
    readonly score: Expression
    readonly values: Expression[]
    loose: boolean
    readonly folds: Map<Reduce, readonly number[]>
  }
  const drafts = new Map<string, Draft>()
  for (const given of stores.flatMap((s) => outermostFolds(s.value))) {
    if (freeVariables(given.lift[0]!).has(along))
      throw new Refused("reduce/group", `the scores along '${axis}' differ from channel to channel`)
    for (const { at } of held.copies) {
      const r = substitute(given, at) as Reduce
      if (r.monoid.kind !== "online") continue
      const [score, ...values] = r.lift as [Expression, ...Expression[]]
      const key = `${r.monoid.recipe} ${identity(score)}`
      const row = drafts.get(key) ?? {
        recipe: recipeOf(r.monoid.recipe),
        score,
        values: [],
        loose: true,
        folds: new Map<Reduce, readonly number[]>(),
      }
      drafts.set(key, row)
      row.loose &&= r.monoid.loose === true
      const places = values.map((x) => {
        if (!row.values.includes(x)) row.values.push(x)
        return row.values.indexOf(x)
      })
      row.folds.set(r, places)
    }
  }
  const width = (x: Expression) =>
    held.vector !== undefined && freeVariables(x).has(held.vector.name) ? held.vector.width : 1
  const apart = (x: Expression) => width(x) > 1 || freeVariables(x).has(laneVariable.name)
  return [...drafts.values()].map((d) => ({ ...d, widths: d.values.map(width), apart: d.values.map(apart) }))
}

/** Per row: its pivots, then its channels. */
export type Elements = readonly (readonly Expression[])[]

/** Variables for the elements of all rows. */
export function openRows(rows: readonly Row[], out: Statement[], naming: Naming): Elements {
  return rows.map(({ recipe, widths }) =>
    identities(recipe, widths).map((value) => {
      const name = naming.fresh("online")
      out.push({ kind: "let", name, value, mutable: true })
      return variable(name, value.dtype, value.width)
    }),
  )
}

function identities(recipe: Recipe, widths: readonly number[]): readonly Expression[] {
  const pivots = onlineIdentity(recipe, 0, 1)
  return [...pivots, ...widths.map((w) => splat(literal(0, "f32"), w))]
}

/** How the elements of all rows become one, as flat lists. */
export function mergeOfRows(rows: readonly Row[], like: Elements): Merge {
  const split = (flat: readonly Expression[]): Elements => {
    let from = 0
    return like.map((e) => {
      from += e.length
      return flat.slice(from - e.length, from)
    })
  }
  return {
    components: like.flat(),
    independent: false,
    combine: (left, right) => {
      const [l, r] = [split(left), split(right)]
      return rows.flatMap(({ recipe, loose }, i) => onlineMerge(recipe, l[i]!, r[i]!, loose))
    },
  }
}

/** What some folds of the rows are when their elements are whole. */
export const solvedBy = (
  rows: readonly Row[],
  elements: Elements,
  wanted: readonly Reduce[],
): ReadonlyMap<Expression, readonly Expression[]> =>
  new Map(
    wanted.map((r) => {
      const i = rows.findIndex(({ folds }) => folds.has(r))
      const { recipe, folds } = rows[i]!
      const [pivots, element] = [recipe.pivots.length, elements[i]!]
      return [r, [...element.slice(0, pivots), ...folds.get(r)!.map((p) => element[pivots + p]!)]] as const
    }),
  )
