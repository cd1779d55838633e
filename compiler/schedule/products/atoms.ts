/**
 * Products for matrix units: folds of which one operand follows rows and the other columns of the store.
 *
 *   y[s, o] = sum_k(x[s, k] · w[o, k]) over s < 512, o < 4096   →   blocks of 128 × 128 for 4 groups of 64 × 64, chunks of 64 k in 3 stages
 *   the same over s < 40                                        →   blocks of 64 × 128 for 4 groups of 32 × 64
 *
 * Which products those are `tile/fragments` says. Several folds of a store share the registers of its lanes.
 */
import { literalExtent, maximum } from "../../ir/dim.js"
import { type Atom, atoms } from "../../ir/fragments/atoms.js"
import type { Kernel, Store } from "../../ir/kernel.js"
import type { Half } from "../../ir/loop.js"
import type { AtomTarget } from "../../ir/machine.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../../tile/block.js"
import { type Contraction, contractionOf } from "../../tile/fragments/operands.js"
import { longestChain } from "../../tile/fragments/ring.js"
import { atomRules as rules } from "../rules.js"
import { type Chunked, power, product, type Shares } from "../shares.js"

/** The schedule of a store by the first atom of the machine that takes its folds; undefined where none does. */
export function atomSchedule(store: Store, kernel: Kernel, target: AtomTarget): Chunked | undefined {
  const points = kernel.items.reduce((n, i) => n + (i.kind === "store" ? volume(i.axes) : 0), 0)
  const beside = points / volume(store.axes)
  for (const name of target.names) {
    const atom = atoms.get(name)!
    const of = productOf(store, kernel, atom)
    const made = of && scheduleOf(of, beside, atom, target)
    if (made !== undefined) return made
  }
  return undefined
}

function productOf(store: Store, kernel: Kernel, atom: Atom): Contraction | undefined {
  try {
    return contractionOf([store], undefined, kernel, atom.a.storage as Half)
  } catch (e) {
    if (e instanceof Refused) return undefined
    throw e
  }
}

function scheduleOf(of: Contraction, beside: number, atom: Atom, target: AtomTarget): Chunked | undefined {
  const { rows, columns, folded, stores } = of
  if (volume(rows) < rules.rows || volume(columns) < rules.columns || volume(folded) < rules.elements) return undefined
  const long = volume(folded) > longestChain
  const several = of.products.length * (long ? 2 : 1)
  const batch = stores[0]!.axes.filter((a) => !rows.includes(a) && !columns.includes(a))
  const blocked = rules.blocks.map(([tall, broad]) => ({
    down: spread(rows, Math.min(tall, above(volume(rows)))),
    across: spread(columns, Math.min(broad / of.products.length, above(volume(columns)))),
  }))
  // Of all stores of the kernel, which run side by side.
  const isEnough = ({ down, across }: (typeof blocked)[number]) =>
    beside * volume(batch) * blocksOf(rows, down) * blocksOf(columns, across) >= rules.waves * target.cores
  const { down, across } = blocked.find(isEnough) ?? blocked.at(-1)!
  const groups = groupsOf(product(down), product(across), several, atom)
  const extent = literalExtent(folded.at(-1)!.extent) ?? rules.chunk
  const chunk = Math.min(rules.chunk, Math.ceil(extent / atom.k) * atom.k)
  const terms = (operands: Contraction["a"]) => operands.reduce((n, x) => n + x.terms, 0)
  const bytes = 2 * chunk * (product(down) * terms(of.a) + product(across) * terms(of.b))
  const stages = Math.min(rules.stages, Math.floor(target.sharedBytes / bytes))
  if (stages < 1) return undefined
  const tile = Object.fromEntries([
    ...batch.map((a) => [a.name, { block: 1 }] as const),
    ...[...down, ...across].map(([name, block]) => [name, { block }] as const),
  ])
  const warps = { [rows.at(-1)!.name]: groups.down, [columns.at(-1)!.name]: groups.across }
  const reduce = { [folded.at(-1)!.name]: { chunk, ...(stages > 1 ? { stages } : {}) } }
  const schedule: StoreSchedule = { atom: { name: atom.name }, tile, warps, reduce }
  return { threads: groups.down * groups.across * atom.lanes, schedule }
}

const size = (a: Axis) => Math.max(1, maximum(a.extent))
/** Elements of some axes where sizes are at their largest: that is what takes time. */
const volume = (axes: readonly Axis[]) => axes.reduce((n, a) => n * size(a), 1)

/** Gives `count` elements to the last axes first; an axis that is larger than what is left gets a power of two. */
function spread(axes: readonly Axis[], count: number): Shares {
  const shares = new Map<string, number>()
  let left = count
  for (const a of [...axes].reverse()) {
    const share = Math.max(1, Math.min(power(left), size(a)))
    shares.set(a.name, share)
    left = Math.max(1, Math.floor(left / share))
  }
  return shares
}

/** The least power of two from n on, no less than a fragment has. */
const above = (n: number): number => Math.max(16, 2 ** Math.ceil(Math.log2(n)))

const blocksOf = (axes: readonly Axis[], shares: Shares): number =>
  axes.reduce((n, a) => n * Math.ceil(volume([a]) / shares.get(a.name)!), 1)

/** Groups of lanes: as few as have registers for their sums, each as near to a square as may be. */
function groupsOf(rows: number, columns: number, several: number, { m, n, lanes }: Atom) {
  const sums = (down: number, across: number) => ((rows / down) * (columns / across) * several) / lanes
  let [down, across] = [1, 1]
  const fits = () => sums(down, across) <= rules.sums && down * across >= rules.groups
  while (!fits() && down * across < rules.mostGroups) {
    const tall = rows / down >= 2 * m
    const broad = columns / across >= 2 * Math.max(16, n)
    if (tall && (rows / down > columns / across || !broad)) down *= 2
    else if (broad) across *= 2
    else break
  }
  return { down, across }
}
