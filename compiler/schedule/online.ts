/**
 * Online folds, in chunks of what they fold: their scores stay with the workgroup, and no row of them is ever whole in memory.
 *
 *   y[r, d] = online_{key}(score[r, key], v[key, d])   →   rows that share their keys in one block, all of d, 32 keys at a time
 *
 * Rows are the axes of the scores along which the operands are the same, so that a chunk of keys is read once for all of them; channels are the
 * axes of the store that the scores do not have. Few rows are folded by lanes that hold the channels (`online-lanes.ts`). How many of each a block and a thread have is said by the class of the machine.
 */

import { hinted, literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import type { Kernel, Store } from "../ir/kernel.js"
import type { ChunkTarget, MachineClass } from "../ir/machine.js"
import type { Reduce } from "../ir/nodes.js"
import { chainOf, nodesOf, outermostFolds } from "../ir/query.js"
import type { AxisTile, ReductionTile, StagedTile } from "../ir/schedule.js"
import { laneSchedule } from "./online-lanes.js"
import { type Roles, rolesOf } from "./online-roles.js"
import { onlineRules as rules, elementsOfLoad as wide } from "./rules.js"
import {
  type Chunked,
  consecutiveAxis,
  divisor,
  power,
  product,
  registers,
  type Shares,
  spread,
  volume,
} from "./shares.js"

/** How a class of machine lays an online fold out. */
interface Layout {
  readonly rows: Shares
  readonly rowRegisters: Shares
  /** Of the last axis of the channels. */
  readonly columns: { readonly vector: number; readonly perThread: number }
  readonly threads: number
  readonly chunk: number
  /** What is said of the folded axis beside the chunk. */
  readonly fold: ReductionTile
  /** Scores that a thread makes at once. */
  readonly scores: { readonly rows: number; readonly keys: number }
  /** How a fold inside of the scores is done, of so many elements. */
  readonly inScore: (extent: number) => ReductionTile
  /** How the scores of a row are folded. */
  readonly alongRow: Pick<StagedTile, "fold" | "pad">
  /** Whether keys are staged, where a workgroup holds them. */
  readonly stagesKeys: boolean
}

export function onlineSchedule(
  store: Store,
  folds: readonly Reduce[],
  kernel: Kernel,
  target: ChunkTarget,
  machine: MachineClass,
): Chunked | undefined {
  const roles = rolesOf(store, folds, kernel)
  if (roles === undefined) return undefined
  const overLanes =
    machine === "simt" && target.overLanes !== false ? laneSchedule(roles, store, kernel, target) : undefined
  if (overLanes !== undefined) return overLanes
  const { axis, score, channels } = roles
  const layout = layouts[machine](roles, target)
  const { rows, columns, chunk } = layout
  const tile: Record<string, AxisTile> = {}
  for (const a of roles.batch) tile[a.name] = { block: 1 }
  for (const [name, block] of rows) tile[name] = { block, perThread: layout.rowRegisters.get(name)! }
  for (const a of channels) {
    const { perThread, vector } = columns
    tile[a.name] = a === channels.at(-1) ? { block: "all", perThread, vector } : { block: "all" }
  }
  const reduce: Record<string, ReductionTile> = { [axis]: { chunk, ...layout.fold } }
  const staged: Record<string, StagedTile> = {}
  for (const r of outermostFolds(score).flatMap(chainOf)) {
    const extent = literalExtent(r.extent) ?? 0
    const loads = nodesOf(r.lift, "load")
    const direct = loads.every((l) => !freeVariables(l).has(r.axis) || consecutiveAxis(l) === r.axis)
    if (!direct || extent % wide !== 0) continue
    reduce[r.axis] = layout.inScore(extent)
    if (layout.stagesKeys && bytesOf(product(rows), chunk, extent) <= target.sharedBytes)
      for (const l of loads)
        if (freeVariables(l).has(axis)) staged[l.buffer] = { tile: { [r.axis]: { vector: wide } }, pad: rules.pad }
  }
  const scoreTile: Record<string, { perThread: number }> = { [axis]: { perThread: layout.scores.keys } }
  for (const [name, perThread] of registers(rows, layout.scores.rows)) scoreTile[name] = { perThread }
  staged.scores = { tile: scoreTile, ...layout.alongRow }
  return { threads: layout.threads, schedule: { tile, reduce, staged } }
}

/** Bytes that a workgroup holds of staged keys, scores, and two numbers of each row. */
const bytesOf = (rows: number, chunk: number, extent: number) =>
  4 * chunk * (extent + rules.pad) + 4 * rows * (chunk + rules.pad) + 8 * rows

const rowsOf = ({ rows }: Roles, count: number, { rows: most = count }: ChunkTarget) =>
  spread(rows, Math.min(count, most, power(volume(rows))))

/** Vectors of the last channel axis that a thread accumulates, at most `limit`. */
const vectorsOf = ({ channels }: Roles, vector: number, limit: number) => {
  const last = channels.at(-1)
  return last === undefined ? 1 : divisor(Math.max(1, hinted(last.extent)) / vector, limit)
}

function laneLayout(roles: Roles, target: ChunkTarget): Layout {
  const rows = rowsOf(roles, rules.lane.blockRows, target)
  const vector = roles.byVectors ? wide : 1
  return {
    rows,
    rowRegisters: registers(rows, rules.lane.rowsPerThread),
    columns: { vector, perThread: vectorsOf(roles, vector, rules.lane.columnsPerThread) },
    threads: 1,
    chunk: rules.lane.chunk,
    fold: { innerUnroll: 1 },
    scores: { rows: rules.lane.scoreRows, keys: rules.lane.scoreKeys },
    inScore: () => ({ vector: wide }),
    alongRow: { fold: { vector: wide } },
    stagesKeys: false,
  }
}

/** What both classes with workgroups have; `perThread` says how many rows, and vectors of channels, a thread accumulates. */
function workgroupLayout(
  roles: Roles,
  target: ChunkTarget,
  perThread: { readonly rows: number; readonly columns: number },
): Pick<Layout, "rows" | "rowRegisters" | "columns" | "threads" | "chunk" | "alongRow" | "stagesKeys"> {
  const { workgroup } = rules
  const { tileOfRows } = roles
  const muchMemory = target.sharedBytes >= workgroup.muchMemory
  const most = muchMemory ? workgroup.blockRowsOfMuchMemory : workgroup.blockRows
  const rows = rowsOf(roles, most, target)
  const rowRegisters = registers(rows, perThread.rows)
  const vector = roles.byVectors && tileOfRows ? wide : 1
  const columns = { vector, perThread: vectorsOf(roles, vector, perThread.columns) }
  const points = (product(rows) * volume(roles.channels)) / (product(rowRegisters) * columns.vector * columns.perThread)
  return {
    rows,
    rowRegisters,
    columns,
    threads: Math.min(target.threads, Math.max(workgroup.threads, power(points))),
    chunk: tileOfRows ? workgroup.chunkOfTile : workgroup.chunk,
    alongRow: { fold: {}, pad: rules.pad },
    stagesKeys: tileOfRows && target.contraction,
  }
}

/** One body for all chunks, and no register tiles. */
function softwareLayout(roles: Roles, target: ChunkTarget): Layout {
  const { perThread } = rules.software
  return {
    ...workgroupLayout(roles, target, { rows: perThread, columns: perThread }),
    fold: { peelTail: false },
    scores: { rows: perThread, keys: perThread },
    inScore: () => ({ vector: wide }),
  }
}

function simtLayout(roles: Roles, target: ChunkTarget): Layout {
  const { rowsPerThread, columnsPerThread, innerUnroll, scoreRows, scoreKeys, scoreGroup } = rules.simt
  const { tileOfRows } = roles
  const layout = workgroupLayout(roles, target, { rows: rowsPerThread, columns: tileOfRows ? columnsPerThread : 1 })
  const rows = product(layout.rows)
  const tileRows = divisor(rows, scoreRows)
  const keysPerThread = power((rows * layout.chunk) / layout.threads / tileRows)
  const shares = (extent: number) => target.subgroup >= scoreGroup && extent % (scoreGroup * wide) === 0
  return {
    ...layout,
    fold: { innerUnroll },
    scores: tileOfRows
      ? { rows: tileRows, keys: Math.min(scoreKeys, divisor(layout.chunk, Math.max(1, keysPerThread))) }
      : { rows: 1, keys: 1 },
    inScore: (extent) =>
      tileOfRows ? { innerUnroll } : { vector: wide, ...(shares(extent) ? { group: scoreGroup } : {}) },
  }
}

const layouts: Readonly<Record<MachineClass, (roles: Roles, target: ChunkTarget) => Layout>> = {
  lane: laneLayout,
  software: softwareLayout,
  simt: simtLayout,
}
