/**
 * What a kernel may ask memory for while it still waits for earlier launches: what its lanes read first of steady buffers, where that depends on
 * nothing that is computed.
 *
 *   let r = group · 8 + lane / 32; for i < 16 { s = s + x[…] · w[r · 4096 + i · 256 + … : 8] }   →   prefetch w[r · 4096 + … : 8]; …
 *
 * The first iterations of a loop are asked for, as many as the target says; of what is read under a condition, those that the condition lets through.
 */
import { apply, freeVariables, identity, isLiteral, literal, substitute, variable } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import { expressionsOf } from "../ir/loop-visit.js"
import type { AskLimits } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import { nodesOf, someNode } from "../ir/query.js"

const workgroup = variable("workgroup")

/** One search, along one way through the conditions. */
interface Search {
  readonly steady: ReadonlyMap<string, number>
  readonly limits: AskLimits
  /** A `Meaning`, as far as the search has come. */
  readonly meaning: Map<string, Expression | undefined>
  readonly asked: Set<string>
  left: number
}

/**
 * Statements that ask for what `body` reads first, to stand in front of it.
 *
 * @param steady steady buffers, and the bytes of an element of each
 * @param changing variables that do not mean the same in `body` as in front of it
 */
export function askAhead(
  body: readonly Statement[],
  steady: ReadonlyMap<string, number>,
  changing: ReadonlySet<string>,
  limits: AskLimits,
): readonly Statement[] {
  const meaning = new Map([...changing].map((name) => [name, undefined] as const))
  return asked(body, { steady, limits, meaning, asked: new Set(), left: limits.reads })
}

function asked(body: readonly Statement[], search: Search): Statement[] {
  const out: Statement[] = []
  for (const s of body) {
    if (search.left === 0) break
    for (const root of expressionsOf(s)) out.push(...reads(root, search))
    if (s.kind === "let") search.meaning.set(s.name, s.mutable ? undefined : knownAhead(s.value, search.meaning))
    else if (s.kind === "shuffle") search.meaning.set(s.name, undefined)
    else if (s.kind === "block") out.push(...asked(s.body, search))
    else if (s.kind === "if") out.push(...inBranches(s, search))
    else if (s.kind === "for") out.push(...inLoop(s, search))
  }
  return out
}

/** What names stand for in front of all statements; undefined where that is computed. A name that is not here means the same there. */
export type Meaning = ReadonlyMap<string, Expression | undefined>

/** The expression over what is known in front of all; undefined where something of it is computed. */
export function knownAhead(x: Expression, meaning: Meaning): Expression | undefined {
  const values = new Map<string, Expression>()
  for (const name of freeVariables(x)) {
    if (!meaning.has(name)) continue
    const value = meaning.get(name)
    if (value === undefined) return undefined
    values.set(name, value)
  }
  return someNode(x, (e) => e.kind === "fetch") ? undefined : substitute(x, values)
}

function reads(root: Expression, search: Search): Statement[] {
  const { steady, limits } = search
  return nodesOf([root], "fetch").flatMap((x): Statement[] => {
    const bytes = x.width * (steady.get(x.array) ?? 0)
    const offset = bytes >= limits.bytes && search.left > 0 ? knownAhead(x.offset, search.meaning) : undefined
    if (offset === undefined) return []
    const key = `${x.array} ${identity(offset)}`
    if (search.asked.has(key)) return []
    search.asked.add(key)
    search.left--
    return [{ kind: "prefetch", array: x.array, offset, width: x.width }]
  })
}

function inBranches(s: Statement & { kind: "if" }, search: Search): readonly Statement[] {
  const condition = knownAhead(s.condition, search.meaning)
  if (condition === undefined) return []
  const branch = (body: readonly Statement[]) => {
    const inner = { ...search, meaning: new Map(search.meaning), asked: new Set(search.asked) }
    return { body: asked(body, inner), left: inner.left }
  }
  const [then, otherwise] = [branch(s.body), branch(s.otherwise)]
  search.left = Math.min(then.left, otherwise.left)
  if (then.body.length + otherwise.body.length === 0) return []
  return [{ kind: "if", condition, body: then.body, otherwise: otherwise.body }]
}

/** The first iterations of a loop that has so many for certain; of the grid the cell that the workgroup begins with. */
function inLoop(s: Statement & { kind: "for" }, search: Search): readonly Statement[] {
  if (s.bind === "grid") {
    const extent = knownAhead(s.extent, search.meaning)
    search.meaning.set(s.variable, workgroup)
    const body = extent === undefined ? [] : asked(s.body, search)
    return body.length === 0 ? [] : [{ kind: "if", condition: apply("lt", workgroup, extent!), body, otherwise: [] }]
  }
  const extent = isLiteral(s.extent) ? s.extent.value : 0
  const out: Statement[] = []
  for (let i = 0; i < extent && search.left > 0; i++) {
    search.meaning.set(s.variable, literal(i))
    const found = asked(s.body, search)
    if (found.length === 0) break
    out.push(...found)
  }
  search.meaning.set(s.variable, undefined)
  return out
}
