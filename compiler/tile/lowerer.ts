/** What the parts of `tile` hand one another: where statements go, and how a kernel's names become arrays and variables. */

import type { Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import type { ReductionTile } from "../ir/schedule.js"
import type { LaneGroup, Naming } from "./accumulators.js"
import type { VectorAxis } from "./vector.js"

export interface Scope {
  /** Where statements go. */
  readonly out: Statement[]
  /** Loop variables and names that may occur in expressions here. */
  readonly bound: ReadonlySet<string>
  readonly vector: VectorAxis | undefined
  readonly lanes: LaneGroup | undefined
  /** Accumulators of reductions that are computed already, and values of locals that stand for what they hold. */
  readonly solved: ReadonlyMap<Expression, readonly Expression[]>
}

export interface Lowerer extends Naming {
  /** The flat offset and array of a load or local read; the offset is over untranslated variables. */
  place(x: Expression & { kind: "load" | "localRead" }): { readonly array: string; readonly offset: Expression }
  /** The layout of a buffer. */
  shape(buffer: string): readonly number[]
  /** Whether two elements of an array share a word of memory, so that stores write both. */
  inPairs(array: string): boolean
  /** Lanes of a workgroup. */
  readonly threads: number
  /** A local that the block keeps in a variable. */
  scalar(local: string): Expression | undefined
  /** How the schedule wants an axis folded. */
  folding(axis: string): ReductionTile
  /** Elements of a folded axis at most. */
  longest(axis: string): number
  /** Whether it is part of a longer one. */
  long(axis: string): boolean
}

/** The same where another axis is folded, too, of so many elements at most. */
export function withAxis(lowerer: Lowerer, axis: string, tile: ReductionTile, longest: number): Lowerer {
  return {
    ...lowerer,
    folding: (a) => (a === axis ? tile : lowerer.folding(a)),
    longest: (a) => (a === axis ? longest : lowerer.longest(a)),
  }
}
