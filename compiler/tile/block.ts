/**
 * Blocks: the part of a store that one workgroup owns, and what its lanes share.
 *
 *   axis o of 256, { block: 64, perThread: 4 }   →   4 cells; the block's first element 64 · cell; 16 points of 4 elements
 */

import { type Dim, literalExtent } from "../ir/dim.js"
import { add, apply, literal, mul, variable } from "../ir/expression.js"
import type { FoldLengths } from "../ir/fold-lengths.js"
import { bufferOf, type Kernel } from "../ir/kernel.js"
import { type Half, packed, type Statement } from "../ir/loop.js"
import type { Terms } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import type { DType } from "../ir/operations.js"
import type { AxisTile, Refusal, Schedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import type { LaneGroup } from "./accumulators.js"
import type { Lowerer } from "./lowerer.js"
import { flatten } from "./vector.js"

export class Refused extends Error {
  readonly refusal: Refusal
  constructor(code: Refusal["code"], why: string) {
    super(why)
    this.refusal = { code, why }
  }
}

/** An array of the workgroup's. */
export interface SharedArray {
  readonly dtype: DType
  readonly size: number
  readonly storage?: Half
  readonly swizzle?: 32 | 64 | 128
}

/** What the sections of one kernel share. */
export interface Build {
  readonly kernel: Kernel
  readonly schedule: Schedule
  readonly fresh: (stem: string) => string
  /** Shared arrays of the whole kernel: name → dtype and size. */
  readonly shared: Map<string, SharedArray>
  /** Those of them that lanes add into. */
  readonly bins: Set<string>
  /** Those that the present section has. */
  readonly taken: Set<string>
  readonly lengths: FoldLengths
  /** Halves whose sum stands for an f32 that matrix units multiply. */
  readonly terms: Terms
  /** What is done before the cells of a workgroup, where it takes several. */
  prologue: Prologue | undefined
}

/** Barriers between what the threads of a workgroup write of staged memory and what they read of it. */
export interface Fences {
  /** Where other threads may still read what `local` is, if there is one, or write what `value` reads, they are waited for. */
  readonly before: (local: string | undefined, value: Expression, out: Statement[]) => void
  /** What has been written is there for all. */
  readonly settle: (out: Statement[]) => void
  readonly barrier: (out: Statement[]) => void
}

export interface Prologue {
  readonly out: Statement[]
  /** Whether every workgroup runs it, so that what it names is there for all cells. */
  readonly always: boolean
  /** What is staged, by a key that says what it is. */
  readonly homes: Map<string, Home>
  /** Its shared arrays: no section has their memory for anything else. */
  readonly kept: Set<string>
  readonly fences: Fences
}

/** One axis of a store as its block sees it. */
export interface BlockAxis {
  readonly axis: Axis
  readonly tile: AxisTile
  /** Elements of one point: perThread · vector. */
  readonly step: number
  /** Blocks along the axis. */
  readonly cells: Dim
  /** Points of a block along the axis. */
  readonly points: Dim
  /** Elements that a block owns at most, when known. */
  readonly owned: number | undefined
  /** The variable that holds the block's number along the axis, when there are several. */
  readonly cell: (Expression & { kind: "variable" }) | undefined
  /** First element of the block: a multiple of `block`, visibly. */
  readonly base: Expression
}

export function blockAxis(axis: Axis, tile: AxisTile, fresh: (stem: string) => string): BlockAxis {
  const step = (tile.perThread ?? 1) * (tile.vector ?? 1)
  const extent = literalExtent(axis.extent)
  const ceil = (d: Dim, n: number): Dim => apply("floordiv", add(d, literal(n - 1)), literal(n))
  const whole = {
    axis,
    tile,
    step,
    cells: literal(1),
    points: ceil(axis.extent, step),
    owned: extent,
    cell: undefined,
    base: literal(0),
  }
  if (tile.block === "all" || (extent !== undefined && extent <= tile.block)) return whole
  if (tile.block % step !== 0)
    throw new Refused("tile/indivisible", `block ${tile.block} of '${axis.name}' is no multiple of ${step}`)
  const cell = variable(fresh(`${axis.name}_block`))
  return {
    axis,
    tile,
    step,
    cells: ceil(axis.extent, tile.block),
    points: literal(tile.block / step),
    owned: tile.block,
    cell,
    base: mul(cell, literal(tile.block)),
  }
}

/** Whether a block's points along an axis always lie inside of the domain. */
export function always(a: BlockAxis): boolean {
  const extent = literalExtent(a.axis.extent)
  if (a.step === 1 && a.tile.block === 1) return true
  if (a.step === 1 && a.cell === undefined) return true
  if (extent === undefined) return false
  return a.cell === undefined ? extent % a.step === 0 : extent % (a.tile.block as number) === 0
}

/** A tile of this axis lies inside or outside, never across the end. */
export function neverPartial(a: BlockAxis): boolean {
  const extent = literalExtent(a.axis.extent)
  return extent !== undefined && extent % a.step === 0
}

/** The number of a lane in its workgroup. */
export const laneVariable = variable("lane")

/** The groups of `together` lanes that a workgroup has, and the number of this lane's. `laneGroup` says whether they divide it. */
export function workersOf(
  together: number,
  threads: number,
): { readonly workers: number; readonly worker: Expression } {
  const workers = threads / together
  if (workers === 1) return { workers, worker: literal(0) }
  return { workers, worker: together === 1 ? laneVariable : apply("floordiv", laneVariable, literal(together)) }
}

/** Where lanes exchange values: no memory for anything else, since any fold may need it. */
export const exchangeOf = (dtype: DType): string => `exchange_${dtype}`

/** The lanes that share folds, by whomever they are dealt out. Halving them finds a partner for each only where they are a power of two. */
export function laneGroup(count: number, parts: Build): LaneGroup | undefined {
  if (count === 1) return undefined
  if (parts.schedule.threads % count !== 0 || (count & (count - 1)) !== 0)
    throw new Refused(
      "reduce/group",
      `${count} lanes are no power of two that divides the workgroup's ${parts.schedule.threads}`,
    )
  const index = apply("bitand", laneVariable, literal(count - 1))
  const array = (dtype: DType) => {
    const name = exchangeOf(dtype)
    parts.shared.set(name, { dtype, size: parts.schedule.threads })
    parts.taken.add(name)
    return name
  }
  const { threads, subgroup = 1 } = parts.schedule
  return { index, count, lane: laneVariable, threads, subgroup: Math.min(subgroup, threads), array }
}

/** Where a local lives for one block. */
export interface Home {
  readonly array: string | undefined
  readonly shape: readonly number[]
  /** The value itself, when the block owns one element and one lane. */
  readonly scalar: Expression | undefined
  /** The offset in the array of an index. */
  readonly offset: (index: readonly Expression[]) => Expression
}

export function createLowerer(parts: Build, homes: ReadonlyMap<string, Home>, folding: Lowerer["folding"]): Lowerer {
  return {
    fresh: parts.fresh,
    folding,
    long: (axis) => parts.lengths.long.has(axis),
    longest: (axis) => parts.lengths.longest.get(axis) ?? Number.POSITIVE_INFINITY,
    shape: (array) => [...homes.values()].find((h) => h.array === array)?.shape ?? bufferOf(parts.kernel, array).shape,
    inPairs: (array) => parts.kernel.buffers.some((b) => b.name === array && packed(b.storage)),
    threads: parts.schedule.threads,
    scalar: (local) => homes.get(local)?.scalar,
    place: (x) => {
      if (x.kind === "load")
        return { array: x.buffer, offset: flatten(x.index, bufferOf(parts.kernel, x.buffer).shape) }
      const home = homes.get(x.local)!
      return { array: home.array!, offset: home.offset(x.index) }
    },
  }
}

/** Whether there are points of the host for each point along the named axes: the other axes have elements at any size. */
export function everywhere(host: readonly Axis[], named: readonly string[]): boolean {
  return host.every((a) => named.includes(a.name) || (literalExtent(a.extent) ?? 0) > 0)
}
