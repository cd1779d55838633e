/**
 * What a workgroup stages: a value in memory that it owns, whole or chunk by chunk.
 *
 *   x[s, k] for a block of 64 s and a chunk of 16 k, with a pad of 4   →   axes s: 64 from 64·block, k: 16 from 16·chunk; an array [64, 20]
 *
 * Memory is row-major, the last axis padded. It is a thread's own where there is one, and shared where there are several.
 */

import { add, apply, literal, mul } from "../../ir/expression.js"
import { bufferOf, type Local } from "../../ir/kernel.js"
import { difference, divided } from "../../ir/linear.js"
import { type Half, packed, type Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { StagedTile } from "../../ir/schedule.js"
import type { Axis } from "../../ir/tensor.js"
import { type Build, exchangeOf, type Home, Refused, type SharedArray } from "../block.js"
import { flatten } from "../vector.js"

/** A value that is staged: a local of the kernel, or what a schedule asks for. */
export interface StagedLocal extends Local {
  readonly tile: StagedTile
  /** Whether it becomes another one after it is filled, as scores become weights: there is one of it, and it has memory. */
  readonly moves?: boolean
  /** Whether it has no value before a chunk gives it one. */
  readonly empty?: boolean
}

/** The places of an axis in memory. */
export interface StagedAxis {
  readonly axis: Axis
  readonly size: number
  /** The element at the first place. */
  readonly base: Expression
  /** The end of the axis, where places may reach beyond it. */
  readonly end: Expression | undefined
  /** Whether the even places come before the odd ones. */
  readonly interleaved: boolean
  /** Whether the places are those of a chunk, beyond the end in the last one only. */
  readonly chunked: boolean
}

/** What is staged, and its memory. */
export interface StagedArray extends Home {
  readonly array: string
  readonly local: StagedLocal
  readonly axes: readonly StagedAxis[]
  readonly perChunk: boolean
  /** Which of two chunks' places, the first axis then, the open chunk has. */
  readonly half: Expression | undefined
}

/** Where a place of an axis lies. */
export function placeOf({ size, interleaved }: StagedAxis, place: Expression): Expression {
  if (size === 1) return literal(0)
  if (!interleaved) return place
  const known = divided(place, 2)
  if (known !== undefined) return add(known.quotient, literal((known.rest * size) / 2))
  const two = literal(2)
  return add(mul(apply("floormod", place, two), literal(size / 2)), apply("floordiv", place, two))
}

/**
 * Memory is shared with the other stores of the kernel, too, of which a block runs one only; what is `common` to all cells of a workgroup has its
 * own.
 */
export function allocate(
  staged: Pick<StagedArray, "local" | "axes" | "perChunk" | "half">,
  parts: Build,
  out: Statement[],
  common = false,
): StagedArray {
  const { local, axes, half } = staged
  const { name, tile } = local
  const { dtype } = local.value
  const row = axes.map((a, i) => (i === axes.length - 1 ? a.size + (tile.pad ?? 0) : a.size))
  const shape = half === undefined ? row : [2, ...row]
  const size = shape.reduce((n, s) => n * s, 1)
  if (size > 65536) throw new Refused("local/size", `'${name}' has ${size} elements in a block`)
  const storage = tile.packed === true ? storageOf(local, parts) : undefined
  const kind = { dtype, size, ...(storage === undefined ? {} : { storage }) }
  const own = parts.schedule.threads === 1
  const array = own || common ? parts.fresh(name) : shareMemory(name, kind, parts)
  if (!own && common) {
    parts.shared.set(array, kind)
    parts.prologue?.kept.add(array)
  }
  if (own) out.push({ kind: "alloc", name: array, ...kind, space: "register" })
  const within = (index: readonly Expression[]) =>
    flatten(
      axes.map((a, i) => placeOf(a, difference(index[i]!, a.base))),
      row,
    )
  const rows = literal(row.reduce((n, s) => n * s, 1))
  const offset: Home["offset"] = half === undefined ? within : (index) => add(mul(half, rows), within(index))
  return { ...staged, array, shape, scalar: undefined, offset }
}

/** An array of the workgroup's: one that another store of the kernel has, if it is of this kind, else a new one. */
export function shareMemory(stem: string, kind: SharedArray, parts: Build): string {
  const free = [...parts.shared].find(
    ([other, a]) =>
      !parts.taken.has(other) &&
      !parts.bins.has(other) &&
      parts.prologue?.kept.has(other) !== true &&
      other !== exchangeOf(kind.dtype) &&
      a.dtype === kind.dtype &&
      (a.size === kind.size || kind.swizzle !== undefined) &&
      a.storage === kind.storage &&
      a.swizzle === kind.swizzle,
  )
  const array = free === undefined ? parts.fresh(stem) : free[0]
  parts.shared.set(array, { ...kind, size: Math.max(kind.size, free?.[1].size ?? 0) })
  parts.taken.add(array)
  return array
}

/** The storage of the buffer that a local copies. */
function storageOf({ name, value }: Local, { kernel }: Build): Half {
  const storage = value.kind === "load" ? bufferOf(kernel, value.buffer).storage : undefined
  if (storage === undefined || !packed(storage))
    throw new Refused("store/packed", `'${name}' is no copy of elements of which two share a word`)
  return storage
}
