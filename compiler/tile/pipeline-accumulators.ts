/**
 * Accumulators of a lane's points from chunk to chunk: variables where it has one point, else arrays of an element per point.
 *
 *   block 128 × 128 of 256 lanes with registers 8 × 8   →   one iteration: lane l has the point l, and 64 variables
 *   block 4 × 64 of one lane with registers 1 × 4       →   64 iterations, whose accumulators lie in arrays between the loops
 */

import { literalExtent } from "../ir/dim.js"
import { fetch, freeVariables, literal, mul, variable } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { type Accumulators, declare } from "./accumulators.js"
import { Refused } from "./block.js"
import { eachIteration, type Iterations } from "./iterations.js"
import type { Lowerer, Scope } from "./lowerer.js"

export interface Kept {
  /** Runs `body` for each point with the accumulators, which it may assign. */
  each(out: Statement[], body: (out: Statement[], open: Accumulators) => void): void
  /** The same for the last time; `solved`: what else is known of the points by then. */
  finish(out: Statement[], body: (out: Statement[], open: Accumulators, solved: Scope["solved"]) => void): void
}

/** How many points a lane has. */
export function countOf({ count }: Iterations): number {
  const known = literalExtent(count)
  if (known === undefined) throw new Refused("reduce/chunk", "a block that takes chunks has a known number of points")
  return known
}

/** Elements of what differs in the lanes of a vector. */
export const widthIn = ({ vector }: Scope, x: Expression): number =>
  vector !== undefined && freeVariables(x).has(vector.name) ? vector.width : 1

export function createAccumulators(
  folds: readonly Reduce[],
  iterations: Iterations,
  scope: Scope,
  lowerer: Lowerer,
): Kept {
  const { out } = scope
  const count = countOf(iterations)
  const declared = (to: Statement[]) => folds.map((r) => declare(r, widthIn(scope, r), to, lowerer))
  if (count === 1) {
    const open = declared(out)
    return { each: (to, body) => body(to, open), finish: (to, body) => body(to, open, new Map()) }
  }
  const first: Statement[] = []
  const initial = declared(first)
  const arrays = initial.map((components) =>
    components.map(({ dtype, width }) => {
      const array = lowerer.fresh("kept")
      out.push({ kind: "alloc", name: array, dtype, size: count * width, space: "register" })
      return { array, dtype, width, offset: mul(variable(iterations.name), literal(width)) }
    }),
  )
  const write = (to: Statement[], open: Accumulators) => {
    for (const [i, components] of arrays.entries())
      for (const [j, { array, offset }] of components.entries())
        to.push({ kind: "store", array, offset, value: open[i]![j]! })
  }
  const read = (to: Statement[], mutable: boolean): Accumulators =>
    arrays.map((components, i) =>
      components.map(({ array, dtype, width, offset }) => {
        const name = lowerer.fresh(folds[i]!.axis)
        to.push({ kind: "let", name, value: fetch(array, offset, dtype, width), mutable })
        return variable(name, dtype, width)
      }),
    )
  write(first, initial)
  out.push({ kind: "for", variable: iterations.name, extent: literal(count), bind: "serial", body: first })
  return {
    each: (to, body) =>
      eachIteration(iterations, to, (inner) => {
        const open = read(inner, true)
        body(inner, open)
        write(inner, open)
      }),
    finish: (to, body) => eachIteration(iterations, to, (inner) => body(inner, read(inner, false), new Map())),
  }
}
