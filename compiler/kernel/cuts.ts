/**
 * The cut list: which tensors of a program get memory. Everything else is inlined into its consumers.
 *
 *   h = silu(dot(x, gate)) * dot(x, up);  y = dot(h, down)     →  cut at h: y would compute each h once per output channel
 *   y = x / sqrt(mean(x²))                                     →  local: the mean is kept per row inside of y's kernel
 *
 * Start with everything inlined. A reduction (or a costly map) that would be computed more often than it has elements is given memory:
 * a `local` of the consuming kernel, when the kernel's blocks can own it at little extra work, else a buffer of its own. A cut moves
 * forward over maps that are its only consumers and no larger, so that they become the producer's epilogue. A cheap map that many elements
 * ask for (a normalised row) is a local or stays inlined, never a buffer. The scores of an online fold are computed once, for the workgroup
 * holds them chunk by chunk. First of all, what one kernel would write out at many places is cut (`crowded.ts`). Costs are counts of scalar operations at the symbols' hints.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { identity, operands, variable } from "../ir/expression.js"
import { memoized } from "../ir/memoized.js"
import type { Expression } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import { recipeOf } from "../ir/recipes.js"
import { sources, topological } from "../ir/tensor/walk.js"
import type { Tensor } from "../ir/tensor.js"
import { hasMemory, isDecoded, size } from "../tensor/query.js"
import { crowded } from "./crowded.js"
import { foldsAlong } from "./folds-along.js"
import { type Coordinates, createLowering, type Memory } from "./lower.js"
import { hasRows, isOperandOfRows } from "./operands.js"
import { cutRules, operationCosts } from "./rules.js"

export interface CutLimits {
  /** Elements of a local that a block may hold. */
  readonly localElements: number
  /** Operations that a block may spend on one local, */
  readonly localWork: number
  /** or each of so many lanes of hardware on elements of its own, */
  readonly lanes?: number
  /** or on one element of a row that it may compute whatever its length. */
  readonly localCost: number
  /** Recomputing up to this many operations in all is cheaper than a kernel. */
  readonly recompute: number
  /** Elements of what is decoded once for many readers; any number when left out. */
  readonly decodedElements?: number
}

const { localElements, localWork, localCost, recompute } = cutRules
export const defaultCutLimits: CutLimits = { localElements, localWork, localCost, recompute }

export interface Cuts {
  /** Tensors with a buffer of their own, roots included, sources first. */
  readonly buffers: ReadonlySet<Tensor>
  /** Tensors that are locals of the kernels that read them. */
  readonly locals: ReadonlySet<Tensor>
}

/**
 * The cut list of the program below `roots`, which get buffers themselves; inputs, updates and results of calls have memory already. `isOperand`, where
 * matrix units take products: whether a tensor would be rounded in memory to what they multiply. What many blocks of products read for their rows is made
 * once then, and copied.
 */
export function chooseCuts(
  roots: readonly Tensor[],
  limits: CutLimits = defaultCutLimits,
  isOperand?: (t: Tensor) => boolean,
): Cuts {
  const draft = createDraft(topological(roots), roots, limits, isOperand)
  const { order, buffers, locals } = draft
  const inline = new Set<Tensor>()
  const again = (t: Tensor, cut: ReadonlySet<Tensor>) =>
    (demands(order, new Set([...buffers, ...cut]), locals).get(t) ?? 0) > size(t)
  for (const t of [...crowded(order, buffers, hasMemory, again)].flatMap((t) => siblings(t, draft))) draft.cut(t)
  // Behind an index that data choose nothing is known of the order in which a contraction is read: inlined it could not be tiled.
  const share = isOperand === undefined ? cutRules.shareBehindIndex : cutRules.shareBehindIndexOfUnits
  const permuted = new Set(order.flatMap((t) => (t.kind === "gather" ? [behind(t.arg)] : [])).filter(isContraction))
  for (;;) {
    const demand = demands(order, buffers, locals)
    const scattered = (t: Tensor) => permuted.has(t) && (demand.get(t) ?? 0) >= share * size(t)
    const next = [...order]
      .reverse()
      .find(
        (t) =>
          !inline.has(t) &&
          !isDecoded(t) &&
          undecided(t, buffers, locals) &&
          !foldsAlong(t, demand, draft) &&
          (wasteful(t, demand, limits) || scattered(t) || (inTurn(t) && !staysInPlace(t, draft))),
      )
    if (next === undefined) {
      const deep = tooDeep(order, (t) => hasMemory(t) || buffers.has(t) || locals.has(t))
      const more = deep ?? order.find((t) => !buffers.has(t) && isReadByMany(t, demand, limits))
      if (more === undefined) return { buffers, locals }
      draft.cut(more)
      continue
    }
    const together = siblings(next, draft).filter((t) => !buffers.has(t))
    if (permuted.has(next)) {
      for (const t of together) draft.cut(t === next ? forward(t, draft) : t)
      continue
    }
    const once = forUnits(next, demand, draft)
    const fate = !once && together.every((t) => fits(t, draft) === "local") ? "local" : "cut"
    if (fate === "cut" && next.kind === "map" && !once && !costly(next, demand, limits)) inline.add(next)
    else if (fate === "local") for (const t of together) locals.add(t)
    else {
      const ends = new Set(together.map((t) => forward(t, draft)))
      // What brings all components together is stored in their place; else each is.
      if (ends.size === 1) draft.cut([...ends][0]!)
      else for (const t of together) draft.cut(t === next ? forward(t, draft) : t)
    }
  }
}

/** Whether so many elements ask for what weights decode to that it is made once; else it is made where it is read, and never has memory. */
function isReadByMany(t: Tensor, demand: ReadonlyMap<Tensor, number>, limits: CutLimits): boolean {
  const { decodedElements = Number.POSITIVE_INFINITY } = limits
  return isDecoded(t) && size(t) <= decodedElements && (demand.get(t) ?? 0) >= cutRules.readsOfDecoded * size(t)
}

/** What has been decided, and what is known of it. */
interface Draft {
  readonly order: readonly Tensor[]
  readonly buffers: ReadonlySet<Tensor>
  readonly locals: Set<Tensor>
  readonly limits: CutLimits
  readonly isOperand: ((t: Tensor) => boolean) | undefined
  readonly consumers: (t: Tensor) => readonly Tensor[]
  readonly uses: (root: Tensor) => Uses
  /** Gives a tensor a buffer. */
  cut(t: Tensor): void
}

function createDraft(
  order: readonly Tensor[],
  roots: readonly Tensor[],
  limits: CutLimits,
  isOperand: Draft["isOperand"],
): Draft {
  const buffers = new Set<Tensor>(roots)
  const consumers = new Map<Tensor, Tensor[]>()
  for (const t of order) for (const s of new Set(sources(t))) memoized((): Tensor[] => [], consumers)(s).push(t)
  const known = new Map<Tensor, Uses>()
  return {
    order,
    buffers,
    locals: new Set(),
    limits,
    isOperand,
    consumers: (t) => consumers.get(t) ?? [],
    uses: memoized((root) => usesIn(root, buffers), known),
    cut(t) {
      buffers.add(t)
      for (const [root, uses] of known) if (uses.has(t)) known.delete(root)
    },
  }
}

/** The first map below which more operations inside of one another would be inlined than a kernel may have. */
function tooDeep(order: readonly Tensor[], memory: (t: Tensor) => boolean): Tensor | undefined {
  const depths = new Map<Tensor, number>()
  for (const t of order) {
    const below = Math.max(0, ...sources(t).map((s) => (memory(s) ? 0 : (depths.get(s) ?? 0))))
    const depth = below + (t.kind === "map" ? bodyDepth(t.body) : 1)
    if (depth > cutRules.depth && below > 0 && t.kind === "map" && !memory(t)) return t
    depths.set(t, depth)
  }
  return undefined
}

function bodyDepth(body: Expression): number {
  const depth: (x: Expression) => number = memoized((x) => 1 + Math.max(0, ...operands(x).map(depth)))
  return depth(body)
}

/** A scan that one lane takes block by block, each place from the one before, where a kernel stores its places as they stand. */
const inTurn = (t: Tensor): boolean => t.kind === "scan" && t.block !== undefined

/** Whether all that becomes of a tensor before it is stored is computed at its own places. */
function staysInPlace(t: Tensor, draft: Draft): boolean {
  if (draft.buffers.has(t)) return true
  if (draft.locals.has(t)) return false
  return draft
    .consumers(t)
    .every((o) => o.kind === "update" || (o.kind === "map" && size(o) === size(t) && staysInPlace(o, draft)))
}

/** What a gather reads, in whatever order its axes are put. */
const behind = (t: Tensor): Tensor => (t.kind === "gather" || t.kind === "reindex" ? behind(t.arg) : t)

/** A fold of products of tensors with fewer axes than the product has, or of numbers made of such folds. */
const isContraction = (t: Tensor): boolean =>
  t.kind === "reduce" &&
  t.args.some((a) =>
    a.kind === "reduce"
      ? isContraction(a)
      : a.kind === "map" && a.args.every((b) => b.axes.length < a.axes.length || isContraction(b)),
  )

/** The components of one tuple-valued reduction share their fate. */
function siblings(t: Tensor, { consumers }: Draft): readonly Tensor[] {
  if (t.kind !== "reduce") return [t]
  return consumers(t.args[0]!).filter(
    (o) =>
      o.kind === "reduce" &&
      o.args[0] === t.args[0] &&
      o.axis === t.axis &&
      o.monoid.kind === t.monoid.kind &&
      o.slot === t.slot,
  )
}

/** What the kernel of a tensor with memory computes: for an update, the value that is written. */
export const computed = (t: Tensor): Tensor => (t.kind === "update" ? t.value : t)

function undecided(t: Tensor, buffers: ReadonlySet<Tensor>, locals: ReadonlySet<Tensor>): boolean {
  return (t.kind === "reduce" || t.kind === "scan" || t.kind === "map") && !buffers.has(t) && !locals.has(t)
}

/** How often each tensor's elements are asked for when all but `buffers` and `locals` is inlined. */
function demands(
  order: readonly Tensor[],
  buffers: ReadonlySet<Tensor>,
  locals: ReadonlySet<Tensor>,
): ReadonlyMap<Tensor, number> {
  const demand = new Map<Tensor, number>()
  const scored = new Set<string>()
  for (const t of [...order].reverse()) {
    const points = buffers.has(t) || locals.has(t) ? size(t) : (demand.get(t) ?? 0)
    demand.set(t, points)
    if (t.kind === "update") demand.set(t.value, (demand.get(t.value) ?? 0) + size(t.value))
    for (const s of t.kind === "update" || t.kind === "call" ? [] : sources(t)) {
      if (t.kind === "reduce" && t.monoid.kind === "online" && s === t.args[0]) {
        // Once for all components.
        const fold = `${t.axis} ${t.args.map(identity).join(" ")}`
        if (!scored.has(fold)) demand.set(s, (demand.get(s) ?? 0) + Math.min(points * foldedExtent(t, s), size(s)))
        scored.add(fold)
        continue
      }
      const factor = t.kind === "reduce" ? foldedExtent(t, s) : t.kind === "scan" ? prefixExtent(t) : 1
      const before = demand.get(s) ?? 0
      // Whoever asks for a pivot computes a channel of the same fold, and has it.
      demand.set(s, isPivot(s) ? Math.max(before, points) : before + points * factor)
    }
  }
  return demand
}

const isPivot = (t: Tensor): boolean =>
  t.kind === "reduce" && t.monoid.kind === "online" && t.component < recipeOf(t.monoid.recipe).pivots.length

const foldedExtent = (t: Tensor & { axis: string }, s: Tensor): number => {
  const slots = t.kind === "reduce" && t.monoid.kind === "top" ? t.monoid.k : 1
  const axis = s.axes.find((a) => a.name === t.axis)
  return (axis === undefined ? 1 : Math.max(1, hinted(axis.extent))) / slots
}

/** Elements that a place of a scan takes in: those before it, or the one that is new. */
const prefixExtent = (t: Tensor & { kind: "scan" }): number => (inTurn(t) ? 1 : foldedExtent(t, t.arg) / 2)

/** Operations of one evaluation of a scalar body. */
const bodyCost: (body: Expression) => number = memoized(
  (body) => nodesOf([body], "operation").reduce((n, x) => n + (operationCosts[x.operation] ?? 1), 0),
  new WeakMap(),
)

/** Operations to compute one element of `t`, given what has memory. */
function elementCost(t: Tensor, memory: (t: Tensor) => boolean): number {
  const inner = (s: Tensor): number => (hasMemory(s) || memory(s) ? 1 : cost(s))
  const all = (args: readonly Tensor[]) => args.reduce((n, a) => n + inner(a), 0)
  const cost: (t: Tensor) => number = memoized((t) => {
    if (t.kind === "map") return bodyCost(t.body) + all(t.args)
    if (t.kind === "reduce") return foldCost(t, all(t.args))
    return t.kind === "scan" ? prefixExtent(t) * (1 + inner(t.arg)) : 1 + all(sources(t))
  })
  return cost(t)
}

/** Operations of one element of a fold; each rank of a `top` is found along with all the others. */
function foldCost(t: Tensor & { kind: "reduce" }, inner: number): number {
  const length = foldedExtent(t, t.args[0]!)
  return t.monoid.kind === "top" ? length * t.monoid.k * (3 * t.monoid.k + inner) : length * (1 + inner)
}

/** Computed more often than it has elements, at a cost that matters. */
function wasteful(t: Tensor, demand: ReadonlyMap<Tensor, number>, limits: CutLimits): boolean {
  const extra = (demand.get(t) ?? 0) - size(t)
  if (extra <= 0) return false
  if (t.kind === "reduce" || t.kind === "scan") return true
  return costly(t, demand, limits) || cheap(t, demand)
}

/** A map that is worth a kernel of its own rather than being computed again and again. */
function costly(t: Tensor, demand: ReadonlyMap<Tensor, number>, limits: CutLimits): boolean {
  if (t.kind !== "map" || bodyCost(t.body) < cutRules.costOfMap) return false
  return ((demand.get(t) ?? 0) - size(t)) * bodyCost(t.body) > limits.recompute
}

/** A map of little arithmetic that many elements ask for: worth a local where a block reads all of it, never a kernel. */
function cheap(t: Tensor, demand: ReadonlyMap<Tensor, number>): boolean {
  return t.kind === "map" && bodyCost(t.body) >= 1 && (demand.get(t) ?? 0) >= cutRules.readsOfLocal * size(t)
}

/** Whether what many blocks would make again is made once for products on matrix units: see `operands.ts`. */
function forUnits(t: Tensor, demand: ReadonlyMap<Tensor, number>, draft: Draft): boolean {
  const { isOperand } = draft
  if (isOperand === undefined || (demand.get(t) ?? 0) < cutRules.readsOfBlocks * size(t)) return false
  if (t.kind === "map") return isOperand(t) && isOperandOfRows(t, draft.consumers)
  if (t.kind !== "reduce" || !hasRows(t.axes)) return false
  const readers = readersOf(t, draft.order, draft.buffers)
  const owners = draft.order.filter((o) => draft.buffers.has(o) && readers.has(computed(o)) && computed(o) !== t)
  return owners.every((o) => [...draft.uses(computed(o)).keys()].some(isContraction))
}

/** Whether the kernels that read `t` can keep it as a local: see the header. */
function fits(t: Tensor, { order, buffers, locals, limits, uses }: Draft): "local" | "cut" {
  // What is still wasteful below when `t` is computed once will have memory of its own; the rest is computed with it, in every block.
  const once = demands(order, buffers, new Set([...locals, t]))
  const memory = (x: Tensor) => buffers.has(x) || locals.has(x) || (x !== t && wasteful(x, once, limits))
  const perElement = elementCost(t, (x) => x !== t && memory(x))
  const readers = readersOf(t, order, buffers)
  for (const owner of order) {
    const root = computed(owner)
    if (!buffers.has(owner) || !readers.has(root)) continue
    const aligned = root === t || hasMemory(root) ? undefined : uses(root).get(t)
    if (aligned === undefined) continue
    let held = 1
    for (const a of t.axes)
      if (!aligned.has(a.name)) {
        const extent = literalExtent(a.extent)
        if (extent === undefined) return "cut"
        held *= extent
      }
    if (held > limits.localElements) return "cut"
    if (held * perElement > limits.localWork && !light(t, held, perElement, limits)) return "cut"
    if (t.kind === "map" && held === 1) return "cut"
  }
  return "local"
}

/** What is computed of `t` without a buffer in between, `t` and what has one at the end included: few, however long the program. */
export function readersOf(t: Tensor, order: readonly Tensor[], buffers: ReadonlySet<Tensor>): ReadonlySet<Tensor> {
  const readers = new Set([t])
  for (const o of order)
    if (!hasMemory(o) && sources(o).some((s) => readers.has(s) && (s === t || !buffers.has(s)))) readers.add(o)
  return readers
}

/**
 * Whether a block may compute it whatever its length: a row of cheap elements that its points fold, and what is folded of such a row, cost
 * about as much as one or two of the points.
 */
function light(t: Tensor, held: number, perElement: number, limits: CutLimits): boolean {
  if (t.kind === "map") return perElement <= limits.localCost
  // A lane of hardware has elements of its own, and few operations.
  const { lanes = Number.POSITIVE_INFINITY } = limits
  if (held >= lanes && perElement * Math.ceil(held / lanes) <= cutRules.laneWork) return true
  const simple = t.kind === "reduce" && (t.monoid.kind === "sum" || t.monoid.kind === "max" || t.monoid.kind === "min")
  const length = simple ? foldedExtent(t, t.args[0]!) : 0
  return held === 1 && length <= limits.localElements && perElement <= length * limits.localCost
}

/**
 * What a kernel computes, each with those of its axes that it is always read at the kernel's own point along, by one axis of the kernel's root of
 * the same extent each: a cache has its new rows along another axis than they were computed.
 */
type Uses = ReadonlyMap<Tensor, ReadonlySet<string>>

function usesIn(root: Tensor, buffers: ReadonlySet<Tensor>): Uses {
  const at = new Map(root.axes.map((a) => [a.name, variable(`${a.name}@root`)] as const))
  const places = new Map(root.axes.map((a) => [at.get(a.name) as Expression, a.extent] as const))
  const along = new Map<Tensor, Map<string, Expression | undefined>>()
  const memory = (x: Tensor): Memory | undefined =>
    hasMemory(x) || buffers.has(x) ? { kind: "buffer", name: "", axes: [] } : undefined
  const see = (t: Tensor, point: Coordinates) => {
    const before = along.get(t)
    const now = t.axes.map(({ name, extent }) => {
      const place = point.get(name)!
      const own = places.get(place) === extent && (before === undefined || before.get(name) === place)
      return [name, own ? place : undefined] as const
    })
    along.set(t, new Map(now))
  }
  createLowering(memory, see).value(root, at, true)
  const aligned = ([t, axes]: readonly [Tensor, ReadonlyMap<string, Expression | undefined>]) =>
    [t, new Set([...axes].flatMap(([name, place]) => (place === undefined ? [] : [name])))] as const
  return new Map([...along].map(aligned))
}

/** Moves a cut over maps that are the only consumers and no larger; a pivot's over all that come together again. */
function forward(t: Tensor, draft: Draft): Tensor {
  const { buffers, locals } = draft
  let at = t
  for (;;) {
    const consumers = draft.consumers(at)
    const free = (o: Tensor) => o.kind === "map" && !buffers.has(o) && !locals.has(o) && size(o) <= size(at)
    if (!consumers.every(free)) return at
    const ends = consumers.length === 1 ? consumers : isPivot(at) ? consumers.map((o) => forward(o, draft)) : []
    const [end] = ends
    if (end === undefined || ends.some((o) => o !== end)) return at
    at = end
  }
}
