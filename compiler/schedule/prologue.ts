/**
 * Prologues: what all blocks of a kernel make alike is made once by each of as many workgroups as run at once, which take the blocks in turn.
 *
 *   y[o] = sum_k(row{k} · w[o, k]) over o < 151,936   →   9,496 blocks of 16, taken by 528 workgroups, each of which makes the row once
 *   q[o], k[p], v[q] of the same row                  →   the row once in the text, in front of the blocks of all three
 *   y[o] = sum_k(x[k] · w[o, k]) by fragments that w goes straight into   →   workgroups that bring x into their memory once
 */
import { hinted } from "../ir/dim.js"
import type { Kernel, Local, Store } from "../ir/kernel.js"
import type { ScheduleTarget } from "../ir/machine.js"
import { nodesOf } from "../ir/query.js"
import type { StoreSchedule } from "../ir/schedule.js"
import { commonLocals, cutBy } from "../tile/staging/common.js"
import { besides } from "../tile/tile.js"
import { atomRules } from "./products/rules.js"
import { workgroupRules } from "./rules.js"
import { volume } from "./shares.js"

/** Workgroups that take the blocks of a kernel in turn; undefined where each block may as well have its own. */
export function workgroupsFor(
  kernel: Kernel,
  schedules: readonly StoreSchedule[],
  { workgroups, atoms }: ScheduleTarget,
): number | undefined {
  if (workgroups === undefined) return undefined
  const made = kernel.items.filter((i) => i.kind === "store")
  const hosts = schedules.map((s) => s.computeWith)
  const own = made.flatMap((store, i) => {
    const values = [store, ...besides(i, made, hosts)].flatMap((s) => [s.value, ...s.index])
    return hosts[i] === undefined ? [{ store, by: schedules[i]!, values }] : []
  })
  const count = () => own.reduce((n, { store, by }) => n + blocksOf(store, by), 0)
  if (atoms !== undefined && own.every(({ by }) => by.atom?.direct === true)) {
    // All blocks multiply the same few rows.
    const most = Math.min(workgroups, atomRules.direct.blocks * atoms.cores)
    return count() > most ? most : undefined
  }
  const [first, ...others] = own.map(
    ({ store, by, values }) => commonLocals(values, store, kernel, cutBy(store, by)).common,
  )
  // No block waits for what it does not read.
  const alike = others.every((o) => o.length === first!.length && o.every((l) => first!.includes(l)))
  if (first === undefined || !alike || !first.some(isDear)) return undefined
  return own.length > 1 || count() > workgroups ? workgroups : undefined
}

/** Whether a block should not make it again: it is of many elements, or of folds of many. */
const isDear = ({ axes, value }: Local): boolean =>
  volume(axes) > workgroupRules.fewElements ||
  nodesOf([value], "reduce").some((r) => hinted(r.extent) > workgroupRules.fewElements)

const blocksOf = ({ axes }: Store, { tile }: StoreSchedule): number =>
  axes.reduce((n, a) => {
    const { block } = tile[a.name] ?? { block: 1 }
    return block === "all" ? n : n * Math.ceil(Math.max(1, hinted(a.extent)) / block)
  }, 1)
