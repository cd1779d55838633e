/**
 * What one lane of a kernel does, counted in its loops.
 *
 *   for point < 2 { for k < 6 { a += x[…]; b += w[…] } }   →   12 steps
 */
import { literalExtent } from "../../compiler/ir/dim.js"
import { walk } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement, expressionsOf } from "../../compiler/ir/loop-visit.js"
import type { Fetch } from "../../compiler/ir/nodes.js"

/** Iterations of innermost loops, one after the other, of the longest way through a block; loops whose length is not known count once. */
export function serialSteps({ body }: LoopKernel): number {
  const one = (s: Statement): number => {
    if (s.kind === "for") return (s.bind === "serial" ? (literalExtent(s.extent) ?? 1) : 1) * all(s.body, s.bind)
    if (s.kind === "if") return Math.max(all(s.body), all(s.otherwise))
    return s.kind === "block" ? all(s.body) : 0
  }
  const all = (list: readonly Statement[], bind?: string): number =>
    Math.max(
      bind === "serial" ? 1 : 0,
      list.reduce((n, s) => n + one(s), 0),
    )
  return all(body)
}

/** Elements of an array that one iteration of a loop asks for at most, the loops inside of it left out: what is under way at once. */
export function underWay({ body }: LoopKernel, array: string): number {
  const loops = everyStatement(body).flatMap((s) => (s.kind === "for" ? [s] : []))
  const straight = (list: readonly Statement[]): readonly Statement[] =>
    list.flatMap((s) => (s.kind === "for" ? [] : [s, ...straight(bodiesOf(s))]))
  const asked = (list: readonly Statement[]): number => {
    const found = new Set<Fetch>()
    for (const s of straight(list))
      for (const e of expressionsOf(s))
        walk(e, (f) => {
          if (f.kind === "fetch" && f.array === array) found.add(f)
        })
    return [...found].reduce((n, f) => n + f.width, 0)
  }
  return Math.max(0, ...loops.map((s) => asked(s.body)))
}

const bodiesOf = (s: Statement): readonly Statement[] =>
  s.kind === "if" ? [...s.body, ...s.otherwise] : s.kind === "block" ? s.body : []
