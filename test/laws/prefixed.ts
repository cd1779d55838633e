/**
 * Programs with prefixes, before and after they are taken in blocks, and wrong ways of doing so.
 *
 *   prefixed(buildProgram(recipe), 3)   →   the program with blocks of three places, if the axis is longer
 */

import type fc from "fast-check"
import { apply, literal, mul, substitute, variable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { rebuild } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { blockPrefixes } from "../../compiler/tensor/prefixes.js"
import { simplified } from "./execute.js"
import { type LawProgram, type Recipe, recipes, rootsOf } from "./generate.js"
import { withRoots } from "./online.js"
import { choosesPrefix } from "./steps.js"

/** Programs of which every other step is a prefix: of inputs, of what is computed, of prefixes, and inside of units. */
export const prefixRecipes = (packed = true): fc.Arbitrary<Recipe> => {
  const chosen = (s: readonly number[], i: number) => (i % 2 === 1 ? [choosesPrefix, ...s.slice(1)] : s)
  return recipes(undefined, packed).map((recipe) => ({
    ...recipe,
    steps: recipe.steps.map(chosen),
    // The first step of a unit starts with what the unit is applied to.
    unit: recipe.unit.map(([apply = 0, ...s], i) => [apply, ...chosen(s, i + 1)]),
  }))
}

export const prefixed = (p: LawProgram, block: number): LawProgram =>
  withRoots(p, blockPrefixes(rootsOf(simplified(p)), { block, extent: block, steps: 0 }))

export type PrefixFault = (t: ir.Tensor) => ir.Tensor | undefined

/** What the blocks before hold, as the pass spells it: an inner axis at the number of the block less one. */
const isBefore = (t: ir.Tensor | undefined): t is ir.Reindex =>
  t?.kind === "reindex" && t.valid !== undefined && [...t.index.keys()].some((axis) => axis.includes(".block."))

const isMember = (t: ir.Tensor): t is ir.Reindex =>
  t.kind === "reindex" && t.axes.some((a) => a.name.includes(".member."))

const changed = (t: ir.Reindex, along: (axis: string) => boolean, change: (at: Expression) => Expression) =>
  ir.reindex(
    t.arg,
    t.axes,
    new Map([...t.index].map(([axis, at]) => [axis, along(axis) ? change(at) : at] as const)),
    t.valid,
    t.fill,
  )

const inBlock = (axis: string) => axis.includes(".block.")

/** The joined prefix, with other arguments or another body. */
const joined = (t: ir.Tensor): t is ir.Map => t.kind === "map" && t.args.length === 3 && isBefore(t.args[0])

/** Wrong programs, as the pass would make them. */
export const prefixFaults: Readonly<Record<string, PrefixFault>> = {
  "the block itself counted among those before": (t) => {
    if (!isBefore(t)) return undefined
    // Of the blocks before and its own: the last block need not be whole, so the nearest that is.
    return changed(t, inBlock, (at) => (at.kind === "operation" ? at.args[0]! : at))
  },
  "the block before the one before": (t) =>
    isBefore(t) ? changed(t, inBlock, (at) => apply("floordiv", at, literal(2))) : undefined,
  "an offset from the first place of a block": (t) =>
    t.kind === "scan" && t.block !== undefined ? ir.scan(t.monoid, t.axis, t.arg, t.block + 1) : undefined,
  "the blocks before forgotten": (t) => (joined(t) ? t.args[1] : undefined),
  "the first block taken for one with blocks before": (t) => {
    if (!joined(t) || t.body.kind !== "operation") return undefined
    return ir.map(t.body.args[2]!, t.args)
  },
  "a scan of totals that leaves out each block itself": (t) => {
    if (!isBefore(t) || t.arg.kind !== "scan") return undefined
    const minus = apply("sub", variable("$0", t.dtype), variable("$1", t.dtype))
    return t.arg.monoid.kind === "sum" ? rebuild(t, [ir.map(minus, [t.arg, t.arg.arg])]) : undefined
  },
  "prefixes within a block without its first element": (t) => {
    if (t.kind !== "scan" || t.block === undefined || t.monoid.kind !== "sum" || t.dtype === "bool") return undefined
    const start = mul(apply("floordiv", variable(t.axis), literal(t.block)), literal(t.block))
    const index = new Map(t.axes.map((a) => [a.name, a.name === t.axis ? start : variable(a.name)] as const))
    const minus = apply("sub", variable("$0", t.dtype), variable("$1", t.dtype))
    return ir.map(minus, [t, ir.reindex(t.arg, t.axes, index)])
  },
  "totals of one place less": (t) => {
    if (t.kind !== "reduce" || !isMember(t.args[0]!)) return undefined
    const axes = t.args[0].axes.map((a) =>
      a.name === t.axis ? { ...a, extent: apply("sub", a.extent, literal(1)) } : a,
    )
    return ir.reduce(t.monoid, t.axis, [ir.reindex(t.args[0].arg, axes, t.args[0].index)])
  },
  "the first element of a block for all of them": (t) => {
    if (!isMember(t)) return undefined
    const member = t.axes.find((a) => a.name.includes(".member."))!.name
    return changed(
      t,
      () => true,
      (at) => substitute(at, new Map([[member, literal(0)]])),
    )
  },
}
