/**
 * hoist-invariants: loop → loop. Moves out of a loop what is the same in every iteration.
 *
 *   for k { a = a + x[k] * (1 / sqrt(m)) }   →   let v = 1 / sqrt(m); for k { a = a + x[k] * v }
 *
 * Arithmetic on floats, and fetches where the loop surely runs and nothing inside stores to the array. What follows from a prologue rises in front of
 * the cells. Cheap integer arithmetic stays: the
 * targets have their own ways with addresses. Innermost loops go first, so that a value rises as far as it can.
 */

import { freeVariables, operands, rebuild, variable } from "../ir/expression.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { everyStatement, mapExpressions, namesIn, settledIn, storesOf, withBodies } from "../ir/loop-visit.js"
import { memoized } from "../ir/memoized.js"
import type { Expression } from "../ir/nodes.js"

export function hoistInvariants(kernel: LoopKernel): LoopKernel {
  let count = 0
  const fresh = () => `invariant_${count++}`
  const settled = settledIn(kernel.body)
  const stored = (body: readonly Statement[]) =>
    new Set(everyStatement(body).flatMap((s) => [...storesOf(s), ...settled(s).stores]))
  return { ...kernel, body: kernel.body.map((s) => visit(s, { fresh, stored }).kept) }
}

interface Context {
  readonly fresh: () => string
  /** The arrays that a body stores to, or finds stored to. */
  readonly stored: (body: readonly Statement[]) => ReadonlySet<string>
}

interface Hoisted {
  readonly before: readonly Statement[]
  readonly kept: Statement
}

function visitBody(body: readonly Statement[], context: Context): readonly Statement[] {
  return body.flatMap((s) => {
    const { before, kept } = visit(s, context)
    return [...before, kept]
  })
}

function visit(s: Statement, context: Context): Hoisted {
  const kept = withBodies(s, (body) => visitBody(body, context))
  if (kept.kind !== "for" || kept.bind === "lane") return { before: [], kept }
  const isGrid = kept.bind === "grid"
  // Of cells inside of the lanes; what they fetch stays with them, for a lane has few registers to keep it in.
  if (isGrid && kept.body.some((inner) => inner.kind === "for" && inner.bind === "lane")) return { before: [], kept }
  const runs = !isGrid && kept.extent.kind === "literal" && kept.extent.value > 0
  return hoist(kept, { inside: namesIn([kept]), stored: context.stored(kept.body), runs }, context.fresh)
}

interface Loop {
  /** Names that are bound or assigned inside. */
  readonly inside: ReadonlySet<string>
  /** Arrays that are stored to inside. */
  readonly stored: ReadonlySet<string>
  /** At least one iteration. */
  readonly runs: boolean
}

function hoist(s: Statement & { kind: "for" }, loop: Loop, fresh: () => string): Hoisted {
  const before: Statement[] = []
  const names = new Map<Expression, Expression>()
  const movable = new Map<Expression, boolean>()
  const canMove = (x: Expression, sure: boolean): boolean => {
    for (const v of freeVariables(x)) if (loop.inside.has(v)) return false
    return harmless(x, loop, sure, movable)
  }
  const replace = (x: Expression, sure: boolean): Expression => {
    const known = names.get(x)
    if (known !== undefined) return known
    if (
      x.kind === "literal" ||
      x.kind === "variable" ||
      x.kind === "symbol" ||
      x.kind === "splat" ||
      x.kind === "ramp" ||
      x.kind === "lane"
    ) {
      return x.kind === "splat" || x.kind === "lane" || x.kind === "ramp" ? rebuild(x, [replace(x.of, sure)]) : x
    }
    if (worthwhile(x) && canMove(x, sure)) {
      const name = fresh()
      before.push({ kind: "let", name, value: x, mutable: false })
      const made = variable(name, x.dtype, x.width)
      names.set(x, made)
      return made
    }
    return rebuild(
      x,
      operands(x).map((o) => replace(o, sure)),
    )
  }
  const kept = s.body.map((statement): Statement => {
    const sure = loop.runs && (statement.kind === "let" || statement.kind === "assign" || statement.kind === "store")
    return mapExpressions(statement, (x) => replace(x, sure))
  })
  return { before, kept: { ...s, body: kept } }
}

/** Nothing that may fault or change: fetches only where they would happen anyhow, from arrays that the loop leaves alone. */
function harmless(x: Expression, loop: Loop, sure: boolean, memo: Map<Expression, boolean>): boolean {
  const known = memo.get(x)
  if (known !== undefined && sure) return known
  const made =
    (x.kind !== "fetch" || (sure && !loop.stored.has(x.array))) &&
    operands(x).every((o) => harmless(o, loop, sure, memo))
  if (sure) memo.set(x, made)
  return made
}

/** More than an address: float arithmetic, a fetch, or an integer division. */
const worthwhile: (x: Expression) => boolean = memoized((x) => {
  const own =
    x.kind === "fetch" ||
    (x.kind === "operation" &&
      (x.args.some((a) => a.dtype === "f32") || x.operation === "div" || x.operation === "rem"))
  return own || operands(x).some(worthwhile)
}, new WeakMap())
