/**
 * Products for matrix units: folds of which one operand follows rows and the other columns of the store.
 *
 *   y[s, o] = sum_k(x[s, k] · w[o, k]) over s < 512, o < 4096   →   blocks of 128 × 128 for 4 groups of 64 × 64, chunks of 64 k in 3 stages
 *   the same over s < 40                                        →   blocks of 64 × 128 for 4 groups of 32 × 64
 *
 *   the same over s < 8                                         →   blocks of 32 o × 8 s, o along the rows of the atom, chunks of 128 k in 6 stages
 *
 * Which products those are `tile/fragments` says. Several folds of a store share the registers of its lanes.
 */
import { literalExtent } from "../../ir/dim.js"
import { type Atom, atoms } from "../../ir/fragments/atoms.js"
import type { Kernel, Store } from "../../ir/kernel.js"
import type { AtomTarget } from "../../ir/machine.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../../tile/block.js"
import { longestWhole } from "../../tile/fragments/chains.js"
import { type Contraction, contractionOf, type Made, madeOf } from "../../tile/fragments/operands.js"
import { columnsHeld, placesFor } from "../../tile/fragments/places.js"
import { type Chunked, power, product, type Shares, volumeAtMost as volume } from "../shares.js"
import { directSchedule } from "./direct.js"
import { atomRules as rules } from "./rules.js"

/** The schedule of a store by the machine's matrix units; undefined where they do not take its folds. */
export function atomSchedule(store: Store, kernel: Kernel, target: AtomTarget): Chunked | undefined {
  const direct = directSchedule(store, kernel, target)
  if (direct !== undefined) return direct
  const found = productOf(store, kernel, madeOf(target))
  if (found === undefined) return undefined
  const { of, isFew } = found
  const points = kernel.items.reduce((n, i) => n + (i.kind === "store" ? volume(i.axes) : 0), 0)
  // Of all stores of the kernel, which run side by side.
  const beside = points / volume(store.axes)
  const all = target.names.map((name) => atoms.get(name)!)
  const isOpaque = (a: Atom) => a.c.layout === undefined
  const warps = all.filter((a) => !a.asynchronous && !isOpaque(a))
  const large = [
    [all.filter((a) => a.asynchronous), rules.groups],
    [warps, rules.warps],
    [all.filter(isOpaque), rules.matrices],
  ] as const
  const kinds = isFew ? ([[warps, rules.few]] as const) : large
  for (const [own, by] of kinds) {
    const made = layoutsOf(of, own, by, target)
    const isEnough = ({ blocks }: BlockLayout) => beside * blocks >= rules.waves * target.cores
    const chosen = by === rules.groups ? fastest(made, of, beside, target) : (made.find(isEnough) ?? made.at(-1))
    if (chosen !== undefined) return scheduleOf(of, chosen, isFew, target)
  }
  return undefined
}

/** The layout by which the blocks of all multiprocessors are over first: what each multiplies, and what is brought for it. */
function fastest(
  made: readonly BlockLayout[],
  { products }: Contraction,
  beside: number,
  { cores }: AtomTarget,
): BlockLayout | undefined {
  const timeOf = (layout: BlockLayout): number => {
    const [rows, columns] = [product(layout.rows), products.length * product(layout.columns)]
    return Math.ceil((beside * layout.blocks) / cores) * (rows * columns + rules.groups.brought * (rows + columns))
  }
  return made.reduce<BlockLayout | undefined>((x, y) => (x !== undefined && timeOf(x) <= timeOf(y) ? x : y), undefined)
}

/** The product that a store folds, where it is large enough; of few rows, or few columns, they are on the narrow side of the atom. */
function productOf(
  store: Store,
  kernel: Kernel,
  made: Made,
): { readonly of: Contraction; readonly isFew: boolean } | undefined {
  try {
    const of = contractionOf([store], undefined, kernel, made)
    const [rows, columns] = [volume(of.rows), volume(of.columns)]
    const least = Math.min(rows, columns)
    if (volume(of.folded) < rules.elements) return undefined
    if (least > rules.few.most) return { of, isFew: false }
    if (least < rules.few.least || Math.max(rows, columns) < rules.few.others) return undefined
    if (columns <= rows) return { of, isFew: true }
    return { of: contractionOf([store], of.columns.at(-1)!.name, kernel, made), isFew: true }
  } catch (e) {
    if (e instanceof Refused) return undefined
    throw e
  }
}

type KindRules = typeof rules.groups | typeof rules.warps | typeof rules.few | typeof rules.matrices

/** How blocks of a product are laid out. */
interface BlockLayout {
  readonly atom: Atom
  readonly rows: Shares
  readonly columns: Shares
  readonly groups: GroupsOfBlock
  readonly chunk: number
  readonly stages: number
  /** How many there are. */
  readonly blocks: number
}

/** The layouts that atoms of one kind have registers and memory for, the largest blocks first. */
function layoutsOf(
  of: Contraction,
  kind: readonly Atom[],
  by: KindRules,
  { block, sharedBytes, stages: most = by.stages }: AtomTarget,
): readonly BlockLayout[] {
  const { folded } = of
  const extent = literalExtent(folded.at(-1)!.extent) ?? by.chunk
  const terms = (operands: Contraction["a"]) => operands.reduce((n, x) => n + x.terms, 0)
  const own = of.products.length > 1 && "blocksOfSeveral" in by ? by.blocksOfSeveral : by.blocks
  const tried: readonly (readonly [number, number])[] = block === undefined ? own : [block]
  return tried.flatMap(([tall, broad]): readonly BlockLayout[] => {
    const rows = spread(of.rows, Math.min(tall, above(volume(of.rows))))
    const columns = spread(of.columns, Math.min(broad / of.products.length, above(volume(of.columns))))
    const atom = widest(kind, product(rows), product(columns))
    if (atom === undefined) return []
    const chunk = Math.min(by.chunk, of.whole ? longestWhole : by.chunk, placesFor(extent, atom.k))
    // What is put aside takes no registers; what is added chunk by chunk does.
    const apart = of.whole && volume(folded.slice(0, -1)) * Math.ceil(volume([folded.at(-1)!]) / chunk) > 1
    const several = of.products.length * (apart ? 2 : 1)
    const groups = groupsOf(product(rows), product(columns), several, atom, by)
    if (groups === undefined) return []
    const places = placesOf(product(rows), product(columns), groups, atom)
    const bytes = 2 * chunk * (places.rows * terms(of.a) + places.columns * terms(of.b))
    const stages = Math.min(most, Math.floor((sharedBytes - drainedBytes(of, groups, atom)) / bytes))
    if (stages < (atom.asynchronous ? 3 : 1)) return []
    const blocks = volume(batchOf(of)) * blocksOf(of.rows, rows) * blocksOf(of.columns, columns)
    return [{ atom, rows, columns, groups, chunk, stages, blocks }]
  })
}

/** Bytes that results of which only the hardware knows where they lie go through, a fragment of each group at a time. */
const drainedBytes = ({ products }: Contraction, { down, across }: GroupsOfBlock, { m, n, c }: Atom): number =>
  c.layout === undefined ? 4 * m * n * down * across * products.length : 0

/** The atom of most columns that a block fills. */
const widest = (own: readonly Atom[], rows: number, columns: number): Atom | undefined =>
  own
    .filter((a) => !a.asynchronous || (a.m <= rows && a.n <= columns))
    .reduce<Atom | undefined>((x, y) => (x !== undefined && x.n >= y.n ? x : y), undefined)

const batchOf = ({ stores, rows, columns }: Contraction): readonly Axis[] =>
  stores[0]!.axes.filter((a) => !rows.includes(a) && !columns.includes(a))

function scheduleOf(
  of: Contraction,
  { atom, rows, columns, groups, chunk, stages }: BlockLayout,
  isFew: boolean,
  { boxes = false }: AtomTarget,
): Chunked {
  const tile = Object.fromEntries([
    ...batchOf(of).map((a) => [a.name, { block: 1 }] as const),
    ...[...rows, ...columns].map(([name, block]) => [name, { block }] as const),
  ])
  const warps = { [of.rows.at(-1)!.name]: groups.down, [of.columns.at(-1)!.name]: groups.across }
  const reduce = { [of.folded.at(-1)!.name]: { chunk, ...(stages > 1 ? { stages } : {}) } }
  const asked = boxes && atom.asynchronous ? { boxes } : {}
  const named = { name: atom.name, ...(isFew ? { rows: of.rows.at(-1)!.name } : {}), ...asked }
  const schedule: StoreSchedule = { atom: named, tile, warps, reduce, ...rasterOf(of, rows, columns) }
  return { threads: groups.down * groups.across * atom.lanes, schedule }
}

/** Blocks of the side of fewer ones follow one another, so that the larger operand is read once: they share what they read of it. */
function rasterOf(of: Contraction, rows: Shares, columns: Shares): Pick<StoreSchedule, "raster"> {
  const isWide = blocksOf(of.rows, rows) <= blocksOf(of.columns, columns)
  const order = [...batchOf(of), ...(isWide ? [...of.columns, ...of.rows] : [...of.rows, ...of.columns])]
  return order.every((a, i) => a === of.stores[0]!.axes[i]) ? {} : { raster: order.map((a) => a.name) }
}

/** Gives `count` elements to the last axes first; an axis that is larger than what is left gets a power of two. */
export function spread(axes: readonly Axis[], count: number): Shares {
  const shares = new Map<string, number>()
  let left = count
  for (const a of [...axes].reverse()) {
    const share = Math.max(1, Math.min(power(left), volume([a])))
    shares.set(a.name, share)
    left = Math.max(1, Math.floor(left / share))
  }
  return shares
}

/** The least power of two from n on, no less than a fragment has. */
export const above = (n: number): number => Math.max(16, 2 ** Math.ceil(Math.log2(n)))

export const blocksOf = (axes: readonly Axis[], shares: Shares): number =>
  axes.reduce((n, a) => n * Math.ceil(volume([a]) / shares.get(a.name)!), 1)

/** How groups of lanes share a block: along rows, and along columns. */
interface GroupsOfBlock {
  readonly down: number
  readonly across: number
}

/** Rows and columns of a block, with those that fill the last fragments of its groups. */
const placesOf = (rows: number, columns: number, { down, across }: GroupsOfBlock, atom: Atom) => ({
  rows: placesFor(rows, atom.m * down),
  columns: placesFor(columns, columnsHeld(atom) * across),
})

/** Groups of lanes: as few as have registers for their sums, each as near to a square as may be; undefined where none have. */
function groupsOf(
  rows: number,
  columns: number,
  several: number,
  atom: Atom,
  by: KindRules,
): GroupsOfBlock | undefined {
  let [down, across] = [1, 1]
  const fits = () => {
    const places = placesOf(rows, columns, { down, across }, atom)
    return (places.rows * places.columns * several) / (down * across * atom.lanes) <= rules.sums
  }
  const isTall = () => rows / down >= 2 * atom.m
  const isBroad = () => columns / across >= 2 * columnsHeld(atom)
  while ((!fits() || down * across < by.groups) && down * across < by.mostGroups && (isTall() || isBroad())) {
    if (isTall() && (rows / down > columns / across || !isBroad())) down *= 2
    else across *= 2
  }
  return fits() ? { down, across } : undefined
}
