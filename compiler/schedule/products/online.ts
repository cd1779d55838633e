/**
 * Online folds of many rows by matrix units: the scores of a chunk are a product, and what they weigh is another.
 *
 *   y[kv, rep, s, d] = online_key(sum_e(q · k), 1, v[key, d]) over s < 512, rep < 2, d < 128   →   blocks of 64 rows (32 s · 2 rep) for 4 groups, 64 keys in 2 stages
 *
 * Lanes of a group have whole rows: of the scores of a chunk, and of all columns. Where the machine has a copy engine, it brings what groups multiply.
 */
import { literalExtent } from "../../ir/dim.js"
import { type Atom, atoms } from "../../ir/fragments/atoms.js"
import type { Kernel, Store } from "../../ir/kernel.js"
import type { AtomTarget } from "../../ir/machine.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import { maskOf } from "../../ir/verify/masks.js"
import { Refused } from "../../tile/block.js"
import { columnsAtLeast } from "../../tile/fragments/online-block.js"
import { type OnlineProducts, onlineProductsOf } from "../../tile/fragments/online-operands.js"
import { madeOf } from "../../tile/fragments/operands.js"
import { placesFor } from "../../tile/fragments/places.js"
import { growingAlong } from "../../tile/range.js"
import { type Chunked, product, volumeAtMost as volume } from "../shares.js"
import { above, blocksOf, spread } from "./atoms.js"
import { atomRules as rules } from "./rules.js"

/** The schedule of a store whose fold is an online one, by the machine's matrix units; undefined where they do not take it. */
export function onlineAtomSchedule(store: Store, kernel: Kernel, target: AtomTarget): Chunked | undefined {
  const of = productsOf(store, kernel, target)
  if (of === undefined) return undefined
  // Where lanes do not know what they hold, none scales its rows.
  const all = target.names.map((name) => atoms.get(name)!).filter((a) => a.c.layout !== undefined)
  // What goes on by itself comes first, where blocks have rows enough.
  const kinds = [all.find((a) => a.asynchronous), all.find((a) => !a.asynchronous)]
  for (const atom of kinds) {
    const made = atom && layoutOf(of, atom, target)
    if (made !== undefined) return made
  }
  return undefined
}

function productsOf(store: Store, kernel: Kernel, target: AtomTarget): OnlineProducts | undefined {
  try {
    const of = onlineProductsOf([store], kernel, madeOf(target))
    const columns = volume(of.columns)
    const inner = literalExtent(of.inner.extent) ?? 0
    const isLarge = volume(of.rows) >= rules.online.least && columns >= rules.online.least && inner >= rules.elements
    return isLarge && columns <= rules.online.columns ? of : undefined
  } catch (e) {
    if (e instanceof Refused) return undefined
    throw e
  }
}

function layoutOf(
  of: OnlineProducts,
  atom: Atom,
  { sharedBytes, cores, boxes = false }: AtomTarget,
): Chunked | undefined {
  const by = rules.online[atom.asynchronous ? "groups" : "warps"]
  const { chunk } = by
  const columns = placesFor(volume(of.columns), columnsAtLeast(atom))
  const inner = placesFor(literalExtent(of.inner.extent) ?? 0, atom.k)
  const weighed = of.values.reduce((n, v) => n + v.terms, 0)
  // Results of a lane and its scores.
  const sums = (atom.m * (of.values.length * columns + chunk)) / atom.lanes
  if (sums > rules.online.sums) return undefined
  const made = by.groups.flatMap((most) => {
    const rows = spread(of.rows, Math.min(most * atom.m, above(volume(of.rows))))
    const held = product(rows)
    const groups = Math.ceil(held / atom.m)
    const queries = groups * atom.m * inner * of.queries.terms
    const stage = 2 * chunk * (inner * of.keys.terms + columns * weighed)
    const stages = Math.min(by.stages, Math.floor((sharedBytes - 2 * queries) / stage))
    // Rows that a group lacks would be multiplied in vain.
    if (stages < rules.online.stages || (atom.asynchronous && groups * atom.m > held)) return []
    return [{ rows, groups, stages, blocks: volume(of.batch) * blocksOf(of.rows, rows) }]
  })
  const chosen = made.find(({ blocks }) => blocks >= rules.waves * cores) ?? made.at(-1)
  if (chosen === undefined) return undefined
  const { rows, groups, stages } = chosen
  const tile = Object.fromEntries([
    ...of.batch.map((a) => [a.name, { block: 1 }] as const),
    ...[...rows].map(([name, block]) => [name, { block }] as const),
    ...of.columns.map((a) => [a.name, { block: "all" }] as const),
  ])
  const schedule: StoreSchedule = {
    atom: { name: atom.name, ...(boxes && atom.asynchronous ? { boxes } : {}) },
    tile,
    warps: { [of.rows.at(-1)!.name]: groups },
    reduce: { [of.fold.axis]: { chunk, ...(stages > 1 ? { stages } : {}) } },
    ...longestFirst(of, rows),
  }
  return { threads: groups * atom.lanes, schedule }
}

/** Blocks of late rows come first where those have most to fold: what starts last is short, and no core waits for it. */
function longestFirst(
  { stores: [store], fold, rows }: OnlineProducts,
  shares: ReadonlyMap<string, number>,
): Pick<StoreSchedule, "raster" | "backwards"> {
  const { axes } = store!
  const mask = maskOf(fold, axes)
  const growing = mask && growingAlong(mask, fold.axis, rows)
  if (growing === undefined || blocksOf([growing], shares) < 2) return {}
  const order = [growing, ...axes.filter((a) => a !== growing)]
  return { raster: order.map((a) => a.name), backwards: true }
}
