/**
 * Planted faults of prologues: what is made once for all cells of a workgroup, as a mistake in tile would make it.
 *
 *   for lane { row …; barrier; for group grid { … } }   →   … without the barrier: cells begin before the row is there
 */
import { apply, literal, variable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement, withBodies } from "../../compiler/ir/loop-visit.js"

type Fault = (loops: LoopKernel) => LoopKernel | undefined
type Loop = Statement & { readonly kind: "for" }

/** Changes what stands before the grid loop in the lanes, and the loop; undefined where there is no prologue. */
const changed =
  (change: (prologue: readonly Statement[], grid: Loop) => readonly Statement[] | undefined): Fault =>
  (loops) => {
    let found: readonly Statement[] | undefined
    const body = loops.body.map((s): Statement => {
      if (s.kind !== "for" || s.bind !== "lane") return s
      found = change(s.body.slice(0, -1), s.body.at(-1) as Loop)
      return { ...s, body: found ?? s.body }
    })
    return found && { ...loops, body }
  }

/** The statements without the last barrier among them. */
function unsettled(body: readonly Statement[]): readonly Statement[] | undefined {
  const last = everyStatement(body).findLast((s) => s.kind === "barrier")
  const without = (list: readonly Statement[]): readonly Statement[] =>
    list.filter((s) => s !== last).map((s) => withBodies(s, without))
  return last === undefined ? undefined : without(body)
}

export const prologueFaults: Readonly<Record<string, Fault>> = {
  "cells begin before the prologue is there": changed((prologue, grid) => {
    const made = unsettled(prologue)
    return made && [...made, grid]
  }),
  "only the first workgroup has a prologue": changed((prologue, grid) => {
    const condition = apply("lt", variable("workgroup"), literal(1))
    if (prologue.some((s) => s.kind === "let" || s.kind === "alloc")) return undefined
    return [{ kind: "if", condition, body: prologue, otherwise: [] }, grid]
  }),
  "a cell begins while lanes are at the one before": changed((prologue, grid) => {
    const [first] = grid.body.filter((s) => s.kind !== "alloc")
    if (first?.kind !== "barrier") return undefined
    return [...prologue, { ...grid, body: grid.body.filter((s) => s !== first) }]
  }),
}
