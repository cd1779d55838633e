/**
 * Planted faults of online folds: wrong ways to begin, append and merge, as a mistake in a recipe or in its use would make them, and wrong
 * programs, as hoist and online would make them.
 *
 *   merge: advance(c, p, q) + c′            the second side is not rescaled
 *   Σ_k f[k] · g[k] → f[0] · Σ_k g[k]       a factor that depends on the axis has left the sum
 */

import { apply, literal, variable } from "../../compiler/ir/expression.js"
import { max } from "../../compiler/ir/monoid.js"
import type { Expression, OperationNode } from "../../compiler/ir/nodes.js"
import type { Operation } from "../../compiler/ir/operations.js"
import { type Recipe, recipeOf } from "../../compiler/ir/recipes.js"
import { rebuild, sources, topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { instantiate, numbered } from "../../compiler/ir/terms.js"
import { onlineAppend, onlineIdentity, onlineMerge } from "../../compiler/tile/online-step.js"
import type { Rules } from "./mutate.js"
import { rightTerms, type Terms } from "./recipe-algebra.js"

const stuck = (recipe: Recipe): Recipe => ({ ...recipe, advance: "$c" })

const parts = (recipe: Recipe, element: readonly Expression[]) => ({
  pivots: element.slice(0, recipe.pivots.length),
  channels: element.slice(recipe.pivots.length),
})

/** Of any recipe. */
export const recipeFaults: Readonly<Record<string, Terms>> = {
  "forgotten rescale in an append": { ...rightTerms, append: (recipe, e, x) => onlineAppend(stuck(recipe), e, x) },
  "forgotten rescale in a merge": { ...rightTerms, merge: (recipe, l, r) => onlineMerge(stuck(recipe), l, r) },
  "one side of a merge not rescaled": {
    ...rightTerms,
    merge: (recipe, l, r) => {
      const [left, right] = [parts(recipe, l), parts(recipe, r)]
      const { pivots } = parts(recipe, onlineMerge(recipe, l, r))
      const names = { ...numbered("$p", left.pivots), ...numbered("$q", pivots) }
      const advanced = left.channels.map((c) => instantiate(recipe.advance, { ...names, $c: c }))
      return [...pivots, ...advanced.map((c, i) => apply("add", c, right.channels[i]!))]
    },
  },
  "wrong identity of the pivot": {
    ...rightTerms,
    identity: (recipe, channels, width) =>
      onlineIdentity(recipe, channels, width).map((x, i) => {
        const pivot = recipe.pivots[i]
        return pivot === undefined ? x : literal(pivot.fold === "max" ? 0 : 1, "f32")
      }),
  },
  "channel weighted with the old pivot": {
    ...rightTerms,
    append: (recipe, e, [score, ...values]) => {
      const none = values.map(() => literal(0, "f32"))
      const { pivots, channels } = parts(recipe, onlineAppend(recipe, e, [score!, ...none]))
      const stale = instantiate(recipe.weight, { $0: score!, ...numbered("$p", parts(recipe, e).pivots) })
      return [...pivots, ...channels.map((c, i) => apply("add", c, apply("mul", stale, values[i]!)))]
    },
  },
}

type Fault = (t: ir.Tensor) => ir.Tensor | undefined

/** A map of a binary operation on its two arguments. */
const binary = (t: ir.Tensor | undefined, operation: "mul" | "div"): t is ir.Map =>
  t?.kind === "map" &&
  t.args.length === 2 &&
  t.body.kind === "operation" &&
  t.body.operation === operation &&
  t.body.args.every((a, i) => a === variable(`$${i}`, "f32"))

/** A tensor at the start of an axis. */
const atStart = (t: ir.Tensor, axis: string): ir.Tensor =>
  ir.reindex(
    t,
    t.axes.filter((a) => a.name !== axis),
    new Map(t.axes.map((a) => [a.name, a.name === axis ? literal(0) : variable(a.name)] as const)),
  )

/** What hoist would make of a simplified program if it were wrong. */
export const hoistFaults: Readonly<Record<string, Fault>> = {
  "a factor that depends on the axis leaves the sum": (t) => {
    if (t.kind !== "reduce" || t.monoid.kind !== "sum" || !binary(t.args[0], "mul")) return undefined
    const [f, g] = t.args[0].args as [ir.Tensor, ir.Tensor]
    if (ir.axisOf(f, t.axis) === undefined || ir.axisOf(g, t.axis) === undefined) return undefined
    const made = ir.map(t.args[0].body, [atStart(f, t.axis), ir.reduce(t.monoid, t.axis, [g])])
    return made.axes.length === t.axes.length ? made : undefined
  },
}

/** Wrong online programs, as online would make them. */
export const onlineFaults: Readonly<Record<string, Fault>> = {
  "the pivot of another tensor taken for that of the score": (t) => {
    if (t.kind !== "map" || t.args.length !== 2) return undefined
    const [s, m] = t.args as [ir.Tensor, ir.Tensor]
    const shifted = apply("exp", apply("sub", variable("$0", "f32"), variable("$1", "f32")))
    if (t.body !== shifted || m.kind !== "reduce" || m.monoid.kind !== "max" || m.args[0] === s) return undefined
    return ir.axisOf(s, m.axis) === undefined ? undefined : ir.map(t.body, [s, ir.reduce(max, m.axis, [s])])
  },
  "another channel": (t) => {
    if (t.kind !== "reduce" || t.monoid.kind !== "online" || t.monoid.channels < 2) return undefined
    const pivots = recipeOf(t.monoid.recipe).pivots.length
    if (t.component < pivots) return undefined
    const next = pivots + ((t.component - pivots + 1) % t.monoid.channels)
    return ir.reduce(t.monoid, t.axis, t.args, next)
  },
  "the value of a channel forgotten": (t) => {
    if (t.kind !== "reduce" || t.monoid.kind !== "online") return undefined
    const values = t.args.slice(1).map((v) => (v.axes.length > 0 ? ir.map(literal(1, "f32"), [v]) : v))
    return ir.reduce(t.monoid, t.axis, [t.args[0]!, ...values], t.component)
  },
  "a divisor that left the sum forgotten": (t) =>
    binary(t, "div") && isSum(t.args[0]!) && t.args[0]!.axes.length === t.axes.length ? t.args[0] : undefined,
}

/** A fold, or what a program's sum is by an online one. */
const isSum = (t: ir.Tensor): boolean =>
  t.kind === "reduce" || (t.kind === "map" && t.args[0]?.kind === "reduce" && t.args[0].monoid.kind === "online")

const isOperation = (x: Expression | undefined, name: Operation): x is OperationNode =>
  x?.kind === "operation" && x.operation === name

/** Wrong loops of online folds. */
export const loopFaultsOnline: Readonly<Record<string, Rules>> = {
  "a sum is not rescaled": {
    expression: (x) => (isOperation(x, "mul") && isOperation(x.args[1], "exp") ? x.args[0] : undefined),
  },
  "weights and scales swapped": {
    expression: (x) =>
      isOperation(x, "exp") && isOperation(x.args[0], "sub")
        ? apply("exp", apply("sub", x.args[0].args[1]!, x.args[0].args[0]!))
        : undefined,
  },
  "the identity of a pivot is 0": {
    statement: (s) =>
      s.kind === "let" && s.mutable && s.value.kind === "literal" && s.value.value === Number.NEGATIVE_INFINITY
        ? [{ ...s, value: literal(0, "f32") }]
        : undefined,
  },
}

/** The program with the n-th place of a fault, or undefined when there is none. */
export function changeTensors(roots: readonly ir.Tensor[], fault: Fault, n: number): readonly ir.Tensor[] | undefined {
  const memo = new Map<ir.Tensor, ir.Tensor>()
  let left = n
  let changed = false
  for (const t of topological(roots)) {
    const now = rebuild(
      t,
      sources(t).map((s) => memo.get(s)!),
    )
    const made = changed ? undefined : fault(now)
    if (made !== undefined && made !== now && left-- === 0) {
      changed = true
      memo.set(t, made)
    } else memo.set(t, now)
  }
  return changed ? roots.map((t) => memo.get(t)!) : undefined
}
