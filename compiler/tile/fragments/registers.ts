/** Registers of fragments: arrays of each lane that have a layout, and statements for each of their elements. */
import { literal, variable } from "../../ir/expression.js"
import { type Atom, fragmentSize } from "../../ir/fragments/atoms.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { Lowerer } from "../lowerer.js"

/** How a block is dealt out to groups of lanes. */
export interface Groups {
  readonly atom: Atom
  /** Fragments of a group along rows and along columns. */
  readonly down: number
  readonly across: number
  /** The first row and column of this lane's group. */
  readonly row: Expression
  readonly column: Expression
}

/** Elements of all results of a lane. */
export const resultSize = ({ atom, down, across }: Groups) => down * across * fragmentSize(atom, "c")

export function allocate(
  { groups: { atom } }: { readonly groups: Pick<Groups, "atom"> },
  operand: "a" | "b" | "c",
  stem: string,
  size: number,
  out: Statement[],
  lowerer: Lowerer,
): string {
  const name = lowerer.fresh(stem)
  const { storage } = atom[operand]
  const kind = storage === "f32" ? {} : { storage }
  out.push({
    kind: "alloc",
    name,
    dtype: "f32",
    ...kind,
    size,
    space: "register",
    layout: { atom: atom.name, operand },
  })
  return name
}

/** Statements for each register. */
export function registers(
  size: number,
  out: Statement[],
  lowerer: Lowerer,
  each: (at: Expression) => readonly Statement[],
): void {
  const name = lowerer.fresh("register")
  out.push({ kind: "for", variable: name, extent: literal(size), bind: "unroll", body: each(variable(name)) })
}

export const clear = (array: string, size: number, out: Statement[], lowerer: Lowerer) =>
  registers(size, out, lowerer, (offset) => [{ kind: "store", array, offset, value: literal(0, "f32") }])

export const when = (condition: Expression, body: readonly Statement[]): readonly Statement[] =>
  condition.kind === "literal" ? (condition.value === 0 ? [] : body) : [{ kind: "if", condition, body, otherwise: [] }]
