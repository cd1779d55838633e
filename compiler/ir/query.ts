/**
 * Finders: which nodes of some kind expressions consist of, and how their folds lie in one another.
 *
 *   nodesOf([value], "load", "localRead")   // what is read below, each node once, operands first
 *   outermostFolds(value).flatMap(chainOf)
 */
import { freeVariables, operands, walk } from "./expression.js"
import type { Local } from "./kernel.js"
import type { Expression, Load, LocalRead, Reduce } from "./nodes.js"

/** The nodes of some kinds in expressions, each once, operands first. */
export function nodesOf<K extends Expression["kind"]>(
  roots: readonly Expression[],
  ...kinds: readonly K[]
): readonly Extract<Expression, { kind: K }>[] {
  const found: Expression[] = []
  const seen = new Set<Expression>()
  const see = (x: Expression) => {
    if ((kinds as readonly string[]).includes(x.kind)) found.push(x)
  }
  for (const root of roots) walk(root, see, seen)
  return found as Extract<Expression, { kind: K }>[]
}

/** The names of the buffers that are loaded from. */
export const loadedIn = (roots: readonly Expression[]): ReadonlySet<string> =>
  new Set(nodesOf(roots, "load").map((l) => l.buffer))

/** The locals that expressions read, and those that these read, in the order of the list. */
export function localsIn<L extends Local>(roots: readonly Expression[], locals: ReadonlyMap<string, L>): readonly L[] {
  const found = new Set<string>()
  const visit = (values: readonly Expression[]): void => {
    for (const { local: name } of nodesOf(values, "localRead")) {
      if (found.has(name)) continue
      found.add(name)
      const local = locals.get(name)
      if (local !== undefined) visit([local.value])
    }
  }
  visit(roots)
  return [...locals.values()].filter((l) => found.has(l.name))
}

/** Whether a node is or consists of one of which something holds. */
export function someNode(root: Expression, holds: (x: Expression) => boolean): boolean {
  const seen = new Set<Expression>()
  const visit = (x: Expression): boolean => {
    if (seen.has(x)) return false
    seen.add(x)
    return holds(x) || operands(x).some(visit)
  }
  return visit(root)
}

/** A fold and those that its lift consists of, outermost first. */
export function chainOf(root: Reduce): readonly Reduce[] {
  const chain = [root]
  for (let at = root; ; ) {
    const [next] = at.lift
    const simple = at.monoid.kind === "sum" || at.monoid.kind === "max" || at.monoid.kind === "min"
    if (!simple || next?.kind !== "reduce" || next.monoid.kind !== at.monoid.kind) return chain
    if (chain.some((r) => freeVariables(next.extent).has(r.axis))) return chain
    chain.push(next)
    at = next
  }
}

/** Folds that are in no other fold. */
export const outermostFolds = (root: Expression): readonly Reduce[] =>
  topmost([root], (x) => x.kind === "reduce").filter((x) => x.kind === "reduce")

/** Folds whose lifts are no folds: those that have accumulators in the innermost loops. */
export const leavesOf = (folds: readonly Reduce[]): readonly Reduce[] =>
  folds.filter((r) => nodesOf(r.lift, "reduce").length === 0)

/** Loads, and reads of locals, outside of folds. */
export const ownLoads = (values: readonly Expression[]): readonly (Load | LocalRead)[] =>
  topmost(values, (x) => x.kind === "reduce" || x.kind === "scan").filter(
    (x) => x.kind === "load" || x.kind === "localRead",
  )

/** The nodes from some values down to those at which the search ends, each once, before their operands. */
function topmost(values: readonly Expression[], ends: (x: Expression) => boolean): readonly Expression[] {
  const seen = new Set<Expression>()
  const visit = (x: Expression) => {
    if (seen.has(x)) return
    seen.add(x)
    if (!ends(x)) for (const o of operands(x)) visit(o)
  }
  values.forEach(visit)
  return [...seen]
}
