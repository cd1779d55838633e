/**
 * The groups of a workgroup have folded what is theirs: their elements become one.
 *
 *   8 subgroups of 2 groups   →   each lane merges with the lane 16 apart; the first group of each subgroup writes; a barrier; who stores
 *                                 merges what the 8 have written
 *
 * The merge is the recipe's: pivots move to where all of them take it.
 */

import { add, apply, fetch, literal, mul } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { assign, share } from "../accumulators.js"
import { type Build, laneVariable } from "../block.js"
import { shuffled } from "../lane-trees.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { onlineMergeAll } from "../online-step.js"
import { shareMemory } from "../staging/staged.js"
import type { Groups } from "./groups.js"
import { type Elements, mergeOfRows, type Row, solvedBy } from "./rows.js"

/** What some folds are, once all groups have written theirs; `out`: where what it takes is named. */
export type Merged = (folds: readonly Reduce[], out: Statement[]) => ReadonlyMap<Expression, readonly Expression[]>

/** Merges the groups as far as all lanes take part. */
export function mergeGroups(
  rows: readonly Row[],
  open: Elements,
  { size, index, count }: Groups,
  { out }: Scope,
  lowerer: Lowerer,
  parts: Build,
): Merged {
  const { threads, subgroup = 1 } = parts.schedule
  const together = Math.max(size, Math.min(subgroup, threads))
  const merge = mergeOfRows(rows, open)
  const own = open.flat()
  for (let mask = size; mask < together; mask *= 2)
    assign(own, merge.combine(own, shuffled(own, mask, out, lowerer)), false, out, lowerer)
  const writers = threads / together
  if (count === 1 || writers === 1) return (folds) => solvedBy(rows, open, folds)
  const apart = rows.flatMap((r) => [...r.recipe.pivots.map(() => false), ...r.apart])
  const kinds = new Map<string, { readonly width: number; readonly apart: boolean; readonly held: Expression[] }>()
  for (const [i, x] of own.entries()) {
    const key = `${x.width} ${apart[i]}`
    const kind = kinds.get(key) ?? { width: x.width, apart: apart[i]!, held: [] }
    kinds.set(key, kind)
    kind.held.push(x)
  }
  const arrays = [...kinds.values()].map((kind) => {
    const row = kind.held.length * kind.width * (kind.apart ? size : 1)
    return { ...kind, row, array: shareMemory("merged", { dtype: "f32", size: writers * row }, parts) }
  })
  const place = (x: Expression, writer: Expression) => {
    const { held, row, width, apart, array } = arrays.find((a) => a.held.includes(x))!
    const first = literal(held.indexOf(x) * width * (apart ? size : 1))
    const offset = apart ? add(first, mul(index, literal(width))) : first
    return { array, offset: add(mul(writer, literal(row)), offset) }
  }
  const mine = apply("floordiv", laneVariable, literal(together))
  const here = apply("bitand", laneVariable, literal(together - 1))
  // What is the same in all lanes of a group is written by one of them.
  for (const each of [true, false]) {
    const body = own.flatMap((value, i): readonly Statement[] =>
      apart[i] === each ? [{ kind: "store", ...place(value, mine), value }] : [],
    )
    const condition = each ? apply("lt", here, literal(size)) : apply("eq", here, literal(0))
    if (body.length > 0) out.push({ kind: "if", condition, body, otherwise: [] })
  }
  out.push({ kind: "barrier" })
  return (folds, body) => {
    const read = (x: Expression, writer: number) => {
      const { array, offset } = place(x, literal(writer))
      return fetch(array, offset, "f32", x.width)
    }
    const merged = rows.map(({ recipe, loose }, i) => {
      const pivots = open[i]!.slice(0, recipe.pivots.length)
      const all = (xs: readonly Expression[]) =>
        onlineMergeAll(
          recipe,
          Array.from({ length: writers }, (_, w) => xs.map((x) => read(x, w))),
          loose,
        )
      return [...all(pivots), ...open[i]!.slice(pivots.length).map((c) => all([...pivots, c]).at(-1)!)]
    })
    const solved = [...solvedBy(rows, merged, folds)]
    const named = share(
      solved.flatMap(([, element]) => element),
      body,
      lowerer,
    )
    let from = 0
    return new Map(
      solved.map(([r, element]) => {
        from += element.length
        return [r, named.slice(from - element.length, from)] as const
      }),
    )
  }
}
