/**
 * Few rows times many weights that are decoded: the weights go from memory straight into fragments.
 *
 *   y[o] = sum_k(x[k] · w[o, k]), w in 4 bits   →   blocks of 16 o, 8 groups that share k, 32 k of a lane at a time and 4 steps under way
 */
import { literalExtent } from "../../ir/dim.js"
import { variable } from "../../ir/expression.js"
import { atoms } from "../../ir/fragments/atoms.js"
import { bufferOf, type Kernel, type Store } from "../../ir/kernel.js"
import { storageBytes } from "../../ir/loop.js"
import type { AtomTarget } from "../../ir/machine.js"
import type { Expression, Load } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import { Refused } from "../../tile/block.js"
import { type DirectProducts, directOf } from "../../tile/fragments/direct/operands.js"
import { linesOfOwn } from "../../tile/fragments/direct/plan.js"
import { elementAt } from "../../tile/fragments/direct/terms.js"
import { madeOf } from "../../tile/fragments/operands.js"
import { type Chunked, volumeAtMost as volume } from "../shares.js"
import { atomRules } from "./rules.js"

const rules = atomRules.direct

/** The schedule of a store of few rows; undefined where its folds are no such products, or nothing is decoded. */
export function directSchedule(store: Store, kernel: Kernel, target: AtomTarget): Chunked | undefined {
  const atom = target.names.map((n) => atoms.get(n)!).find((a) => !a.asynchronous && a.c.layout !== undefined)
  if (atom === undefined || target.terms === 3) return undefined
  for (const { name } of [...store.axes].reverse()) {
    const of = productsOf(store, name, kernel, target)
    if (of === undefined || !isWorth(of)) continue
    const axis = of.folded.at(-1)!
    const extent = literalExtent(axis.extent)!
    const stretch = stretchOf(of, axis.name, extent, kernel)
    const steps = (volume(of.folded) / extent) * Math.ceil(extent / (4 * stretch))
    const lines = volume(of.columns) * of.other.terms
    // Lanes with sums of their own have one fragment for each two lines and each of their terms; then those with the rows of a block are few.
    const isOwn = lines <= linesOfOwn
    const blocksOf = (rows: number) => blocksBeside(kernel, rows * volume(of.columns))
    const tall = isOwn ? 1 : tallOf(lines, (n) => blocksOf(n * atom.m) >= rules.busy * target.cores)
    const shared = Math.min(rules.groups / tall, 2 ** Math.floor(Math.log2(Math.max(1, steps))))
    const beside = of.folds.length
    const row = of.rows.at(-1)!.name
    const isOnce = steps * beside <= shared * rules.steps[0] && blocksOf(atom.m * tall) <= rules.blocks * target.cores
    const most = isOnce ? rules.steps[0] : rules.elementsInTurn / stretch
    const bytesOfStep = 8 * stretch * lines
    const isHeld = (n: number) => n * beside <= most && n * shared * bytesOfStep <= rules.bytesOfRows
    const turns = rules.steps.find((n) => steps % (n * shared) === 0 && isHeld(n)) ?? 1
    const stages = stagesOf(steps, turns * shared, bytesOfStep)
    const single = store.axes.filter((a) => a.name !== row && !of.columns.includes(a))
    const schedule: StoreSchedule = {
      atom: { name: atom.name, rows: row, direct: true },
      tile: {
        ...Object.fromEntries(single.map((a) => [a.name, { block: 1 }])),
        ...Object.fromEntries(of.columns.map((a) => [a.name, { block: volume([a]) }])),
        [row]: { block: atom.m * (rules.groups / shared) },
      },
      warps: { [axis.name]: shared, ...(shared < rules.groups ? { [row]: rules.groups / shared } : {}) },
      reduce: { [axis.name]: { chunk: 4 * stretch, ...(turns > 1 ? { innerUnroll: turns } : {}), ...stages } },
    }
    return { threads: rules.groups * atom.lanes, schedule }
  }
  return undefined
}

/** Blocks of so many points of all stores of a kernel together. */
const blocksBeside = ({ items }: Kernel, points: number): number =>
  items.reduce((n, i) => n + (i.kind === "store" ? volume(i.axes) / points : 0), 0)

/** Fragments of rows of a block, so that what it reads of the few rows is not much more than what it reads of weights. */
const tallOf = (lines: number, isBusy: (fragments: number) => boolean): number =>
  rules.tall.find((n) => n * rules.linesOfFragment <= lines && isBusy(n)) ?? 1

/** Turns of which memory holds the few rows, where it does not hold all: as many as fit, and the same each time if that is possible. */
function stagesOf(steps: number, inTurn: number, bytesOfStep: number): { readonly stages?: number } {
  if (steps * bytesOfStep <= rules.bytesOfRows) return {}
  const turns = Math.ceil(steps / inTurn)
  const most = Math.max(1, Math.min(6, Math.floor(rules.bytesOfRows / (inTurn * bytesOfStep))))
  const whole = Array.from({ length: most }, (_, i) => most - i).find((n) => turns % n === 0 && 2 * n > most)
  return turns <= most ? {} : { stages: whole ?? most }
}

function productsOf(store: Store, row: string, kernel: Kernel, target: AtomTarget): DirectProducts | undefined {
  try {
    return directOf([store], row, kernel, madeOf(target))
  } catch (e) {
    if (e instanceof Refused) return undefined
    throw e
  }
}

/** Whether rows are few and weights many, and made of integers. */
function isWorth({ rows, columns, folded, weights }: DirectProducts): boolean {
  const isKnown = folded.every((a) => literalExtent(a.extent) !== undefined)
  if (!isKnown || volume(columns) > rules.columns || volume(rows) < rules.rows) return false
  if (literalExtent(folded.at(-1)!.extent)! < rules.elements) return false
  const loads = (x: Expression) => nodesOf([x], "load")
  return weights.every((w) => loads(w.value).some((l) => l.dtype === "u32"))
}

/** Neighbours of a lane: as many as one load of 16 bytes has of the largest that is read of them, and no more than four lanes have of the axis. */
function stretchOf({ weights }: DirectProducts, axis: string, extent: number, kernel: Kernel): number {
  const bytesOf = (size: number): number => {
    const read = new Map<string, Set<Load>>()
    for (const { value } of weights)
      for (let at = 0; at < size; at++)
        for (const l of nodesOf([elementAt(value, axis, variable("any"), size, at)], "load"))
          read.set(l.buffer, (read.get(l.buffer) ?? new Set()).add(l))
    return Math.max(...[...read].map(([buffer, all]) => all.size * storageBytes(bufferOf(kernel, buffer).storage)))
  }
  const fits = rules.stretches.filter((n) => 4 * n <= extent && extent % n === 0 && bytesOf(n) <= rules.bytesOfLoad)
  return fits.find((n) => extent % (4 * n) === 0) ?? fits[0] ?? rules.stretches.at(-1)!
}
