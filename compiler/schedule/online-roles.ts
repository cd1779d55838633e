/**
 * What the axes of a store are to its online folds: rows of one score each, channels, and a batch.
 *
 *   y[s, h, d] = online_{key}(score[s, h, key], v[h, key, d])   →   rows s, channels d, batch h
 */

import { literalExtent } from "../ir/dim.js"
import { freeVariables } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import type { Axis } from "../ir/tensor.js"
import { onlineRules as rules, elementsOfLoad as wide } from "./rules.js"
import { volume } from "./shares.js"

/** What the axes of a store are to its online folds. */
export interface Roles {
  /** The folded axis. */
  readonly axis: string
  readonly score: Expression
  readonly rows: readonly Axis[]
  readonly channels: readonly Axis[]
  /** Along these both scores and what is folded move: a block has one place of them. */
  readonly batch: readonly Axis[]
  /** Whether there are rows enough for a tile of a product. */
  readonly tileOfRows: boolean
  /** Whether channels can be stored by vectors. */
  readonly byVectors: boolean
}

export function rolesOf(store: Store, folds: readonly Reduce[], kernel: Kernel): Roles | undefined {
  const [first] = folds
  const { axis } = first!
  const score = first!.lift[0]!
  if (!folds.every((r) => r.axis === axis && r.lift[0] === score)) return undefined
  const lifts = folds.flatMap((r) => r.lift)
  const moving = nodesOf(lifts, "load").filter((l) => freeVariables(l).has(axis))
  const inScore = (a: Axis) => freeVariables(score).has(a.name)
  const steady = (a: Axis) => moving.every((l) => !freeVariables(l).has(a.name))
  const channels = store.axes.filter((a) => !inScore(a))
  const rows = store.axes.filter((a) => inScore(a) && steady(a))
  const batch = store.axes.filter((a) => inScore(a) && !steady(a))
  if (channels.some((a) => literalExtent(a.extent) === undefined)) return undefined
  const last = channels.at(-1)
  const byVectors =
    last !== undefined &&
    last === store.axes.at(-1) &&
    literalExtent(last.extent)! % wide === 0 &&
    bufferOf(kernel, store.buffer).shape.at(-1)! % wide === 0
  return { axis, score, rows, channels, batch, byVectors, tileOfRows: volume(rows) >= rules.rowsOfTile }
}
