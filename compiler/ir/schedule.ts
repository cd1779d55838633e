/**
 * Schedules: how a kernel is laid out over workgroups, lanes, registers and vectors. Data, keyed by axis name.
 *
 *   { lanes: 1, stores: [{ tile: { seq: { block: 1 }, out: { block: 64, register: 4 } }, reduce: { embed: { vector: 4 } } }] }
 *
 * One entry of `stores` per store of the kernel, in order. An axis that is not named has block 1. Nothing here changes what is computed;
 * `tile` refuses what it cannot do.
 */

export interface AxisTile {
  /** Elements of this axis that one workgroup owns; "all": the whole axis. A multiple of register · vector. */
  readonly block: number | "all"
  /** Consecutive elements (or vectors) that one lane holds at once. */
  readonly register?: number
  /** Lanes of a vector along this axis; at most one axis of a store has one. */
  readonly vector?: number
}

export interface ReductionTile {
  /** Elements taken at once by a vector accumulator. */
  readonly vector?: number
  /** Vectors taken at once, each with an accumulator of its own. */
  readonly unroll?: number
  /** Lanes of the workgroup that share one reduction; a power of two that divides `lanes`. */
  readonly lanes?: number
}

export interface StoreSchedule {
  readonly tile: Readonly<Record<string, AxisTile>>
  readonly reduce: Readonly<Record<string, ReductionTile>>
}

export interface Schedule {
  /** Lanes of a workgroup. */
  readonly lanes: number
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
    | "reduce/lanes"
    | "local/unowned"
    | "local/size"
    | "store/monoid"
    | "store/packed"
    | "fold/slots"
  readonly why: string
}
