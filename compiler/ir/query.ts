/** Finders of folds in expressions. */
import { freeVariables, operands } from "./expression.js"
import type { Expression, Reduce } from "./nodes.js"

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
export function outermostFolds(root: Expression): readonly Reduce[] {
  const found = new Set<Reduce>()
  const seen = new Set<Expression>()
  const visit = (x: Expression) => {
    if (seen.has(x)) return
    seen.add(x)
    if (x.kind === "reduce") found.add(x)
    else for (const o of operands(x)) visit(o)
  }
  visit(root)
  return [...found]
}
