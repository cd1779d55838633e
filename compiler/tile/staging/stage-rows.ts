/**
 * Rows: a store × what its schedule stages of folds that are not taken in chunks → the store over rows that are made once for all of a block.
 *
 *   y[s, o] = sum_{k}(g[k] · x[s, k] · r[s] · w[o, k])   with   { staged: { x: { tile: { k: { vector: 4 } } } } }
 *   →  local staged[s, k] = g[k] · x[s, k] · r[s];   y[s, o] = sum_{k}(staged{s, k} · w[o, k])
 *
 * Staged are all factors of a product that depend on no more axes than the one that loads the buffer. Folds that stage the same share one local.
 */
import { freeVariables, localRead, mul, reduce, rewrite, substitute, variable } from "../../ir/expression.js"
import type { Store } from "../../ir/kernel.js"
import type { Expression } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import { renamedTile, type StagedTile, type StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import { factorsOf } from "./stage.js"
import type { StagedLocal } from "./staged.js"

export interface StagedRows {
  readonly store: Store
  readonly locals: readonly StagedLocal[]
}

export function stageRows(given: Store, { staged = {} }: StoreSchedule, name: string): StagedRows {
  const locals = new Map<Expression, StagedLocal>()

  const stageOperand = (
    operand: Expression,
    order: readonly string[],
    axes: ReadonlyMap<string, Axis>,
    tile: StagedTile,
  ) => {
    const fresh = new Map(order.map((a, i) => [a, `${name}_axis${i}`] as const))
    const value = substitute(operand, new Map([...fresh].map(([from, to]) => [from, variable(to)] as const)))
    const extents = order.map((a): Axis => ({ name: fresh.get(a)!, extent: axes.get(a)!.extent }))
    if (extents.some((a) => freeVariables(a.extent).size > 0))
      throw new Refused("local/unowned", `an axis of what '${given.buffer}' stages differs from point to point`)
    const local = locals.get(value)?.name ?? `${name}_rows${locals.size}`
    const own = renamedTile(tile, (a) => fresh.get(a))
    locals.set(value, { kind: "local", name: local, axes: extents, value, tile: own })
    return localRead(
      local,
      order.map((a) => variable(a)),
      operand.dtype,
    )
  }

  const product = (lift: Expression, axes: ReadonlyMap<string, Axis>): Expression => {
    const own = (x: Expression) => [...freeVariables(x)].filter((v) => axes.has(v))
    const factors = factorsOf(lift)
    const all = own(lift).length
    const loads = factors.flatMap((factor) => nodesOf([factor], "load").map((load) => ({ factor, load })))
    const found = loads.find(({ load }) => staged[load.buffer] !== undefined)
    if (found === undefined || own(found.factor).length === all) return lift
    const order = [...new Set([...found.load.index.flatMap((i) => own(i)), ...own(found.factor)])]
    const inside = (f: Expression) => own(f).every((a) => order.includes(a))
    const operand = factors.filter(inside).reduce((a, b) => mul(a, b))
    // What a prefix around it runs over is no axis that can be staged.
    if ([...freeVariables(operand)].some((v) => !axes.has(v))) return lift
    const read = stageOperand(operand, order, axes, staged[found.load.buffer]!)
    return [read, ...factors.filter((f) => !inside(f))].reduce((a, b) => mul(a, b))
  }

  const made = new Map<Expression, Expression>()
  const visit = (root: Expression, axes: ReadonlyMap<string, Axis>): Expression =>
    rewrite(
      root,
      (x) => {
        if (x.kind !== "reduce") return undefined
        const inner = new Map(axes).set(x.axis, { name: x.axis, extent: x.extent })
        return reduce(
          x.axis,
          x.extent,
          x.monoid,
          x.lift.map((l) => product(visit(l, inner), inner)),
        )
      },
      made,
    )
  const value =
    Object.keys(staged).length === 0 ? given.value : visit(given.value, new Map(given.axes.map((a) => [a.name, a])))
  return { store: { ...given, value }, locals: [...locals.values()] }
}
