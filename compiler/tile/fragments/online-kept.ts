/**
 * Kept results: what fragments have added up of so many chunks is added to sums of its own, for matrix units do not round sums but cut them.
 *
 *   each 32 chunks of 128    →   kept = kept · exp(pivot then − pivot) + result;  result = 0;  pivot then = pivot
 *   at the end               →   result = kept · exp(pivot then − pivot) + result
 *
 * What is kept is put aside, and takes no registers.
 */
import { apply, fetch, literal, variable } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { identityValue } from "../../ir/monoid.js"
import type { Expression } from "../../ir/nodes.js"
import { assign } from "../accumulators.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { putAside } from "./chains.js"
import { sizeOf } from "./online-block.js"
import { eachRegister, type HeldRow } from "./online-rows.js"
import { advanced, type OpenFold } from "./online-weights.js"
import { clear } from "./registers.js"

interface Kept {
  readonly arrays: readonly string[]
  /** The pivots that it follows, of each row. */
  readonly pivots: ReadonlyMap<HeldRow, readonly Expression[]>
}

/** What is kept, with nothing in it. */
export function openKept({ block, rows, results }: OpenFold, scope: Scope, lowerer: Lowerer): Kept {
  const { out } = scope
  const size = sizeOf(block.results)
  const arrays = results.map(() => putAside(size, out, lowerer))
  for (const array of arrays) clear(array, size, out, lowerer)
  const pivots = rows.map((row) => {
    const names = block.of.recipe.pivots.map((p) => {
      const name = lowerer.fresh("then")
      out.push({ kind: "let", name, value: literal(identityValue(p.fold, "f32"), "f32"), mutable: true })
      return variable(name, "f32")
    })
    return [row, names] as const
  })
  return { arrays, pivots: new Map(pivots) }
}

/** Keeps the results after every so many chunks; `done` of them are in. */
export function emitKeep(c: OpenFold, kept: Kept, done: Expression, scope: Scope, lowerer: Lowerer): void {
  const out: Statement[] = []
  const inside = { ...scope, out }
  for (const row of c.rows) {
    together(c, kept, row, inside, lowerer, (array, register, value, result) => [
      { kind: "store", array, offset: register, value },
      { kind: "store", array: result, offset: register, value: literal(0, "f32") },
    ])
    assign(kept.pivots.get(row)!, row.pivots, true, out, lowerer)
  }
  const condition = apply("eq", apply("floormod", done, literal(c.block.run!)), literal(0))
  scope.out.push({ kind: "if", condition, body: out, otherwise: [] })
}

/** Adds what is kept to the results. */
export function emitRestore(c: OpenFold, kept: Kept, scope: Scope, lowerer: Lowerer): void {
  for (const row of c.rows)
    together(c, kept, row, scope, lowerer, (_, register, value, result) => [
      { kind: "store", array: result, offset: register, value },
    ])
}

/** For each register of a row, the sum of what is kept and of the result, where the pivots are. */
function together(
  c: OpenFold,
  { arrays, pivots }: Kept,
  row: HeldRow,
  scope: Scope,
  lowerer: Lowerer,
  emit: (array: string, register: Expression, value: Expression, result: string) => readonly Statement[],
): void {
  eachRegister(c.block.results, row, scope, lowerer, (found, { out }) => {
    for (const { register } of found)
      for (const [i, array] of arrays.entries()) {
        const result = c.results[i]!
        const before = advanced(c, pivots.get(row)!, row.pivots, fetch(array, register, "f32"))
        out.push(...emit(array, register, apply("add", before, fetch(result, register, "f32")), result))
      }
  })
}
