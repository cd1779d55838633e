/** What can be said of a loop without running it. */
import { freeVariables, walk } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"

export type For = Statement & { readonly kind: "for" }

const asked = <T>(of: (s: For) => T) => {
  const answers = new WeakMap<For, { readonly answer: T }>()
  return (s: For): T => {
    const found = answers.get(s) ?? { answer: of(s) }
    answers.set(s, found)
    return found.answer
  }
}

/** Whether no loop is inside of it. */
export const isInnermost = asked((s) => !everyStatement(s.body).some((inner) => inner.kind === "for"))

/** Whether conditions in it, or the lengths of loops in it, depend on which iteration it is. */
export const variesWith = asked((s) => {
  const names = new Set([s.variable])
  return everyStatement(s.body).some((inner) => {
    const depends = expressionsOf(inner).some((x) => [...freeVariables(x)].some((name) => names.has(name)))
    if (inner.kind === "let" && depends) names.add(inner.name)
    return (inner.kind === "if" || inner.kind === "for") && depends
  })
})

/** Whether a variable of outside is given what is fetched, for a later iteration. */
export const carriesLoads = asked((s) => {
  const declared = new Set(s.body.flatMap((inner) => (inner.kind === "let" ? [inner.name] : [])))
  const fetched = new Set(
    s.body.flatMap((inner) => (inner.kind === "let" && inner.value.kind === "fetch" ? [inner.name] : [])),
  )
  return s.body.some(
    (inner) =>
      inner.kind === "assign" &&
      !declared.has(inner.name) &&
      (inner.value.kind === "fetch" || (inner.value.kind === "variable" && fetched.has(inner.value.name))),
  )
})

/** Whether it has branches, barriers or exchanges. */
export const branches = asked((s) =>
  everyStatement(s.body).some(({ kind }) => kind === "if" || kind === "barrier" || kind === "shuffle"),
)

/** The arrays that it fetches from. */
export const fetchedIn = asked((s): readonly string[] => {
  const found = new Set<string>()
  const seen = new Set<Expression>()
  const see = (x: Expression) => {
    if (x.kind === "fetch") found.add(x.array)
  }
  for (const inner of everyStatement(s.body)) for (const x of expressionsOf(inner)) walk(x, see, seen)
  return [...found]
})
