/**
 * Planted faults of online folds over lanes: wrong groups, trees and merges, as a mistake in tile would make them.
 *
 *   merged[16 · writer + i] = online   →   … only for the first writer: what the others have folded is left out
 *
 * They find their places by the names that tile gives.
 */
import { fetch, freeVariables, literal, splat, substitute } from "../../compiler/ir/expression.js"
import type { Statement } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import type { ChunkFault } from "./faults-chunks.js"
import { loopFaultsOnline } from "./faults-online.js"
import { changeLoops, type Rules } from "./mutate.js"

const rules =
  (make: Rules): ChunkFault =>
  (loops, n) =>
    changeLoops(loops, make, n)

const mergedName = /^merged_/
const elementName = /^online_\d+$/
const keyName = /^key\d*_\d+$/

const ofStatements = (change: (s: Statement) => readonly Statement[] | undefined): ChunkFault =>
  rules({ statement: change })

/** Whether a loop takes what is left after whole turns: each group looks whether there is an element for it. */
const guards = (s: Statement & { kind: "for" }): boolean => s.body.some((o) => o.kind === "if")

export const laneFaults: Readonly<Record<string, ChunkFault>> = {
  ...Object.fromEntries(Object.entries(loopFaultsOnline).map(([name, rule]) => [name, rules(rule)])),
  "all groups take the elements of the first": ofStatements((s) =>
    s.kind === "let" && keyName.test(s.name) && freeVariables(s.value).has("lane")
      ? [{ ...s, value: substitute(s.value, new Map([["lane", literal(0)]])) }]
      : undefined,
  ),
  "what is left after whole turns dropped": ofStatements((s) =>
    s.kind === "for" && s.bind === "serial" && keyName.test(s.variable) && guards(s) ? [] : undefined,
  ),
  "an element beyond the end counts": ofStatements((s) =>
    s.kind === "if" &&
    s.otherwise.length === 0 &&
    s.body.some((o) => o.kind === "assign" && elementName.test(o.name)) &&
    [...freeVariables(s.condition)].some((v) => keyName.test(v))
      ? [{ kind: "block", body: s.body }]
      : undefined,
  ),
  "a lane's part of a score left out": ofStatements((s) =>
    s.kind === "shuffle" && s.value.kind === "variable" && /^dim/.test(s.value.name)
      ? [{ kind: "let", name: s.name, value: literal(0, "f32"), mutable: false }]
      : undefined,
  ),
  "groups of a subgroup not merged": ofStatements((s) => {
    const own = s.kind === "shuffle" && s.value.kind === "variable" && elementName.test(s.value.name)
    return own
      ? [{ kind: "let", name: s.name, value: splat(literal(0, "f32"), s.value.width), mutable: false }]
      : undefined
  }),
  "what a subgroup has folded is left out": ofStatements((s) =>
    s.kind === "store" && mergedName.test(s.array) && s.value.kind === "variable"
      ? [{ ...s, value: splat(literal(0, "f32"), s.value.width) }]
      : undefined,
  ),
  "channels of another lane": rules({
    expression: (x) => {
      if (x.kind !== "fetch" || !mergedName.test(x.array) || freeVariables(x.offset).size === 0) return undefined
      const first = new Map([...freeVariables(x.offset)].map((name) => [name, literal(0)] as const))
      return fetch(x.array, substitute(x.offset, first), x.dtype, x.width)
    },
  }),
  "no barrier before the merge": (loops, n) => {
    const after = new Set<Statement>()
    for (const s of everyStatement(loops.body))
      if (s.kind === "for" || s.kind === "block")
        for (const [i, o] of s.body.entries())
          if (
            o.kind === "barrier" &&
            everyStatement(s.body.slice(0, i)).some((w) => w.kind === "store" && mergedName.test(w.array))
          )
            after.add(o)
    return changeLoops(loops, { statement: (s) => (after.has(s) ? [] : undefined) }, n)
  },
}
