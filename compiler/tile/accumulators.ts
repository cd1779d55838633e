import { freeVariables, lane, operands, rewrite, variable, vector } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import type { DType } from "../ir/operations.js"
import { append, combine, identityOf, isComponentwise, isPlain, isSelective, mayChange } from "./fold.js"
import { shared } from "./vector.js"

/** Lanes that share a reduction. */
export interface LaneGroup {
  /** This lane's number in its group, 0 … count − 1. */
  readonly index: Expression
  readonly count: number
  /** This lane's number in the workgroup, and how many that has. */
  readonly lane: Expression
  readonly threads: number
  /** Lanes that exchange values directly. */
  readonly subgroup: number
  /** A shared array of one element per lane of the workgroup. */
  readonly array: (dtype: DType) => string
}

/** Fresh names for what is bound. */
export interface Naming {
  fresh(stem: string): string
}

/** Per fold: the variables of its accumulator. */
export type Accumulators = readonly (readonly Expression[])[]

/** A flat list in parts that are as long as those of another. */
export function unflatten(flat: readonly Expression[], like: Accumulators): Accumulators {
  let at = 0
  return like.map((l) => {
    at += l.length
    return flat.slice(at - l.length, at)
  })
}

/** Mutable variables for one accumulator. */
export function declare(r: Reduce, width: number, out: Statement[], naming: Naming): readonly Expression[] {
  const types = r.lift.map((l) => l.dtype)
  return identityOf(r.monoid, types, width).map((value) => {
    const name = naming.fresh(r.axis)
    out.push({ kind: "let", name, value, mutable: true })
    return variable(name, value.dtype, value.width)
  })
}

/**
 * Assigns all at once: a value whose target others read is named before. What nobody else reads is assigned where it is made, for a name is a register
 * until the last is assigned.
 */
export function assign(
  targets: readonly Expression[],
  values: readonly Expression[],
  independent: boolean,
  body: Statement[],
  naming: Naming,
): void {
  const made = share(values, body, naming)
  const reads = independent ? [] : made.map(freeVariables)
  const later: Statement[] = []
  const direct: Statement[] = []
  for (const [i, target] of targets.entries()) {
    if (target.kind !== "variable" || made[i] === target) continue
    const value = made[i]!
    if (reads.some((r, j) => j !== i && r.has(target.name))) {
      const name = naming.fresh("next")
      body.push({ kind: "let", name, value, mutable: false })
      later.push({ kind: "assign", name: target.name, value: variable(name, value.dtype, value.width) })
    } else direct.push({ kind: "assign", name: target.name, value })
  }
  body.push(...direct, ...later)
}

/** Folds the lanes of a vector accumulator into the scalar one, halves first. Of eight, even and odd lanes are folded as vectors before. */
export function horizontal(
  r: Reduce,
  into: readonly Expression[],
  wide: readonly Expression[],
  width: number,
  out: Statement[],
  naming: Naming,
): void {
  if (width === 8 && isComponentwise(r.monoid)) {
    const every = (from: number) => wide.map((w) => vector([0, 2, 4, 6].map((j) => lane(w, from + j))))
    horizontal(r, into, combine(r.monoid, every(0), every(1)), 4, out, naming)
    return
  }
  assign(into, combine(r.monoid, into, foldOfLanes(r, wide, width)), isComponentwise(r.monoid), out, naming)
}

/** The lanes of a vector accumulator folded, halves first. */
export function foldOfLanes({ monoid }: Reduce, wide: readonly Expression[], width: number): readonly Expression[] {
  let parts = Array.from({ length: width }, (_, j): readonly Expression[] => wide.map((w) => lane(w, j)))
  while (parts.length > 1) {
    const half = parts.length / 2
    parts = parts.slice(0, half).map((p, j) => combine(monoid, p, parts[j + half]!))
  }
  return parts[0]!
}

/** Names what is used more than once; answers with the values over those names. */
export function share(values: readonly Expression[], out: Statement[], naming: Naming): readonly Expression[] {
  const memo = new Map<Expression, Expression>()
  for (const x of shared(values, operands)) {
    const value = rewrite(x, () => undefined, memo)
    const name = naming.fresh("v")
    out.push({ kind: "let", name, value, mutable: false })
    memo.set(x, variable(name, x.dtype, x.width))
  }
  return values.map((v) => rewrite(v, () => undefined, memo))
}

/** Adds lifted tuples to accumulators. What most elements leave as it is, is looked at more closely only where an element may change it. */
export function accumulate(
  group: readonly Reduce[],
  accumulators: Accumulators,
  lifted: Accumulators,
  body: Statement[],
  naming: Naming,
): void {
  const [only] = group
  const single = accumulators[0]![0]!.width === 1 && lifted[0]![0]!.width === 1
  if (group.length === 1 && isSelective(only!.monoid) && single) {
    const [value, ...rest] = lifted[0]!
    const name = naming.fresh("v")
    body.push({ kind: "let", name, value: value!, mutable: false })
    const lift = [variable(name, value!.dtype), ...rest]
    const changes: Statement[] = []
    assign(accumulators[0]!, append(only!.monoid, accumulators[0]!, lift), false, changes, naming)
    const condition = mayChange(only!.monoid, accumulators[0]!, lift)
    body.push({ kind: "if", condition, body: changes, otherwise: [] })
    return
  }
  const next = group.flatMap((r, i) => append(r.monoid, accumulators[i]!, lifted[i]!))
  assign(
    accumulators.flat(),
    next,
    group.every((r) => isPlain(r.monoid)),
    body,
    naming,
  )
}
