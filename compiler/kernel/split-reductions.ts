/**
 * split-reductions: a kernel with few blocks and a long fold → one that folds parts of the axis in blocks of their own, and one that folds the parts.
 *
 *   y[h, d] = online_{key < n}(s, 1, v).2 / online_{key < n}(s, 1, v).1
 *   →   part0[i, h] = online_{key < p}(…).0, part1[i, h] = ….1, part2[i, h, d] = ….2          over i < parts, the keys from i · p on
 *       y[h, d] = online_{i < parts}(part0, part1, part2).2 / online_{i < parts}(part0, part1, part2).1
 *
 * Sums, maxima and arguments of maxima are folded with themselves. An online fold is, when its channels move with the pivots as a weight would
 * move: then the pivots of the parts are scores, and their channels are values. There are as many parts as a run has elements for;
 * blocks of others leave at once. Where a predicate leaves out what comes first, parts begin behind it. Where elements are spread unevenly the last parts are empty and hold identities.
 */

import { hinted, maximum } from "../ir/dim.js"
import {
  add,
  apply,
  component,
  freeVariables,
  identity,
  literal,
  load,
  mul,
  reduce,
  rewrite,
  sub,
  substitute,
  variable,
} from "../ir/expression.js"
import { capacityAlong, longestLoop } from "../ir/fold-lengths.js"
import type { Kernel, KernelBuffer, Local, Store } from "../ir/kernel.js"
import { linear } from "../ir/linear.js"
import type { SplitLimits } from "../ir/machine.js"
import { componentCount, type Monoid, monoidTypes, type Online, onlineMonoid } from "../ir/monoid.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { loadedIn, localsIn, nodesOf, outermostFolds } from "../ir/query.js"
import { recipeOf, type Term } from "../ir/recipes.js"
import type { Axis } from "../ir/tensor.js"
import { contributingAny, maskOf } from "../ir/verify/masks.js"
import type { Fused, KernelStep, Step } from "./fuse.js"
import { canonical } from "./name-buffers.js"
import type { FusedBuffer } from "./naming.js"
import { splitRules } from "./rules.js"

/** When folds are split, and the blocks that a store of online folds would have; as many as it has rows where they are not known. */
export interface Splitting extends SplitLimits {
  readonly blocksOf?: (store: Store, kernel: Kernel) => number | undefined
}

/** The steps with long folds split where one kernel may bind what that takes, and the buffers of the parts. */
export function splitReductions(fused: Fused, limits: Splitting, bindings = Number.POSITIVE_INFINITY): Fused {
  const buffers = new Map(fused.buffers)
  const steps = fused.steps.flatMap((step): readonly Step[] => {
    if (step.kind !== "kernel") return [step]
    const own = new Map<string, FusedBuffer>()
    const made = splitKernel(step, limits, own)
    if (made === undefined || made.some((s) => s.kind === "kernel" && s.bindings.length > bindings)) return [step]
    for (const [name, buffer] of own) buffers.set(name, buffer)
    return made
  })
  return { ...fused, steps, buffers }
}

/** A kernel's folds as they are split. */
interface Split {
  readonly step: KernelStep
  readonly store: Store
  /** The axis that is folded, and that of the parts. */
  readonly folded: Axis
  readonly axis: Axis
  /** Where a part starts along the folded axis, and its elements. */
  readonly start: Expression
  readonly extent: Expression
  /** By the identity of what is folded. */
  readonly parts: Map<number, Part>
}

/** A component of a fold, part by part: its buffer, whose axes after that of the parts are `axes`. */
interface Part {
  readonly buffer: FusedBuffer
  readonly axes: readonly Axis[]
  readonly store: Store
}

function splitKernel(
  step: KernelStep,
  limits: Splitting,
  buffers: Map<string, FusedBuffer>,
): readonly Step[] | undefined {
  const { kernel } = step
  const locals = kernel.items.filter((i) => i.kind === "local")
  const given = kernel.items.filter((i) => i.kind === "store")
  const shared: Pick<Split, "step" | "parts"> = { step, parts: new Map() }
  const hosts = hostNames(given)
  const made = given.map((store, i) =>
    splitStore(store, { beside: given.length > 1, host: hosts?.[i] }, shared, limits),
  )
  if (made.every((m) => m === undefined)) return undefined
  const parts = [...shared.parts.values()]
  for (const { buffer } of parts) buffers.set(buffer.name, buffer)
  // What is short here is part of what is not.
  const axes = new Set([...(kernel.long ?? []), ...made.flatMap((m) => m?.long ?? [])])
  const long = axes.size > 0 ? { long: [...axes] } : {}
  // The largest first: the others go along with it.
  const stores = parts.map((p) => p.store).sort((a, b) => b.axes.length - a.axes.length)
  const whole = given.map((store, i) => made[i]?.whole ?? store)
  return [
    kernelOf(step, { ...kernel, ...long, name: `${kernel.name}_parts` }, locals, stores, buffers),
    kernelOf(step, { ...kernel, ...long, name: `${kernel.name}_whole` }, locals, whole, buffers),
  ]
}

/** For an axis of a store, or one that it folds: the axis of another store that it stands for. */
type HostNames = ReadonlyMap<string, string>

/** A store over the folds of its parts, and the axes that are long; undefined when it is left as it is. */
function splitStore(
  given: Store,
  { beside, host }: { readonly beside: boolean; readonly host: HostNames | undefined },
  { step, parts }: Pick<Split, "step" | "parts">,
  limits: Splitting,
): { readonly whole: Store; readonly long: readonly string[] } | undefined {
  const { kernel } = step
  const store = host === undefined ? alongOneAxis(given) : keepingNaN(renamedStore(alongOneAxis(given), host))
  const folds = outermostFolds(store.value)
  const [first] = folds
  const known = first !== undefined && freeVariables(first.extent).size === 0
  if (!known || !folds.every((r) => r.axis === first.axis && r.extent === first.extent && splittable(r.monoid)))
    return undefined
  // Rows that fold the same elements make blocks of their own, which stores of other scores do not have.
  if (beside && host === undefined && folds.some((r) => r.monoid.kind === "online")) return undefined
  // A fold inside of a prefix has an axis that the store does not have.
  const own = new Set(store.axes.map((a) => a.name))
  if (!folds.every((r) => [...freeVariables(r)].every((v) => own.has(v)))) return undefined
  const count = partsFor(store, folds, kernel, limits)
  if (count === undefined) return undefined
  const folded: Axis = { name: first.axis, extent: first.extent }
  const { multiple } = splitRules
  const least = multiple * Math.ceil(leastOf(folds, limits) / multiple)
  const upTo = (all: Expression, elements: number) =>
    apply("floordiv", add(all, literal(elements - 1)), literal(elements))
  const { from, most } = countedOf(folds, store.axes)
  const each = apply("max", literal(least), mul(upTo(sub(folded.extent, from), multiple * count), literal(multiple)))
  const parted = Math.min(count, Math.ceil(most / least))
  const axis: Axis = { name: `${folded.name}_part`, extent: apply("min", literal(parted), upTo(folded.extent, least)) }
  const start = add(from, mul(variable(axis.name), each))
  const extent = apply("max", literal(0), apply("min", each, sub(folded.extent, start)))
  const split: Split = { step, store, folded, axis, start, extent, parts }
  const merged = new Map(folds.map((r) => [r, mergedParts(split, r)] as const))
  const value = rewrite(store.value, (x) => {
    if (x.kind === "component" && merged.has(x.of as Reduce))
      return component(merged.get(x.of as Reduce)!, x.index, x.slot)
    return x.kind === "reduce" ? merged.get(x) : undefined
  })
  const longest = Math.max(...folds.map((r) => Math.min(maximum(r.extent), capacityAlong(r, kernel))))
  const back = new Map([...(host ?? [])].map(([own, name]) => [name, variable(own)] as const))
  const whole = { ...given, value: substitute(value, back) }
  return { whole, long: longest > longestLoop ? [folded.name, axis.name] : [] }
}

/** From where on elements count for some row, by whole multiples, and how many there are of them at most. */
function countedOf(
  folds: readonly Reduce[],
  rows: readonly Axis[],
): { readonly from: Expression; readonly most: number } {
  const all = { from: literal(0), most: Number.POSITIVE_INFINITY }
  const masks = folds.flatMap((r) => maskOf(r, rows) ?? [])
  if (masks.length < folds.length) return all
  const spans = new Map(rows.map((a) => [a.name, { low: literal(0), high: add(a.extent, literal(-1)) }] as const))
  const { first, end } = contributingAny(masks, folds[0]!.axis, spans)
  if (first === undefined || freeVariables(first).size > 0) return all
  const { multiple } = splitRules
  const from = mul(apply("floordiv", apply("max", literal(0), first), literal(multiple)), literal(multiple))
  const count = end === undefined ? undefined : linear(sub(end, first))
  return { from, most: count?.terms.size === 0 ? count.constant + multiple - 1 : Number.POSITIVE_INFINITY }
}

/** The fold of the parts of `r`. */
function mergedParts(split: Split, r: Reduce): Reduce {
  const lift = Array.from({ length: componentCount(r.monoid) }, (_, i) => {
    const { buffer, axes } = partOf(split, r, i)
    return load(
      buffer.name,
      [split.axis, ...axes].map((a) => variable(a.name)),
      buffer.dtype,
    )
  })
  return reduce(split.axis.name, split.axis.extent, r.monoid, lift) as Reduce
}

/** Component `at` of `r`, part by part. */
function partOf({ step, store, folded, axis, start, extent, parts }: Split, r: Reduce, at: number): Part {
  const pruned = alone(r, at)
  const own = store.axes.filter((a) => freeVariables(pruned).has(a.name))
  const suffix = `part${parts.size}`
  const name = `${step.bindings[step.kernel.buffers.findIndex((b) => b.name === store.buffer)]}.${suffix}`
  const types = r.lift.map((x) => x.dtype)
  const dtype = monoidTypes(r.monoid, types)[at]!
  const shape = [axis, ...own].map((a) => maximum(a.extent))
  const shifted = rewrite(pruned, (x) => {
    if (x.kind !== "reduce" || x.axis !== folded.name) return undefined
    const place = new Map([[x.axis, add(start, variable(x.axis))]])
    const lift = x.lift.map((l) => substitute(l, place))
    return reduce(x.axis, extent, x.monoid, lift)
  })
  const known = parts.get(identity(shifted))
  if (known !== undefined) return known
  // The axes of items have names of their own.
  const axes = [axis, ...own].map((a) => ({ name: `${a.name}_${suffix}`, extent: a.extent }))
  const index = axes.map((a) => variable(a.name))
  const value = substitute(shifted, new Map([axis, ...own].map((a, i) => [a.name, index[i]!] as const)))
  const made: Part = {
    buffer: { name, dtype, storage: dtype, shape, role: "scratch" },
    axes: own,
    store: { kind: "store", buffer: name, axes, index, value },
  }
  parts.set(identity(shifted), made)
  return made
}

/** A kernel that stands in place of `step`, with the locals that its stores read, over what they bind. */
function kernelOf(
  step: KernelStep,
  kernel: Omit<Kernel, "buffers" | "items">,
  locals: readonly Local[],
  stores: readonly Store[],
  buffers: ReadonlyMap<string, FusedBuffer>,
): KernelStep {
  const { buffers: given } = step.kernel
  const values = stores.flatMap((s) => [s.value, ...s.index])
  const wanted = localsIn(values, new Map(locals.map((l) => [l.name, l])))
  const items = [...wanted, ...stores]
  const used = new Set([...stores.map((s) => s.buffer), ...loadedIn([...values, ...wanted.map((l) => l.value)])])
  const declared = [...used].map((name): KernelBuffer => {
    const { dtype, storage, shape } = given.find((b) => b.name === name) ?? buffers.get(name)!
    return { name, dtype, storage, shape }
  })
  const { kernel: plain, bindings } = canonical({ ...kernel, items, buffers: declared })
  const bound = bindings.map((b) => step.bindings[given.findIndex((x) => x.name === b)] ?? b)
  return { kind: "kernel", kernel: plain, bindings: bound, computes: step.computes }
}

/** One component by itself: of an online fold only the channel that is asked for. */
function alone(r: Reduce, at: number): Expression {
  if (r.monoid.kind !== "online") return component(r, at)
  const pivots = recipeOf(r.monoid.recipe).pivots.length
  const [score] = r.lift
  const over = (channels: number, ...values: readonly Expression[]) =>
    reduce(r.axis, r.extent, { ...(r.monoid as Online), channels }, [score!, ...values]) as Reduce
  return at < pivots ? component(over(0), at) : component(over(1, r.lift[1 + at - pivots]!), pivots)
}

/**
 * Per store, when there are several and all of them fold over one score: its axes as those of the store with the most. Their parts are the same then.
 *
 *   l[r'] = online_{k'}(s[r', k'], 1).1   o[r, d] = online_{k}(s[r, k], 1, v[r, k, d]).2     →   r' is r, k' is k
 */
function hostNames(stores: readonly Store[]): readonly HostNames[] | undefined {
  if (stores.length < 2) return undefined
  const aligned = stores.map(alongOneAxis)
  const host = aligned.reduce((most, s) => (s.axes.length > most.axes.length ? s : most))
  const [score] = scoresOf(host)
  const found = aligned.map((s) => {
    const names = namesIn(s, host)
    const scores = names === undefined ? [] : scoresOf(renamedStore(s, names))
    return scores.length > 0 && scores.every((x) => x === score) ? names : undefined
  })
  return score === undefined || found.includes(undefined) ? undefined : (found as readonly HostNames[])
}

/** Where one store reads the pivots, they are kept as they are for all. */
function keepingNaN(store: Store): Store {
  const value = rewrite(store.value, (x) =>
    x.kind === "reduce" && x.monoid.kind === "online" && x.monoid.loose === true
      ? reduce(x.axis, x.extent, onlineMonoid(x.monoid.recipe, x.monoid.channels), x.lift)
      : undefined,
  )
  return { ...store, value }
}

/** The scores of a store's online folds; none when it has other folds, too. */
function scoresOf(store: Store): readonly Expression[] {
  const folds = outermostFolds(store.value)
  return folds.every((r) => r.monoid.kind === "online") ? [...new Set(folds.map((r) => r.lift[0]!))] : []
}

/** The axes of a store one by one in those of the host, and what they fold. */
function namesIn(store: Store, host: Store): HostNames | undefined {
  const names = new Map<string, string>()
  let next = 0
  for (const { name, extent } of store.axes) {
    const at = host.axes.findIndex((h, i) => i >= next && h.extent === extent)
    if (at < 0) return undefined
    names.set(name, host.axes[at]!.name)
    next = at + 1
  }
  const [mine, theirs] = [outermostFolds(store.value)[0], outermostFolds(host.value)[0]]
  if (mine === undefined || theirs === undefined || mine.extent !== theirs.extent) return undefined
  return names.set(mine.axis, theirs.axis)
}

/** A store whose axes have other names, and the axes of its outermost folds. */
function renamedStore(store: Store, names: HostNames): Store {
  const named = (name: string) => names.get(name) ?? name
  const points = new Map([...names].map(([from, to]) => [from, variable(to)] as const))
  const folds = outermostFolds(store.value)
  const value = rewrite(store.value, (x) =>
    x.kind === "reduce" && folds.includes(x) && names.has(x.axis)
      ? reduce(
          named(x.axis),
          x.extent,
          x.monoid,
          x.lift.map((l) => substitute(l, points)),
        )
      : undefined,
  )
  return {
    ...store,
    axes: store.axes.map((a) => ({ ...a, name: named(a.name) })),
    index: store.index.map((i) => substitute(i, points)),
    value: substitute(value, points),
  }
}

/** Folds side by side of one extent, along one axis. */
function alongOneAxis(store: Store): Store {
  const folds = outermostFolds(store.value)
  const [first] = folds
  const value = rewrite(store.value, (x) => {
    if (x.kind !== "reduce" || !folds.includes(x) || x.extent !== first!.extent || x.axis === first!.axis)
      return undefined
    const renamed = new Map([[x.axis, variable(first!.axis)]])
    return reduce(
      first!.axis,
      x.extent,
      x.monoid,
      x.lift.map((l) => substitute(l, renamed)),
    )
  })
  return { ...store, value }
}

/** Whether folding the folds of parts with the same monoid gives the fold of the whole. */
function splittable(m: Monoid): boolean {
  if (m.kind === "sum" || m.kind === "max" || m.kind === "min" || m.kind === "argmax") return true
  if (m.kind !== "online") return false
  const { pivots, weight, advance } = recipeOf(m.recipe)
  const moved: Term = ["mul", "$c", replaced(weight, { $0: "$p0", $p0: "$q0" })]
  return pivots.length === 1 && pivots[0]!.of === "$0" && JSON.stringify(advance) === JSON.stringify(moved)
}

const replaced = (t: Term, names: Readonly<Record<string, string>>): Term =>
  typeof t === "number"
    ? t
    : typeof t === "string"
      ? (names[t] ?? t)
      : [t[0], ...t.slice(1).map((x) => replaced(x as Term, names))]

/** Elements of a part at least. */
const leastOf = (folds: readonly Reduce[], { least }: SplitLimits): number =>
  folds.some((r) => r.monoid.kind === "online") ? least : splitRules.plainElements * least

/** How many parts at most, or undefined when there are blocks enough or too few elements. */
function partsFor(store: Store, folds: readonly Reduce[], kernel: Kernel, limits: Splitting): number | undefined {
  const { busy, parts, blocksOf } = limits
  const room = Math.floor(maximum(folds[0]!.extent) / leastOf(folds, limits))
  if (!folds.some((r) => r.monoid.kind === "online")) return plainParts(volume(store.axes), room, folds, limits)
  const moving = folds.flatMap((r) => nodesOf(r.lift, "load").filter((l) => freeVariables(l).has(r.axis)))
  const scored = (a: Axis) => folds.some((r) => freeVariables(r.lift[0]!).has(a.name))
  const apart = (a: Axis) => scored(a) && moving.some((l) => freeVariables(l).has(a.name))
  // Many rows that fold the same elements fill the device, and have ranges of their own.
  const rows = volume(store.axes.filter((a) => scored(a) && !apart(a)))
  if (rows >= splitRules.rows) return undefined
  const blocks = blocksOf?.(store, kernel) ?? volume(store.axes.filter(scored))
  return several(Math.min(parts, room, Math.floor(busy / blocks)))
}

/** Of folds that a subgroup does, several to a block: sums and maxima run in vectors, and short ones are soon done. */
function plainParts(points: number, room: number, folds: readonly Reduce[], limits: SplitLimits): number | undefined {
  const { busy, parts, least } = limits
  const slow = folds.some((r) => r.monoid.kind === "argmax")
  if (!slow && hinted(folds[0]!.extent) < splitRules.longElements * least) return undefined
  const { foldsOfBlock } = splitRules
  return several(Math.min(parts * foldsOfBlock, room, (busy * foldsOfBlock) / points))
}

const several = (count: number): number | undefined => (count >= 2 ? 2 ** Math.floor(Math.log2(count)) : undefined)

const volume = (axes: readonly Axis[]) => axes.reduce((n, a) => n * Math.max(1, hinted(a.extent)), 1)
