/**
 * A point at which an index map leaves its axis, if there is one.
 *
 *   reindex x at seq = seq + 1 : [seq: 8], of x[seq: 8]   →   "axis 'seq' of 8 is read at 8, where seq = 7"
 *
 * Only literal extents are looked at: what symbols may be together is not written down. A domain of up to 4,096 points is visited whole; of a larger one
 * the corners, their neighbours and the middles, where affine maps have their extremes and divisions their jumps. So an answer is always a true one.
 */
import { literalExtent } from "../dim.js"
import { evaluate, freeVariables, walk } from "../expression.js"
import type { Expression } from "../nodes.js"
import type { Reindex } from "../tensor.js"

const whole = 4096

export function outOfRange(t: Reindex): string | undefined {
  for (const { name, extent } of t.arg.axes) {
    const limit = literalExtent(extent)
    const index = t.index.get(name)!
    const parts = t.valid === undefined ? [index] : [index, t.valid]
    const names = new Set(parts.flatMap((x) => [...freeVariables(x)]))
    const axes = t.axes.filter((a) => names.has(a.name))
    const extents = axes.map((a) => literalExtent(a.extent))
    // A domain without points reads nothing.
    if (t.axes.some((a) => literalExtent(a.extent) === 0)) return undefined
    if (limit === undefined || parts.some(hasSymbol) || extents.includes(undefined) || axes.length < names.size)
      continue
    for (const point of points(extents as number[])) {
      const values = new Map(axes.map((a, i) => [a.name, point[i]!]))
      if (t.valid !== undefined && !evaluate(t.valid, values)) continue
      const at = evaluate(index, values)
      if (at >= 0 && at < limit) continue
      const where = axes.map((a, i) => `${a.name} = ${point[i]}`).join(", ")
      return `axis '${name}' of ${limit} is read at ${at}${where === "" ? "" : `, where ${where}`}`
    }
  }
  return undefined
}

function hasSymbol(x: Expression): boolean {
  let found = false
  walk(x, (y) => {
    if (y.kind === "symbol") found = true
  })
  return found
}

function* points(extents: readonly number[]): Generator<number[]> {
  const size = extents.reduce((n, x) => n * x, 1)
  const choices = extents.map((n) => {
    if (size <= whole) return Array.from({ length: n }, (_, i) => i)
    return [...new Set([0, 1, n >> 1, n - 2, n - 1].filter((i) => i >= 0 && i < n))]
  })
  const visit = function* (axis: number, point: number[]): Generator<number[]> {
    if (axis === choices.length) yield point
    else for (const i of choices[axis]!) yield* visit(axis + 1, [...point, i])
  }
  yield* visit(0, [])
}
