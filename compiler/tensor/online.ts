/**
 * online: tensor → tensor. Folds that wait for one another along an axis become one fold that runs once.
 *
 *   m = max_k s;  l = Σ_k exp(s − m);  o = Σ_k exp(s − m) · v     →   (m, l, o) = online(exp, 2) over k of (s, 1, v)
 *
 * A sum is matched when its lift is a recipe's weight (recipes.ts) times factors that do not depend on the pivots, and what the weight names as
 * pivots are folds of its score along the same axis. Then sums over one score that a map brings together share one fold (join.ts).
 *
 * It pays where two passes over a row cost more than an exponential or two per element: the axis is longer than what a block holds, or its length
 * is not known, and the score is computed rather than read from memory.
 */

import { literalExtent } from "../ir/dim.js"
import { apply, literal, variable } from "../ir/expression.js"
import { onlineMonoid } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import { type Recipe, type RecipeName, recipeOf, recipes, type Term } from "../ir/recipes.js"
import { topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { instantiate, numbered } from "../ir/terms.js"
import { type Factor, factorsOf, inOrder, isPositive, type Place, productOf, scaledFold } from "./factors.js"
import { join, pivotOf } from "./join.js"
import { hasMemory } from "./query.js"
import { type Facts, rewritten, type Units } from "./rewrite.js"
import { type Names, unify } from "./unify.js"

export interface OnlineLimits {
  /** Elements of an axis that a block holds, and takes in two passes. */
  readonly held: number
  /** Also for scores that lie in memory. */
  readonly stored: boolean
}

export const defaultOnlineLimits: OnlineLimits = { held: 1024, stored: false }

/** Units before and after, for several programs that call them. */
export interface OnlineUnits {
  readonly matched: Units
  readonly joined: Units
}

/** Equal programs with the same inputs; `units` serves several calls. */
export function online(
  roots: readonly ir.Tensor[],
  limits: OnlineLimits = defaultOnlineLimits,
  units: OnlineUnits = { matched: new Map(), joined: new Map() },
): readonly ir.Tensor[] {
  const matched = rewritten(roots, (facts) => (t) => onlineSum(t, limits, facts) ?? t, units.matched)
  return join(matched, units.joined)
}

function onlineSum(t: ir.Tensor, limits: OnlineLimits, facts: Facts): ir.Tensor | undefined {
  if (t.kind !== "reduce" || t.monoid.kind !== "sum" || t.dtype !== "f32") return undefined
  const [arg] = t.args
  if (arg?.kind !== "map") return undefined
  const factors = factorsOf(arg, (m) => onlyFolded(m, t.axis, facts))
  for (const name of Object.keys(recipes) as RecipeName[]) {
    const found = matchWeight(recipeOf(name), factors, t.axis)
    if (found === undefined || !pays(found.score, t.axis, limits)) continue
    const made = onlineOf(t, name, found)
    if (made !== undefined) return made
  }
  return undefined
}

/** Whether a map is read by sums over the axis only, through maps. */
function onlyFolded(m: ir.Tensor, axis: string, facts: Facts): boolean {
  const isFolded = (uses: readonly ir.Tensor[] | undefined): boolean =>
    uses?.every(
      (u) =>
        (u.kind === "reduce" && u.monoid.kind === "sum" && u.axis === axis) ||
        (u.kind === "map" && isFolded(facts.uses(u))),
    ) ?? false
  return isFolded(facts.uses(m))
}

function pays(score: ir.Tensor, axis: string, { held, stored }: OnlineLimits): boolean {
  const extent = literalExtent(ir.axisOf(score, axis)!.extent)
  if (extent !== undefined && extent <= held) return false
  return stored || !lies(score)
}

/** Whether a tensor is an element of memory, at some index. */
const lies = (t: ir.Tensor): boolean => (t.kind === "reindex" ? lies(t.arg) : hasMemory(t))

interface Match {
  readonly score: ir.Tensor
  readonly pivots: readonly ir.Tensor[]
  /** The factors besides the weight. */
  readonly rest: readonly Factor[]
}

/** Takes a weight's factors out of those of a lift. */
function matchWeight(recipe: Recipe, factors: readonly Factor[], axis: string): Match | undefined {
  const take = (terms: readonly Term[], left: readonly Factor[], names: Names): Match | undefined => {
    const [term, ...others] = terms
    if (term === undefined) return pivotsOf(recipe, names, axis, left)
    for (const f of left) {
      if (f.inverse) continue
      const more = unify(term, placeOf(f.tensor), names)
      const found =
        more &&
        take(
          others,
          left.filter((x) => x !== f),
          more,
        )
      if (found !== undefined) return found
    }
    return undefined
  }
  return take(termFactors(recipe.spelled), factors, new Map())
}

const termFactors = (term: Term): readonly Term[] => {
  if (typeof term !== "object" || term[0] !== "mul") return [term]
  const [, ...factors] = term
  return factors.flatMap(termFactors)
}

const placeOf = (t: ir.Tensor): Place => ({ body: variable("$0", t.dtype), args: [t] })

/** The names of a weight, when its pivots are folds of its score along the axis. */
function pivotsOf(recipe: Recipe, names: Names, axis: string, rest: readonly Factor[]): Match | undefined {
  const score = names.get("$0")
  if (score === undefined || ir.axisOf(score, axis) === undefined) return undefined
  const pivots = recipe.pivots.map((_, i) => names.get(`$p${i}`))
  const right = recipe.pivots.every((p, i) => pivots[i] !== undefined && pivots[i] === pivotOf(p, score, axis))
  return right ? { score, pivots: pivots as ir.Tensor[], rest } : undefined
}

function onlineOf(t: ir.Reduce, name: RecipeName, { score, pivots, rest }: Match): ir.Tensor | undefined {
  const recipe = recipeOf(name)
  const isFree = (f: Factor) => ir.axisOf(f.tensor, t.axis) === undefined
  const value = productOf(rest.filter((f) => !isFree(f)))
  const waits = topological([value]).some((x) => pivots.includes(x) && x.kind === "reduce")
  const isOne = value.kind === "constant" && value.axes.length === 0 && value.values[0] === 1
  if (waits || (!recipe.values && !isOne)) return undefined
  const fold = ir.reduce(onlineMonoid(name, 1), t.axis, [score, value], recipe.pivots.length)
  ir.mark(fold, ir.spansOf(t))
  const { extent } = ir.axisOf(score, t.axis)!
  const whole = wholeOf(recipe, fold, pivots, extent)
  return inOrder(scaledFold(whole, rest.filter(isFree), extent), t.axes)
}

/** The sum that a program spells, where no element has moved the pivots, too. */
function wholeOf(recipe: Recipe, channel: ir.Tensor, pivots: readonly ir.Tensor[], extent: Expression): ir.Tensor {
  if (recipe.whole === undefined) return channel
  const names = pivots.map((_, i) => variable(`$${i + 1}`, "f32"))
  const sum = variable("$0", "f32")
  const whole = instantiate(recipe.whole, { $c: sum, ...numbered("$p", names) })
  // A sum of nothing is 0.
  const body = isPositive(extent, channel.axes) ? whole : apply("select", apply("gt", extent, literal(0)), whole, sum)
  return ir.map(body, [channel, ...pivots])
}
