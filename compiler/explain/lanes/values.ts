/**
 * What the lanes of a workgroup hold, all of them at once.
 *
 *   lane · 4 + 1     known     one number for each lane
 *   past + 7         known     one number for all
 *   x[lane · 4]      unknown   a mark for each lane: lanes with one mark hold the same value
 *   x[past]          unknown   one mark for all
 *
 * So arithmetic of indices is computed, and of everything else it is still seen which lanes compute the same.
 */
import { type DType, type OperationRecord, roundTo } from "../../ir/operations.js"

export interface LaneValue {
  /** Whether `at` are the values themselves; else they are marks. */
  readonly known: boolean
  readonly at: number | Float64Array
  /** Cycles on the clock of a lane at which the value is there. */
  readonly ready: number
  /** Whether it is the same as long as no variable of a loop changes: not read from a variable that is assigned, or from memory. */
  readonly steady: boolean
  /** By how much it grows from one iteration of a loop around to the next; NaN: by no one number. Left out, it depends on none. */
  readonly slopes?: Slopes | undefined
}

/** By the variable of the loop. */
export type Slopes = ReadonlyMap<string, number>

export const known = (at: number | Float64Array, ready = 0, steady = true): LaneValue => ({
  known: true,
  at,
  ready,
  steady,
})

/** A number of 32 bits that differs wherever one of two does. */
export function mix(a: number, b: number): number {
  let h = Math.imul((a ^ (a / 4294967296)) | 0, 0x9e3779b1) ^ Math.imul((b ^ (b / 4294967296)) | 0, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39)
  return (h ^ (h >>> 15)) >>> 0
}

/** The number of a word, for marks. */
export function markOf(word: string): number {
  let mark = 7
  for (let i = 0; i < word.length; i++) mark = mix(mark, word.charCodeAt(i))
  return mark
}

const numberAt = (at: number | Float64Array, lane: number): number => (typeof at === "number" ? at : at[lane]!)

/** An operation of known numbers, as numbers: once where they are the same in all lanes. */
export function computed(
  { evaluate }: OperationRecord,
  of: DType,
  dtype: DType,
  args: readonly (number | Float64Array)[],
): number | Float64Array {
  const [a, b, c] = args
  const wide = args.find((v) => typeof v !== "number") as Float64Array | undefined
  if (wide === undefined) return roundTo(dtype, evaluate(of, ...(args as readonly number[])))
  const made = new Float64Array(wide.length)
  for (let l = 0; l < made.length; l++)
    made[l] =
      b === undefined
        ? roundTo(dtype, evaluate(of, numberAt(a!, l)))
        : c === undefined
          ? roundTo(dtype, evaluate(of, numberAt(a!, l), numberAt(b, l)))
          : roundTo(dtype, evaluate(of, numberAt(a!, l), numberAt(b, l), numberAt(c, l)))
  return made
}

/** The mark of something made of values: equal where all of them are. */
export function marked(word: number, args: readonly (number | Float64Array)[]): number | Float64Array {
  let made: Float64Array | undefined
  let mark = word
  for (const at of args) {
    if (typeof at === "number") {
      if (made === undefined) mark = mix(mark, at)
      else for (let l = 0; l < made.length; l++) made[l] = mix(made[l]!, at)
    } else if (made === undefined) {
      made = new Float64Array(at.length)
      for (let l = 0; l < made.length; l++) made[l] = mix(mark, at[l]!)
    } else for (let l = 0; l < made.length; l++) made[l] = mix(made[l]!, at[l]!)
  }
  return made ?? mark
}

/** How the result of an operation grows with loops. */
export function slopesOf(operation: string, args: readonly LaneValue[]): Slopes | undefined {
  if (args.every((a) => a.slopes === undefined)) return undefined
  const loops = new Set(args.flatMap((a) => [...(a.slopes?.keys() ?? [])]))
  const [a, b] = args
  const made = new Map<string, number>()
  for (const loop of loops) {
    const [p, q] = [a?.slopes?.get(loop) ?? 0, b?.slopes?.get(loop) ?? 0]
    made.set(loop, slopeOf(operation, [p, a], [q, b]))
  }
  return made
}

type Growing = readonly [slope: number, value: LaneValue | undefined]

function slopeOf(operation: string, [p, a]: Growing, [q, b]: Growing): number {
  if (operation === "add") return p + q
  if (operation === "sub") return p - q
  const factor = (v: LaneValue | undefined) => (v?.known && typeof v.at === "number" ? v.at : Number.NaN)
  return operation !== "mul" ? Number.NaN : p === 0 ? factor(a) * q : q === 0 ? p * factor(b) : Number.NaN
}

/** What is found at a place depends on the loops that the place depends on. */
export const slopesAt = ({ slopes }: LaneValue): Slopes | undefined =>
  slopes && new Map([...slopes.keys()].map((loop) => [loop, Number.NaN]))

/** Lanes of a subgroup, on NVIDIA hardware; on others what is counted by subgroups is approximate. */
export const subgroup = 32

/** Lanes that take part; undefined: all. */
export type Active = Uint8Array | undefined

const table = new Float64Array(4096)
const stamps = new Int32Array(4096)
let stamp = 0

/** How many different numbers the lanes from `from` to `to` hold, of those that take part. */
export function distinct(at: number | Float64Array, active: Active, from: number, to: number): number {
  if (typeof at === "number") return active === undefined || active.subarray(from, to).includes(1) ? 1 : 0
  stamp++
  let count = 0
  for (let lane = from; lane < to; lane++) {
    if (active !== undefined && active[lane] === 0) continue
    const value = at[lane]!
    let slot = mix(value, 1) & 4095
    while (stamps[slot] === stamp && table[slot] !== value) slot = (slot + 1) & 4095
    if (stamps[slot] === stamp) continue
    stamps[slot] = stamp
    table[slot] = value
    count++
  }
  return count
}

/** Lanes that take part. */
export const countOf = (active: Active, threads: number): number =>
  active === undefined ? threads : active.reduce((n, a) => n + a, 0)

/** Those that take part and for which a known condition is true, or false. */
export function where(at: number | Float64Array, truth: boolean, active: Active, threads: number): Active {
  if (typeof at === "number") return (at !== 0) === truth ? active : new Uint8Array(threads)
  const made = new Uint8Array(threads)
  for (let lane = 0; lane < threads; lane++)
    made[lane] = (active === undefined || active[lane] === 1) && (at[lane] !== 0) === truth ? 1 : 0
  return made
}
