/**
 * What a proof of accesses looks at: the fetches of each statement, and the names that offsets, extents and conditions follow from.
 *
 *   let row = block * 64 + lane; let v = exp(x[row]); y[row] = v        names   row, block, lane       not v
 */
import { freeVariables, walk } from "../expression.js"
import type { Statement } from "../loop.js"
import { everyStatement, expressionsOf, isMoving } from "../loop-visit.js"
import type { Expression, Fetch } from "../nodes.js"

export interface Needed {
  readonly fetches: ReadonlyMap<Statement, readonly Fetch[]>
  readonly names: ReadonlySet<string>
}

export function neededFor(body: readonly Statement[]): Needed {
  const fetches = new Map<Statement, readonly Fetch[]>()
  const names = new Set<string>()
  const need = (x: Expression) => {
    for (const name of freeVariables(x)) names.add(name)
  }
  const statements = everyStatement(body)
  for (const s of statements) {
    const found: Fetch[] = []
    const seen = new Set<Expression>()
    const see = (x: Expression) => {
      if (x.kind === "fetch") found.push(x)
    }
    for (const root of expressionsOf(s)) walk(root, see, seen)
    if (found.length > 0) fetches.set(s, found)
    for (const x of found) need(x.offset)
    if (s.kind === "store") need(s.offset)
    if (isMoving(s) || s.kind === "copyBoxes") for (const x of expressionsOf(s)) need(x)
    if (s.kind === "for") need(s.extent)
    if (s.kind === "if") need(s.condition)
  }
  // Names are declared before they are used: the last ones first.
  for (const s of [...statements].reverse()) if (s.kind === "let" && names.has(s.name)) need(s.value)
  return { fetches, names }
}
