/**
 * Schedules: how a kernel is laid out over workgroups, lanes, registers and vectors. Data, keyed by axis name.
 *
 *   { threads: 1, stores: [{ tile: { seq: { block: 1 }, out: { block: 64, perThread: 4 } }, reduce: { embed: { vector: 4 } } }] }
 *
 * One entry of `stores` per store of the kernel, in order. An axis that is not named has block 1. Nothing here changes what is computed;
 * `tile` refuses what it cannot do.
 */

export interface AxisTile {
  /** Elements of this axis that one workgroup owns; "all": the whole axis. A multiple of perThread · vector. */
  readonly block: number | "all"
  /** Consecutive elements (or vectors) that one lane holds at once. */
  readonly perThread?: number
  /** Lanes of a vector along this axis; at most one axis of a store has one. */
  readonly vector?: number
}

export interface ReductionTile {
  /** Elements taken at once by a vector accumulator. */
  readonly vector?: number
  /** Vectors taken at once, each with an accumulator of its own. */
  readonly accumulators?: number
  /** Lanes of the workgroup that share one reduction; a power of two that divides `threads`. */
  readonly group?: number
  /**
   * Elements that the workgroup takes together: what is staged of them is filled once for all its points. All points of the block keep their
   * accumulators from chunk to chunk. Goes with `innerUnroll` only.
   */
  readonly chunk?: number
  /** Chunks whose operands are staged at once, 1 or 2: with two the next one is filled while this one is folded. */
  readonly stages?: number
  /**
   * Whether chunks that reach over the end of the axis, or over what counts, have a body of their own. They have when left out; without, there
   * is less text and a little more work.
   */
  readonly peelTail?: boolean
  /** Elements of a chunk that one iteration takes, one after the other into the same accumulator. */
  readonly innerUnroll?: number
  /**
   * Turns of the loop that are added one after the other, before the result is merged by pairs with those of other runs. Left out: 8 where
   * the axis may have more than 4,096 elements, for which no more are allowed; else all of them.
   */
  readonly run?: number
}

/** What a workgroup stages for its points: an operand of a fold, or the scores of an online one. */
export interface StagedTile {
  /** What one lane fills at once, by axis of the operand. */
  readonly tile: Readonly<Record<string, { readonly perThread?: number; readonly vector?: number }>>
  /** Elements added to each row in memory, against bank conflicts. */
  readonly pad?: number
  /** An axis of which the even places come first in memory, then the odd ones: lanes that have pairs of neighbours along it read neighbours. */
  readonly interleave?: string
  /** Two elements to a word, as in the buffer that they are loaded from: half the memory, decoded at each read. Of plain loads only. */
  readonly packed?: boolean
  /** Of scores: how a row of a chunk is folded for its pivot; its vectors are those of the weights, too. */
  readonly fold?: ReductionTile
}

/** The tile over other axes; what is said of those without a new name is dropped. */
export function renamedTile({ interleave, ...tile }: StagedTile, to: (axis: string) => string | undefined): StagedTile {
  const along = Object.entries(tile.tile).flatMap(([a, t]) => {
    const name = to(a)
    return name === undefined ? [] : [[name, t] as const]
  })
  const interleaved = interleave === undefined ? undefined : to(interleave)
  return { ...tile, tile: Object.fromEntries(along), ...(interleaved === undefined ? {} : { interleave: interleaved }) }
}

export interface StoreSchedule {
  readonly tile: Readonly<Record<string, AxisTile>>
  readonly reduce: Readonly<Record<string, ReductionTile>>
  /** The order in which workgroups run over blocks: all axes of the store, the slowest first; their own order when left out. */
  readonly raster?: readonly string[]
  /**
   * By buffer: the factor of a chunked fold that loads it is copied to the workgroup's memory first. `scores` stands for those of an online
   * fold, which are staged in any case.
   */
  readonly staged?: Readonly<Record<string, StagedTile>>
  /**
   * The store is made along with another one, whose folds it shares: the number of that store, and which of its axes each axis here stands
   * for. The rest of such a schedule is empty.
   */
  readonly computeWith?: { readonly store: number; readonly axes: Readonly<Record<string, string>> }
}

export interface Schedule {
  /** Lanes of a workgroup. */
  readonly threads: number
  /** Lanes that exchange values without shared memory, a power of two; 1 or left out: none do. */
  readonly subgroup?: number
  readonly stores: readonly StoreSchedule[]
  /** How reductions inside of locals are done, by axis name. */
  readonly locals: Readonly<Record<string, ReductionTile>>
}

/** Why a schedule cannot be carried out. */
export interface Refusal {
  readonly code:
    | "schedule/shape"
    | "schedule/unknown-axis"
    | "tile/indivisible"
    | "tile/vector"
    | "reduce/vector"
    | "reduce/group"
    | "reduce/chunk"
    | "reduce/run"
    | "local/unowned"
    | "local/size"
    | "store/packed"
    | "fold/slots"
  readonly why: string
}
