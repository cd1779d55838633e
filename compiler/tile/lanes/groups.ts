/**
 * Groups: the lanes of a workgroup that hold the channels of a row together, next to others that hold the same channels for other elements.
 *
 *   256 lanes, 16 along the channels   →   16 groups; lane 35 is number 3 of group 2
 */

import { literalExtent } from "../../ir/dim.js"
import type { Expression } from "../../ir/nodes.js"
import type { LaneGroup } from "../accumulators.js"
import { type BlockAxis, type Build, laneGroup, Refused, workersOf } from "../block.js"

/** How the lanes of a workgroup are dealt out. */
export interface Groups {
  /** Lanes of a group. */
  readonly size: number
  readonly lanes: LaneGroup
  /** This lane's number in its group. */
  readonly index: Expression
  /** Groups of the workgroup, and the number of this lane's. */
  readonly count: number
  readonly number: Expression
}

export function groupsOf({ tile, axis, points }: BlockAxis, parts: Build): Groups {
  const size = tile.lanes!
  const lanes = laneGroup(size, parts)!
  const { workers, worker } = workersOf(size, parts.schedule.threads)
  if (literalExtent(points) !== size || literalExtent(axis.extent)! % (size * (tile.vector ?? 1)) !== 0)
    throw new Refused("tile/indivisible", `${size} lanes do not hold all of '${axis.name}' evenly`)
  return { size, lanes, index: lanes.index, count: workers, number: worker }
}
