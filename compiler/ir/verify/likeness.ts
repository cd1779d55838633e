/**
 * Which lanes hold the same: the largest aligned groups of lanes in which a value, or the way that control takes, does not differ.
 *
 *   lane // 32          the same for 32 lanes        (lane // 32) mod 2 + row      for 32, where row is the same for all
 *   x[lane]             for each its own             group · 4                     for all
 *
 * What is fetched counts as different for each lane; an integer that is assigned as what is assigned to it, wherever control takes its lanes.
 */
import { isLiteral, operands } from "../expression.js"
import type { LoopBuffer, Statement, StatementOf } from "../loop.js"
import type { Expression } from "../nodes.js"

export interface Likeness {
  /** Lanes of a group that all have the same; a power of two, or `all` of the workgroup. */
  readonly alike: number
  /** n, where the value is the number of the lane // n. */
  readonly lanes?: number | undefined
}

/** What an array is declared by. */
export type Made = LoopBuffer | StatementOf<"alloc">

/** Where a statement stands. */
export interface Around {
  readonly threads: number
  /** Lanes that come here together. */
  readonly alike: number
  /** Lanes that have the same value. */
  readonly alikeOf: (x: Expression) => number
  readonly arrayOf: (name: string) => Made | undefined
}

export const all = Number.POSITIVE_INFINITY
export const laneNumber: Likeness = { alike: 1, lanes: 1 }

export function likenessOf(root: Expression, find: (variable: string) => Likeness | undefined): Likeness {
  const known = new Map<Expression, Likeness>()
  const of = (x: Expression): Likeness => {
    const found = known.get(x) ?? make(x)
    known.set(x, found)
    return found
  }
  const make = (x: Expression): Likeness => {
    if (x.kind === "fetch") return { alike: 1 }
    if (x.kind === "variable") return find(x.name) ?? { alike: 1 }
    const quotient = quotientOf(x, of)
    if (quotient !== undefined) return { alike: quotient & -quotient, lanes: quotient }
    return { alike: operands(x).reduce((least, o) => Math.min(least, of(o).alike), all) }
  }
  return of(root)
}

/** n, where x is the number of the lane // n. */
function quotientOf(x: Expression, of: (x: Expression) => Likeness): number | undefined {
  if (x.kind !== "operation" || x.dtype !== "i32") return undefined
  const [a, b] = x.args as [Expression, Expression]
  const isQuotient = x.operation === "floordiv" || x.operation === "div" || x.operation === "shr"
  if (!isQuotient || !isLiteral(b) || b.value <= 0) return undefined
  const { lanes } = of(a)
  return lanes === undefined ? undefined : lanes * (x.operation === "shr" ? 2 ** b.value : b.value)
}

/** What is found of integers that are assigned; it only ever becomes less, so that passes over a kernel come to an end. */
export interface Assigned {
  /** Of the variable that a statement declares from here on, given what its first value is. */
  alikeOf(declaration: Statement & { kind: "let" }, first: number): number
  assign(name: string, alike: number): void
  /** Whether something was found that does not go with what was answered before; forgotten when asked. */
  changed(): boolean
}

/** Lanes of the widest group. No barrier stands where control hangs on what is assigned: compilers of shaders would not see that it may. */
const widestGroup = 128

export function newAssigned(): Assigned {
  const most = new Map<Statement, number>()
  const declared = new Map<string, Statement>()
  let changed = false
  return {
    alikeOf(declaration, first) {
      const { name, value } = declaration
      const own = value.dtype === "f32" || value.width > 1 ? 1 : Math.min(first, widestGroup)
      const alike = Math.min(own, most.get(declaration) ?? own)
      most.set(declaration, alike)
      declared.set(name, declaration)
      return alike
    },
    assign(name, alike) {
      const declaration = declared.get(name)
      if (declaration === undefined || most.get(declaration)! <= alike) return
      most.set(declaration, alike)
      changed = true
    },
    changed() {
      const before = changed
      changed = false
      return before
    },
  }
}
