/**
 * What is under way while a loop kernel is interpreted: copies that a lane has begun, and asynchronous products.
 *
 *   copy tile[0 : 8] = x[0 : 8]   reads x at once, and marks tile[0 : 8]: whoever touches it before the wait is at fault
 *   commit copies                 what was begun since the last one is a group
 *   wait copies but 1             all groups of this lane but the youngest are carried out, as stores of this lane now
 *
 * A copy may write at any time from its beginning on, so it also counts as a store where it begins: others may not have read what was there before
 * since the last barrier.
 */
import type { Pending, StatementOf } from "../../ir/loop.js"
import type { Value } from "../loop-expressions.js"
import {
  type ArrayState,
  checkAwaited,
  checkRaces,
  checkRange,
  checkUnderway,
  fault,
  type Machine,
  readArray,
  writeArray,
  writers,
} from "../loop-machine.js"
import { arrayOf, type Compilation, emit, value } from "../loop-program.js"

/** No lane of the workgroup has begun anything. */
export function beginNothing({ begun }: Machine, threads: number): void {
  for (const of of ["copies", "products"] as const)
    begun[of].splice(0, Infinity, ...Array.from({ length: threads }, () => ({ open: [], groups: [] })))
}

/** Faults when a lane has ended before what it began has. */
export function checkNothingBegun(machine: Machine): void {
  machine.at = -1
  for (const of of ["copies", "products"] as const)
    for (const [lane, { open, groups }] of machine.begun[of].entries())
      if (open.length > 0 || groups.some((group) => group.length > 0))
        fault(machine, "pending", `lane ${lane} ends while ${of} of it are under way`)
}

/** The current lane begins something; `end` ends it when it has waited. */
export const begin = ({ begun, lane }: Machine, of: Pending, end: () => void): unknown =>
  begun[of][lane]!.open.push(end)

export function addCommit(program: Compilation, { of }: StatementOf<"commit">): void {
  const { machine } = program
  emit(program, (next) => () => {
    const mine = machine.begun[of][machine.lane]!
    mine.groups.push(mine.open)
    mine.open = []
    return next
  })
}

export function addWait(program: Compilation, { of, groups: left }: StatementOf<"wait">): void {
  const { machine } = program
  emit(program, (next) => () => {
    const { groups } = machine.begun[of][machine.lane]!
    while (groups.length > left) for (const end of groups.shift()!) end()
    return next
  })
}

export function addCopy(program: Compilation, { to: given, from: source, width, valid }: StatementOf<"copy">): void {
  const { machine } = program
  const [to, from] = [arrayOf(program, given.array), arrayOf(program, source.array)]
  const [at, start] = [value(program, given.offset), value(program, source.offset)]
  const isValid = valid === undefined ? undefined : value(program, valid)
  to.asynchronous = true
  emit(program, (next) => () => {
    const values = isValid === undefined || isValid() ? fetched(machine, from, start, width) : new Float64Array(width)
    beginCopy(machine, to, at(), values)
    return next
  })
}

function fetched(machine: Machine, from: ArrayState, start: Value, width: number): Float64Array {
  const first = start()
  if (from.waits) checkAwaited(machine, from)
  checkRange(machine, from, first, width)
  return Float64Array.from({ length: width }, (_, i) => readArray(machine, from, first + i))
}

const beginCopy = (machine: Machine, to: ArrayState, at: number, values: Float64Array): unknown =>
  begin(machine, "copies", markCopy(machine, to, at, values))

/** Marks what a copy will write, and answers what ends it. */
export function markCopy(machine: Machine, to: ArrayState, at: number, values: Float64Array): () => void {
  checkRange(machine, to, at, values.length)
  const underway = to.underway!
  for (let i = at; i < at + values.length; i++) {
    checkUnderway(machine, to, underway, i, "write")
    checkRaces(machine, to, i, "write")
    underway.writer[i] = writers.copy
  }
  return () => {
    underway.writer.fill(writers.nothing, at, at + values.length)
    for (const [i, x] of values.entries()) writeArray(machine, to, at + i, x)
  }
}
