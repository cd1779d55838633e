/**
 * The operations that a scheduled kernel executes on values.
 *
 *   store y[o] over o < 256 = sum_{k < 64}(x[k] · w[o, k])             256 · 64 · 2
 *   … with x normalised in place: sum(x[k] · r{} · w[o, k])            256 · 64 · 3, and · 2 and a bit when four outputs share a register tile
 *   local r[] = sum_{k < 64}(x[k]²)  read by 16 workgroups             16 · 64 · 2, or as many workgroups as take their blocks in turn
 *
 * An operation counts 1, whatever it is; combining two elements of a fold is one. Arithmetic of indices is not counted. What is executed
 * how often follows from how `tile` lays a kernel out: a value once per point of its store, or once per register tile when it does not
 * depend on the axes of the tile; a fold once per point that it depends on, what does not depend on the folded axis outside of the loop; what
 * depends on the block alone once per worker of the block; a local once per element that a block holds. So arithmetic that fusion repeats shows.
 */

import {
  apply,
  freeVariables,
  literal,
  mul,
  operands,
  reduce,
  rewrite,
  substitute,
  variable,
} from "../ir/expression.js"
import type { Item, Kernel, Local, Store } from "../ir/kernel.js"
import { type Monoid, type MonoidPart, monoidParts } from "../ir/monoid.js"
import type { Expression, Reduce, Scan } from "../ir/nodes.js"
import { outermostFolds, someNode } from "../ir/query.js"
import { type Recipe, recipeOf, type Term } from "../ir/recipes.js"
import type { Schedule, StoreSchedule } from "../ir/schedule.js"
import { binnedFolds } from "../tile/bins/find.js"
import { isInTurn, prefixSteps } from "../tile/prefix.js"
import { commonLocals, cutBy } from "../tile/staging/common.js"
import { stage } from "../tile/staging/stage.js"
import { besides } from "../tile/tile.js"
import { between, placesOf, type Range, type Ranges, rangeOf } from "./ranges.js"
import { extentsIn, visitReads } from "./traffic.js"

/** What is counted: all operations, or sums of products alone, which matrix units do. */
type Counted = "all" | "products"

/** Operations of one launch when the size symbols have these values. */
export function operationsOf(
  kernel: Kernel,
  schedule: Schedule,
  sizes: ReadonlyMap<string, number>,
  counted: Counted = "all",
): number {
  const made = kernel.items.filter((i) => i.kind === "store")
  const stores = made.map((s, i) => withoutBins(s, schedule.stores[i]!))
  const hosts = schedule.stores.map((s) => s.computeWith)
  const first = new Map<string, number>()
  const perBlock = stores.reduce((sum, given, i) => {
    // What is made along with another store is counted there.
    if (schedule.stores[i]!.computeWith !== undefined) return sum
    const found = blockOf(given, schedule.stores[i]!, schedule.threads, sizes)
    if (found === undefined) return sum
    const block = { ...found, counted }
    // What a workgroup stages is a local, too: computed once for all points of a block.
    const along = besides(i, stores, hosts)
    const staged = stage(given, withoutAtom(given, schedule.stores[i]!), "staged", along)
    const { value, index } = staged.store
    const values = [value, ...staged.beside.map((s) => s.value)]
    const all = [...kernel.items, ...staged.locals].filter((item): item is Local => item.kind === "local")
    const read = [given, ...along].flatMap((s) => [s.value, ...s.index])
    const isCut = cutBy(given, schedule.stores[i]!)
    const once = schedule.workgroups === undefined ? [] : commonLocals(read, given, kernel, isCut).common
    const whole = once.length === 0 ? new Map() : stagedBy([...values, ...index], all, block, block.extents)
    const groups = Math.min(schedule.workgroups ?? 0, blocksOf(kernel, schedule, sizes))
    for (const local of once)
      first.set(local.name, localOperations(local, whole.get(local.name), { ...block, blocks: groups }))
    const locals = all.filter((local) => !once.includes(local))
    // The mean over the places that the length of a chunked fold depends on.
    const places = placesOf(extentsIn(values), { sizes, variables: block.extents })
    const holding = places.reduce((n, { variables }) => {
      const held = stagedBy([...values, ...index], all, block, variables)
      const filled = locals.reduce((m, local) => m + localOperations(local, held.get(local.name), block), 0)
      const weights = counted === "products" ? [] : staged.online
      const weighed = weights.reduce(
        (m, { scores, recipe }) => m + elementsOf(held.get(scores), block) * operationsOfWeight(recipeOf(recipe)),
        0,
      )
      return n + filled + weighed
    }, 0)
    return sum + count(values, index, block) + holding / places.length
  }, 0)
  return [...first.values()].reduce((n, operations) => n + operations, perBlock)
}

/** What matrix units multiply is staged as it lies in memory: there is nothing to compute for it. Scores of a chunk are there for all columns, as those that are staged. */
function withoutAtom({ value }: Store, { tile, ...schedule }: StoreSchedule): StoreSchedule {
  if (schedule.atom === undefined) return { tile, ...schedule }
  const [online] = outermostFolds(value).filter((r) => r.monoid.kind === "online")
  const chunk = online && schedule.reduce[online.axis]?.chunk
  return { tile, reduce: online === undefined || chunk === undefined ? {} : { [online.axis]: { chunk } } }
}

/** The store without the axis of its bins: each element of a sum is taken once, where it is added to its place among them. */
function withoutBins(store: Store, { bins }: StoreSchedule): Store {
  const folds = bins === undefined ? undefined : binnedFolds(store.value, bins)
  if (folds === undefined) return store
  const value = rewrite(store.value, (x) => {
    const found = folds.find((b) => b.fold === x)
    if (found === undefined) return undefined
    const { fold, counts, place, value } = found
    const at = value.dtype === "u32" ? apply("toU32", place) : place
    return reduce(fold.axis, fold.extent, fold.monoid, [apply("select", counts, value, at)])
  })
  const first = new Map([[bins!, literal(0)]])
  const axes = store.axes.filter((a) => a.name !== bins)
  return { ...store, axes, index: store.index.map((x) => substitute(x, first)), value: substitute(value, first) }
}

/** Blocks of all stores. */
function blocksOf(kernel: Kernel, { stores, threads }: Schedule, sizes: ReadonlyMap<string, number>): number {
  const made = kernel.items.filter((i) => i.kind === "store")
  return made.reduce((n, s, i) => {
    const along = stores[i]!.computeWith !== undefined
    return along ? n : n + (blockOf(s, stores[i]!, threads, sizes)?.blocks ?? 0)
  }, 0)
}

/** Where a value is computed: once per block, or at each point of it. */
type Level = "block" | "point"

interface Scope {
  readonly counted: Counted
  readonly sizes: ReadonlyMap<string, number>
  /** The axes of the item. */
  readonly extents: ReadonlyMap<string, Range>
  /** Whether a block has one element along an axis. */
  readonly fixed: (axis: string) => boolean
  /** The register tile that takes a scan in turn, each place from the one before. */
  readonly inTurn: (x: Scan) => number | undefined
  /** Where lanes hold channels: how many elements one step of the pivots takes in. */
  readonly together: number | undefined
  /** How often a value is computed that depends on these axes. */
  readonly times: (used: ReadonlySet<string>, level: Level) => number
}

interface Block extends Scope {
  readonly blocks: number
  /** Elements along an axis that one block owns. */
  readonly owned: (axis: string) => number
}

function blockOf(
  store: Store,
  { tile, reduce }: StoreSchedule,
  lanes: number,
  sizes: ReadonlyMap<string, number>,
): Block | undefined {
  const extents = extentsOf(store, sizes)
  const axes = [...extents.keys()]
  const extent = (a: string) => extents.get(a)!.count
  if (axes.some((a) => extent(a) === 0)) return undefined
  const owned = (a: string) => {
    const { block } = tile[a] ?? { block: 1 }
    return block === "all" ? extent(a) : Math.min(block, extent(a))
  }
  const step = (a: string) =>
    Math.min(extent(a), (tile[a]?.perThread ?? 1) * (tile[a]?.vector ?? 1) * (tile[a]?.lanes ?? 1))
  const product = (of: (a: string) => number) => axes.reduce((n, a) => n * of(a), 1)
  const blocks = product((a) => Math.ceil(extent(a) / owned(a)))
  const workers = Math.min(
    lanes,
    product((a) => Math.ceil(owned(a) / step(a))),
  )
  const times: Scope["times"] = (used, level) =>
    level === "block" ? blocks * workers : product((a) => (used.has(a) ? extent(a) : Math.ceil(extent(a) / step(a))))
  const inTurn = (x: Scan) => {
    const along = store.axes.find((a) => isInTurn(x, a, tile[a.name]))
    return along && tile[along.name]!.perThread
  }
  const overLanes = axes.some((a) => (tile[a]?.lanes ?? 1) > 1)
  const together = overLanes ? Math.max(1, ...Object.values(reduce).map((r) => r.innerUnroll ?? 1)) : undefined
  return { counted: "all", sizes, extents, fixed: (a) => owned(a) === 1, inTurn, together, times, blocks, owned }
}

function extentsOf(item: Item, sizes: ReadonlyMap<string, number>): ReadonlyMap<string, Range> {
  const extents = new Map<string, Range>()
  for (const { name, extent } of item.axes)
    extents.set(name, between(0, rangeOf(extent, { sizes, variables: extents }).high - 1))
  return extents
}

/** The part of each local that one block holds: what its points read, and what is read for that. */
function stagedBy(
  values: readonly Expression[],
  locals: readonly Local[],
  { owned, extents, sizes }: Block,
  place: Ranges["variables"],
): ReadonlyMap<string, Held> {
  const held = new Map<string, Map<string, Range>>()
  const read = (x: Expression, variables: Held) =>
    visitReads(x, { sizes, variables }, (at, ranges) => {
      const local = at.kind === "localRead" ? locals.find((l) => l.name === at.local) : undefined
      if (local === undefined) return
      const axes = held.get(local.name) ?? new Map<string, Range>()
      for (const [i, { name }] of local.axes.entries()) {
        const { low, high } = rangeOf(at.index[i]!, ranges)
        const known = axes.get(name)
        axes.set(name, between(Math.min(low, known?.low ?? low), Math.max(high, known?.high ?? high)))
      }
      held.set(local.name, axes)
    })
  const first = new Map(
    [...extents.keys()].map((a) => {
      const at = place.get(a)!
      return [a, at.count === 1 ? at : between(0, owned(a) - 1)] as const
    }),
  )
  for (const x of values) read(x, first)
  for (const local of [...locals].reverse()) {
    const axes = held.get(local.name)
    if (axes !== undefined) read(local.value, axes)
  }
  return held
}

type Held = Ranges["variables"]

const elementsOf = (held: Held | undefined, { blocks }: Block): number =>
  held === undefined ? 0 : [...held.values()].reduce((n, { count }) => n * count, blocks)

function localOperations(local: Local, held: Held | undefined, block: Block): number {
  if (held === undefined) return 0
  const elements = elementsOf(held, block)
  return count([local.value], [], {
    counted: block.counted,
    sizes: block.sizes,
    extents: held,
    fixed: () => false,
    inTurn: () => undefined,
    together: undefined,
    times: () => elements,
  })
}

/** A fold that is being counted: the folded axes of the loops that it runs in, its own included, with their extents. */
interface Loop {
  readonly of: Reduce | Scan
  readonly axis: string
  readonly level: Level
  readonly nest: ReadonlyMap<string, number>
}

/** Operations of values over one item's axes, the folds below them and those in its indices. */
function count(values: readonly Expression[], index: readonly Expression[], scope: Scope): number {
  let sum = 0
  const loops: Loop[] = []
  const folds = new Set<Expression>()
  const seen = new Map<Expression, boolean>()

  /** The loops that something which depends on these names stands in. */
  const placed = (free: ReadonlySet<string>) => {
    const around = [...new Set([...free].flatMap((name) => loops.find((l) => l.axis === name) ?? []))]
    const fixed = [...free].every((name) => !scope.extents.has(name) || scope.fixed(name))
    const level: Level = fixed && around.every((l) => l.level === "block") ? "block" : "point"
    return { level, nest: new Map(around.flatMap((l) => [...l.nest])) }
  }
  const executions = (x: Expression): number => {
    const free = freeVariables(x)
    const { level, nest } = placed(free)
    // In a loop that runs at each point everything does that depends on the loop.
    return [...nest.values()].reduce((n, extent) => n * extent, scope.times(free, level))
  }
  const visit = (x: Expression, counted: boolean): void => {
    const before = seen.get(x)
    if (before === true || (before !== undefined && !counted)) return
    seen.set(x, counted)
    if (x.kind === "reduce" || x.kind === "scan") fold(x)
    else {
      if (x.kind === "operation" && counted && scope.counted === "all") sum += executions(x)
      // Arithmetic of an index is not counted, but folds that give one are.
      const inside = counted && x.kind !== "load" && x.kind !== "localRead"
      for (const o of operands(x)) visit(o, inside)
    }
  }
  /** One element of a fold whose channels lie over lanes: a score is weighed once, and the sums move once for all elements that come together. */
  const onlineOverLanes = (x: Reduce | Scan, together: number): number => {
    if (x.monoid.kind !== "online") return 0
    const [score, ...values] = x.lift as [Expression, ...Expression[]]
    const recipe = recipeOf(x.monoid.recipe)
    const perScore = operationsOfWeight(recipe) + (operationsOfTerm(recipe.advance) - 1) / together
    const own = weighed.has(score) ? 0 : executions(score) * perScore
    weighed.add(score)
    return values.reduce((n, v) => n + executions(mul(score, v)) * (2 + 1 / together), own)
  }
  const weighed = new Set<Expression>()
  const fold = (x: Reduce | Scan): void => {
    if (folds.has(x)) return
    folds.add(x)
    const variables = new Map([...scope.extents, ...loops.flatMap((l) => [...l.nest].map(asRange))])
    const bound = x.kind === "reduce" ? x.extent : x.at
    const extent = meanExtent(x, bound, { sizes: scope.sizes, variables })
    visit(bound, false)
    if (extent === 0) return
    // A prefix is half as long on the average; one that is taken in turn takes in one element, with the steps that its tile has for each.
    const tile = x.kind === "scan" ? scope.inTurn(x) : undefined
    const turns = x.kind === "reduce" ? extent : tile === undefined ? (extent + 1) / 2 : 1
    if (scope.counted === "products") sum += executions(x) * turns * productsOf(x)
    else if (scope.together !== undefined && x.monoid.kind === "online")
      sum += turns * onlineOverLanes(x, scope.together)
    else sum += executions(x) * (tile === undefined ? turns : prefixSteps(tile) / tile) * combineOperations(x.monoid)
    const { level, nest } = placed(freeVariables(x))
    const twin = loops.find(
      (l) =>
        l.of.kind === x.kind &&
        sameLoop(l, x, bound) &&
        !someNode(x, (y) => y === l.of) &&
        !someNode(l.of, (y) => y === x),
    )
    const axis = twin?.axis ?? `${x.axis}'`
    if (twin === undefined) loops.push({ of: x, axis, level, nest: new Map(nest).set(axis, turns) })
    const renamed = new Map([[x.axis, variable(axis)]])
    for (const [i, lift] of x.lift.entries()) visit(substitute(lift, renamed), !isIndex(x.monoid, i))
  }
  for (const value of values) visit(value, true)
  for (const i of index) visit(i, false)
  return sum
}

/** Operations of one element of a fold that matrix units do: of a sum of products of two things, and of weights times values. */
function productsOf({ kind, monoid, lift: [first] }: Reduce | Scan): number {
  if (kind === "scan") return 0
  if (monoid.kind === "online") return 2 * (monoidParts(monoid)[0]!.monoid as MonoidPart & { kind: "online" }).channels
  return monoid.kind === "sum" && isProduct(first!) ? 2 : 0
}

/** A product of two things that are not the same. */
export const isProduct = (x: Expression): boolean =>
  x.kind === "operation" && x.operation === "mul" && x.dtype === "f32" && x.args[0] !== x.args[1]

/** Whether a lifted value says where an element is. */
const isIndex = (monoid: Monoid, lift: number): boolean =>
  monoidParts(monoid).some(({ monoid: { kind }, at }) => (kind === "argmax" || kind === "top") && lift === at + 1)

/** The mean over the places that the extent depends on. */
function meanExtent(x: Reduce | Scan, bound: Expression, ranges: Parameters<typeof placesOf>[1]): number {
  const places = placesOf(x.kind === "reduce" ? [bound] : [], ranges)
  const longest = places.map((at) => Math.max(0, rangeOf(bound, at).high + (x.kind === "reduce" ? 0 : 1)))
  return longest.reduce((a, b) => a + b) / places.length
}

const asRange = ([name, turns]: [string, number]) => [name, between(0, Math.ceil(turns) - 1)] as const

/** Folds of one extent that do not wait for each other share a loop, and what is the same in both is computed once. */
const sameLoop = ({ of }: Loop, x: Reduce | Scan, bound: Expression): boolean =>
  (of.kind === "reduce" ? of.extent : of.at) === bound && sameNames(freeVariables(of), freeVariables(x))

const sameNames = (a: ReadonlySet<string>, b: ReadonlySet<string>) => a.size === b.size && [...a].every((n) => b.has(n))

/** Operations that take one more element into a fold. */
export function combineOperations(monoid: Monoid): number {
  return monoidParts(monoid).reduce((n, { monoid: part }) => n + combinePart(part), 0)
}

function combinePart(part: MonoidPart): number {
  if (part.kind === "top") return part.k
  if (part.kind !== "online") return 1
  // Each channel moves with the pivots, and takes in a weight times a value; the factor of the move is the same for all of them.
  const recipe = recipeOf(part.recipe)
  return operationsOfWeight(recipe) + operationsOfTerm(recipe.advance) - 1 + 3 * part.channels
}

/** The pivots of one more score, and its weight. */
const operationsOfWeight = ({ pivots, weight }: Recipe): number =>
  operationsOfTerm(weight) + pivots.reduce((n, { of }) => n + 1 + operationsOfTerm(of), 0)

const operationsOfTerm = (term: Term): number =>
  typeof term === "object" ? term.slice(1).reduce((n: number, t) => n + operationsOfTerm(t as Term), 1) : 0
