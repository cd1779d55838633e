/**
 * One small change to a program: the n-th place where a rule applies.
 *
 *   changeLoops(loops, { statement: (s) => (s.kind === "barrier" ? [] : undefined) }, 2)   →   the loops without their third barrier
 *
 * Undefined when there is no such place: then there is nothing to find. Or all of a kind at once, where one alone would not be seen.
 */
import { operands, rebuild } from "../../compiler/ir/expression.js"
import type { Item, Kernel } from "../../compiler/ir/kernel.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { withBodies, withExpressions } from "../../compiler/ir/loop-visit.js"
import type { Expression } from "../../compiler/ir/nodes.js"

export interface Rules {
  readonly expression?: (x: Expression) => Expression | undefined
  readonly statement?: ((s: Statement) => readonly Statement[] | undefined) | undefined
}

class Counter {
  left: number
  changed = false
  constructor(n: number) {
    this.left = n
  }
  /** Whether this place is the one. */
  hit(): boolean {
    if (this.changed || this.left-- > 0) return false
    this.changed = true
    return true
  }
}

function changeExpression(root: Expression, rule: Rules["expression"], count: Counter): Expression {
  if (rule === undefined) return root
  const memo = new Map<Expression, Expression>()
  const visit = (x: Expression): Expression => {
    const known = memo.get(x)
    if (known !== undefined) return known
    const made = rule(x)
    const now = made !== undefined && made !== x && count.hit() ? made : rebuild(x, operands(x).map(visit))
    memo.set(x, now)
    return now
  }
  return visit(root)
}

function changeBody(body: readonly Statement[], rules: Rules, count: Counter): readonly Statement[] {
  const value = (x: Expression) => changeExpression(x, rules.expression, count)
  return body.flatMap((s): readonly Statement[] => {
    const made = rules.statement?.(s)
    if (made !== undefined && count.hit()) return made
    // What is only asked for changes nothing.
    if (s.kind === "prefetch") return [s]
    return [withBodies(withExpressions(s, value), (inner) => changeBody(inner, rules, count))]
  })
}

export function changeLoops(kernel: LoopKernel, rules: Rules, n: number): LoopKernel | undefined {
  const count = new Counter(n)
  const body = changeBody(kernel.body, rules, count)
  return count.changed ? { ...kernel, body } : undefined
}

export function changeKernel(
  kernel: Kernel,
  rule: (x: Expression) => Expression | undefined,
  n: number,
): Kernel | undefined {
  const count = new Counter(n)
  const items = kernel.items.map((item): Item => {
    const value = changeExpression(item.value, rule, count)
    return item.kind === "local"
      ? { ...item, value }
      : { ...item, value, index: item.index.map((x) => changeExpression(x, rule, count)) }
  })
  return count.changed ? { ...kernel, items } : undefined
}

/** A statement as it should not be, or none in its place. */
export type Change = (s: Statement) => Statement | undefined

/** The loops with a change wherever it applies. */
export function changedEverywhere(loops: LoopKernel, change: Change): LoopKernel {
  const visit = (body: readonly Statement[]): readonly Statement[] =>
    body.flatMap((s) => {
      const made = change(s)
      return made === undefined ? [] : [withBodies(made, visit)]
    })
  return { ...loops, body: visit(loops.body) }
}
