/**
 * What the emission of one kernel shares, and what is known about its values before any instruction is made.
 *
 *   isStable(e, x)    x · w[k] with w only read: the same until a variable in it is bound anew
 *   isTrivial(e, x)   literals, variables: cheaper to make again than to keep
 *   countUses         x · x + f(x): x is needed three times, and kept in a local
 */
import { isLiteral, operands } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import { emittedOperands, type Place } from "./arrays.js"
import type { Code } from "./encode.js"
import { partsOf, type Values } from "./values.js"

/** Everything that emission of one kernel shares. */
export interface Emission {
  readonly code: Code
  readonly values: Values
  readonly places: ReadonlyMap<string, Place>
  readonly mutable: ReadonlySet<string>
  /** Locals of variables by part. */
  readonly variables: Map<string, readonly number[]>
  readonly symbols: ReadonlyMap<string, number>
  /** Locals of promoted arrays by element, or by group of four. */
  readonly slots: Map<string, readonly number[]>
  /** How often a node is needed in the whole kernel. */
  readonly uses: ReadonlyMap<Expression, number>
  /** Buffers that the kernel only reads. */
  readonly constants: ReadonlySet<string>
  /** Variables of loops: never negative. */
  readonly counters: Set<string>
  readonly stable: Map<Expression, boolean>
  /** Variables that are bound in front of a loop already. */
  readonly hoisted: Set<Statement>
  /** How many lazily evaluated arms surround the current value. */
  readonly arms: { depth: number }
  /** Where in scratch memory sums are stored that nobody reads there (`turns.ts`). */
  readonly aside: number | undefined
  /** Pushes a part of a value. */
  readonly part: (x: Expression, part?: number) => void
  readonly statements: (list: readonly Statement[]) => void
}

/** Whether a value stays what it is while no variable in it is bound anew: nothing that it reads is written. */
export function isStable(e: Emission, x: Expression): boolean {
  const known = e.stable.get(x)
  if (known !== undefined) return known
  const own = x.kind === "variable" ? !e.mutable.has(x.name) : x.kind !== "fetch" || e.constants.has(x.array)
  const found = own && operands(x).every((o) => isStable(e, o))
  e.stable.set(x, found)
  return found
}

/** Values that are cheaper to make again than to keep. */
export function isTrivial(e: Emission, x: Expression): boolean {
  if (x.kind === "literal" || x.kind === "variable" || x.kind === "symbol") return true
  if (x.kind === "splat") return isLiteral(x.of)
  if (x.kind === "vector") return x.args.every(isLiteral)
  return x.kind === "fetch" && e.places.get(x.array)!.kind === "locals"
}

/** All parts of a splat are one. */
export const distinctParts = (x: Expression): number => (x.kind === "splat" ? 1 : partsOf(x.width))

/** Counts how often each node is needed by others or by a statement. */
export function countUses(
  places: ReadonlyMap<string, Place>,
  roots: Iterable<Expression>,
): ReadonlyMap<Expression, number> {
  const uses = new Map<Expression, number>()
  const visit = (x: Expression, times: number): void => {
    const before = uses.get(x)
    uses.set(x, (before ?? 0) + times)
    if (before === undefined)
      for (const o of emittedOperands(x, places)) visit(o, Math.ceil(distinctParts(x) / distinctParts(o)))
  }
  for (const root of roots) visit(root, 1)
  return uses
}
