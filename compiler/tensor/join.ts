/**
 * Online folds that a map brings together become channels of one.
 *
 *   map $0 / $1 of (online(exp, 1) over k of (s, v), online(exp, 1) over k of (s, 1))
 *   →   map $0 / $1 of (c.2, c.1)    c = online(exp, 2) over k of (s, 1, v)
 *
 * Also through maps between, and with folds that are pivots already (the m of m + log l). A channel joins only where it brings no axes that the
 * widest does not have: two values with channels of their own are two folds.
 */

import { literalExtent } from "../ir/dim.js"
import { identity, variable } from "../ir/expression.js"
import { memoized } from "../ir/memoized.js"
import { max, onlineMonoid, sum } from "../ir/monoid.js"
import { type Pivot, type RecipeName, recipeOf } from "../ir/recipes.js"
import { rebuild, sources } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { instantiate } from "../ir/terms.js"
import { inOrder } from "./factors.js"
import { rewritten, type Units } from "./rewrite.js"

const folds = { max, sum }

/** A pivot of a score along an axis, as a program spells it; undefined where it is a number that depends on an unknown extent. */
export function pivotOf({ fold, of }: Pivot, score: ir.Tensor, axis: string): ir.Tensor | undefined {
  if (typeof of === "number") {
    const extent = literalExtent(ir.axisOf(score, axis)!.extent)
    return extent === undefined ? undefined : ir.constant([], [fold === "sum" ? of * extent : of], "f32")
  }
  const lifted = of === "$0" ? score : ir.map(instantiate(of, { $0: variable("$0", "f32") }), [score])
  return ir.reduce(folds[fold], axis, [lifted])
}

export const join = (roots: readonly ir.Tensor[], units: Units): readonly ir.Tensor[] =>
  rewritten(
    roots,
    (facts) => (t) => {
      const uses = facts.uses(t)
      // Maps that only maps read are joined there.
      return t.kind !== "map" || uses?.every((u) => u.kind === "map") ? t : (joined(t) ?? t)
    },
    units,
  )

/** What a map reads through maps. */
function leavesOf(root: ir.Map): readonly ir.Reduce[] {
  const found = new Set<ir.Reduce>()
  const seen = new Set<ir.Tensor>()
  const visit = (t: ir.Tensor) => {
    if (seen.has(t)) return
    seen.add(t)
    if (t.kind === "reduce") found.add(t)
    if (t.kind === "map" || isPermutation(t)) sources(t).forEach(visit)
  }
  visit(root)
  return [...found]
}

const isPermutation = (t: ir.Tensor): boolean => t.kind === "reindex" && inOrder(t.arg, t.axes) === t

/** One component of an online fold: a channel with the value x, or a pivot. */
interface Component {
  readonly leaf: ir.Reduce
  readonly value: ir.Tensor | undefined
  readonly pivot: number
}

interface Group {
  readonly recipe: RecipeName
  readonly axis: string
  readonly score: ir.Tensor
  readonly members: Component[]
}

function groupsOf(leaves: readonly ir.Reduce[]): readonly Group[] {
  const groups = new Map<string, Group>()
  for (const leaf of leaves) {
    if (leaf.monoid.kind !== "online") continue
    const { recipe } = leaf.monoid
    const [score, ...values] = leaf.args
    const key = `${recipe} ${leaf.axis} ${identity(score!)}`
    const group = groups.get(key) ?? { recipe, axis: leaf.axis, score: score!, members: [] }
    groups.set(key, group)
    const value = values[leaf.component - recipeOf(recipe).pivots.length]
    group.members.push({ leaf, value, pivot: leaf.component })
  }
  for (const g of groups.values())
    recipeOf(g.recipe).pivots.forEach((p, pivot) => {
      const plain = pivotOf(p, g.score, g.axis)
      const leaf = leaves.find((l) => l === plain)
      if (leaf !== undefined) g.members.push({ leaf, value: undefined, pivot })
    })
  return [...groups.values()]
}

function joined(root: ir.Map): ir.Tensor | undefined {
  const instead = new Map<ir.Tensor, ir.Tensor>()
  for (const group of groupsOf(leavesOf(root))) for (const [leaf, made] of replacements(group)) instead.set(leaf, made)
  if ([...instead].every(([leaf, made]) => leaf === made)) return undefined
  const visit: (t: ir.Tensor) => ir.Tensor = memoized((t) => {
    const made = t.kind === "map" || isPermutation(t) ? rebuiltOver(t, sources(t).map(visit)) : t
    ir.mark(made, ir.spansOf(t))
    return made
  }, instead)
  return inOrder(visit(root), root.axes)
}

/** A channel may have gained axes, which an order of axes does not name. */
const rebuiltOver = (t: ir.Tensor, made: readonly ir.Tensor[]): ir.Tensor =>
  t.kind === "reindex" ? made[0]! : rebuild(t, made)

/** Each member as a component of a fold that it shares. */
function replacements({ recipe, axis, score, members }: Group): ReadonlyMap<ir.Reduce, ir.Tensor> {
  const pivots = recipeOf(recipe).pivots.length
  const width = (v: ir.Tensor) => ir.unite([score, v]).length
  const values = [...new Set(members.flatMap((m) => (m.value === undefined ? [] : [m.value])))]
  // The widest first: the others join the first that has all their axes.
  const shared: ir.Tensor[][] = []
  for (const v of values.sort((a, b) => width(b) - width(a))) {
    const home = shared.find((s) => v.axes.every((a) => ir.unite([score, s[0]!]).some((b) => b.name === a.name)))
    if (home === undefined) shared.push([v])
    else home.push(v)
  }
  const lists = shared.map((s) => s.reverse())
  const made = new Map<ir.Reduce, ir.Tensor>()
  for (const { leaf, value, pivot } of members) {
    const list = lists.find((s) => value === undefined || s.includes(value))
    if (list === undefined) continue
    const component = value === undefined ? pivot : pivots + list.indexOf(value)
    const fold = ir.reduce(onlineMonoid(recipe, list.length), axis, [score, ...list], component)
    ir.mark(fold, ir.spansOf(leaf))
    made.set(leaf, fold)
  }
  return made
}
