/**
 * What the lanes of a workgroup hold, all of them at once.
 *
 *   lane · 4 + 1     known     one number for each lane
 *   past + 7         known     one number for all
 *   x[lane · 4]      unknown   but which lanes hold the same (patterns.ts)
 *
 * So arithmetic of indices is computed, and of everything else it is still seen which lanes compute the same.
 */
import { type DType, type OperationRecord, roundTo } from "../../ir/operations.js"
import type { Active, Pattern, Patterns } from "./patterns.js"

interface Common {
  /** Cycles on the clock of a lane at which the value is there. */
  readonly ready: number
  /** Whether it is the same as long as no variable of a loop changes: not read from a variable that is assigned, or from memory. */
  readonly steady: boolean
  /** By how much it grows from one iteration of a loop around to the next; NaN: by no one number. Left out, it depends on none. */
  readonly slopes?: Slopes | undefined
}
export interface Known extends Common {
  readonly known: true
  readonly at: number | Float64Array
}
interface Unknown extends Common {
  readonly known: false
  readonly pattern: Pattern | undefined
}
export type LaneValue = Known | Unknown

/** By the variable of the loop. */
export type Slopes = ReadonlyMap<string, number>

export const known = (at: number | Float64Array, ready = 0, steady = true): Known => ({
  known: true,
  at,
  ready,
  steady,
})

/** Which lanes hold the same. */
export const patternOf = (value: LaneValue, patterns: Patterns): Pattern | undefined =>
  value.known ? patterns.of(value.at) : value.pattern

/** Which lanes hold the same of all of them. */
export const together = (values: readonly LaneValue[], patterns: Patterns): Pattern | undefined =>
  values.reduce<Pattern | undefined>((p, v) => patterns.joined(p, patternOf(v, patterns)), undefined)

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

/** How the result of an operation grows with loops. */
export function slopesOf(operation: string, args: readonly LaneValue[]): Slopes | undefined {
  const [a, b] = args
  if (args.every((x) => x.slopes === undefined)) return undefined
  const growing = args.filter((x) => x.slopes !== undefined)
  const first = growing[0]!
  const linear = operation === "add" || operation === "sub" || operation === "mul"
  if (growing.length === 1) {
    if (!linear) return wayward(first.slopes!)
    if (operation === "add" || (operation === "sub" && first === a)) return first.slopes
  }
  const made = new Map<string, number>()
  for (const { slopes } of growing)
    for (const loop of slopes!.keys())
      if (!made.has(loop)) {
        const [p, q] = [a?.slopes?.get(loop) ?? 0, b?.slopes?.get(loop) ?? 0]
        made.set(loop, linear ? slopeOf(operation, [p, a], [q, b]) : Number.NaN)
      }
  return made
}

type Growing = readonly [slope: number, value: LaneValue | undefined]

function slopeOf(operation: string, [p, a]: Growing, [q, b]: Growing): number {
  if (operation === "add") return p + q
  if (operation === "sub") return p - q
  const factor = (v: LaneValue | undefined) => (v?.known && typeof v.at === "number" ? v.at : Number.NaN)
  return p === 0 ? factor(a) * q : q === 0 ? p * factor(b) : Number.NaN
}

const waywards = new WeakMap<Slopes, Slopes>()

/** What depends on the same loops, by no one number. */
function wayward(slopes: Slopes): Slopes {
  const found = waywards.get(slopes) ?? new Map([...slopes.keys()].map((loop) => [loop, Number.NaN]))
  waywards.set(slopes, found)
  waywards.set(found, found)
  return found
}

/** What is found at a place depends on the loops that the place depends on. */
export const slopesAt = ({ slopes }: LaneValue): Slopes | undefined => slopes && wayward(slopes)

/** Lanes of a subgroup, on NVIDIA hardware; on others what is counted by subgroups is approximate. */
export const subgroup = 32

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
