/**
 * Expressions whose reductions are computed into expressions of the loop language.
 *
 *   x[s, k] · sum_{j}(…)   →   x[64·s + k] · sum_0        over the lanes of a vector: x[64·s + k : 4] · splat(sum_0)
 */

import { fault } from "../../runtime/errors.js"
import { apply, mapOperands, ramp } from "../ir/expression.js"
import { memoized } from "../ir/memoized.js"
import type { Component, Expression, Reduce, Scan } from "../ir/nodes.js"
import { componentOf } from "./fold.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { laneRamp, lanesOf, wideFetch } from "./vector.js"

/** Expressions of the kernel language into the loop language; reductions must be solved. */
export function translator(scope: Scope, lowerer: Lowerer): (x: Expression) => Expression {
  const translate: (x: Expression) => Expression = memoized((x) => {
    switch (x.kind) {
      case "variable":
        return scope.vector !== undefined && x.name === scope.vector.name ? laneRamp(scope.vector) : x
      case "operation": {
        // What is the same in all lanes stays scalar.
        if (scope.vector !== undefined && x.dtype === "i32") {
          const lanes = lanesOf(x, scope.vector)
          if (lanes?.kind === "same" && lanes.base !== x) return translate(lanes.base)
          if (lanes?.kind === "step" && x.operation === "floormod")
            return ramp(translate(lanes.base), scope.vector.width)
        }
        return apply(x.operation, ...x.args.map(translate))
      }
      case "load":
      case "localRead": {
        const kept = x.kind === "localRead" ? (scope.solved.get(x)?.[0] ?? lowerer.scalar(x.local)) : undefined
        if (kept !== undefined) return kept
        const { array, offset } = lowerer.place(x)
        return wideFetch(array, x.dtype, offset, scope.vector, translate)
      }
      case "reduce":
      case "component": {
        const of: Reduce | Scan = x.kind === "component" ? (x as Component).of : x
        const accumulator = scope.solved.get(of)
        if (accumulator === undefined) throw fault(`the reduction over '${of.axis}' is not computed here`)
        if (x.kind === "reduce") return componentOf(of.monoid, accumulator, 0, undefined)
        return componentOf(of.monoid, accumulator, x.index, x.slot === undefined ? undefined : translate(x.slot))
      }
      default:
        return mapOperands(x, translate)
    }
  })
  return translate
}
