/**
 * Boxes while a loop kernel is interpreted: the first lane begins to copy them for all, and every lane waits for each group.
 *
 *   copy boxes 3 of arrivals   reads the boxes at once, and marks where they go: whoever touches that before they have arrived is at fault
 *   arrived 3 of arrivals      a lane stays until group 3 is begun; the first to pass carries it out, as stores of the workgroup's first lane
 *   copy boxes 7 of arrivals, the last lane     of 4 places: a lane has left that of group 3, and reads nothing of it any more; when all have, it is taken
 *
 * What a group has brought is there for each lane that has waited. Hardware knows of each place only whether an even or an odd number of groups has arrived there. So lanes wait for all groups in order, and a group
 * begins in the place of another when every lane has waited for that.
 */
import type { BoxCopy, StatementOf } from "../../ir/loop.js"
import type { Value } from "../loop-expressions.js"
import {
  type ArrayState,
  type Arrivals,
  checkAwaited,
  checkRange,
  fault,
  type Machine,
  readArray,
  writers,
} from "../loop-machine.js"
import { arrayOf, type Compilation, emit, reserve, value, wait } from "../loop-program.js"
import { writeElement } from "../memory.js"
import { markCopy } from "./pending.js"

/** Nothing is under way in a workgroup that begins. */
export function beginNoBoxes({ arrivals }: Machine, threads: number): void {
  for (const a of arrivals) {
    a.groups.length = 0
    a.there = 0
    a.passed = new Int32Array(threads)
    a.left = new Int32Array(threads)
  }
}

/** Faults when a lane goes on without having waited for what was begun. */
function checkPassed(machine: Machine, { groups, passed }: Arrivals): void {
  const lane = passed.findIndex((n) => n < groups.length)
  if (lane >= 0)
    fault(machine, "pending", `${groups.length} groups of boxes are begun, and lane ${lane} waits for ${passed[lane]}`)
}

export function checkNoBoxes(machine: Machine): void {
  for (const a of machine.arrivals) checkPassed(machine, a)
}

export function addArrivals(program: Compilation, { name, places }: StatementOf<"arrivals">): void {
  const { machine, meetings, counters } = program
  const made: Arrivals = { places, groups: [], there: 0, passed: new Int32Array(0), left: new Int32Array(0) }
  machine.arrivals.push(made)
  program.liveArrivals.set(name, made)
  // Those of the cell before have all been waited for; then lanes come together, so that none is still there.
  const reset = (next: number) => () => {
    if (made.passed[machine.lane]! < made.groups.length) checkPassed(machine, made)
    return next
  }
  emit(program, reset)
  meetings.set(program.code.length, { kind: "barrier", counters: [...counters] })
  emit(program, () => () => wait)
  emit(program, (next) => () => {
    // The last lane to have waited for all of them is the first to come here: nothing is begun before all are behind the next meeting.
    made.passed[machine.lane] = made.left[machine.lane] = 0
    if (machine.lane === 0) made.groups.length = made.there = 0
    return next
  })
  meetings.set(program.code.length, { kind: "barrier", counters: [...counters] })
  emit(program, () => () => wait)
}

const arrivalsOf = (program: Compilation, name: string): Arrivals =>
  program.liveArrivals.get(name) ?? fault(program.machine, "malformed", `nothing arrives at '${name}'`)

export function addCopyBoxes(program: Compilation, s: StatementOf<"copyBoxes">): void {
  const { machine } = program
  const arrivals = arrivalsOf(program, s.arrivals)
  const number = value(program, s.number)
  const copies = s.boxes.map((box) => compileBox(program, box, arrivals))
  emit(program, (next) => () => {
    if (s.last !== true && machine.lane !== 0) return next
    const [n, { groups, places, passed }] = [number(), arrivals]
    if (s.last === true && !leave(machine, arrivals, n - places)) return next
    if (n !== groups.length) fault(machine, "pending", `group ${n} is begun where ${groups.length} comes next`)
    const late = passed.findIndex((done) => done <= n - places)
    if (late >= 0)
      fault(machine, "pending", `group ${n} takes the place of ${n - places}, for which lane ${late} has not waited`)
    groups.push(copies.map((begin) => begin(n, s.last === true ? n - places : undefined)))
    return next
  })
}

/** A lane leaves the place of a group; answers whether it is the last one. */
function leave(machine: Machine, { passed, left }: Arrivals, group: number): boolean {
  const { lane } = machine
  if (group !== left[lane])
    fault(machine, "pending", `lane ${lane} leaves the place of group ${group} where that of ${left[lane]} comes next`)
  if (passed[lane]! <= group)
    fault(machine, "pending", `lane ${lane} leaves the place of group ${group}, for which it has not waited`)
  left[lane] = group + 1
  return left.every((n) => n > group)
}

/** Begins the copy of a box of a group, where another was that all lanes have left, and answers what ends it. */
function compileBox(
  program: Compilation,
  { to: given, from: box }: BoxCopy,
  arrivals: Arrivals,
): (group: number, before: number | undefined) => () => void {
  const { machine } = program
  const [to, from] = [arrayOf(program, given.array), arrayOf(program, box.array)]
  const [at, row, column] = [given.offset, box.row, box.column].map((x) => value(program, x)) as [Value, Value, Value]
  to.asynchronous = true
  return (group, before) => {
    const [first, left] = [row(), column()]
    if (from.waits) checkAwaited(machine, from)
    const values = Float64Array.from({ length: box.height * box.width }, (_, i) => {
      const [r, c] = [first + Math.floor(i / box.width), left + (i % box.width)]
      if (r < 0 || r >= box.rows || c < 0 || c >= box.columns) return 0
      return elementAt(machine, from, r * box.stride + c)
    })
    const start = at()
    if (before !== undefined) forget(to, start, values.length, before)
    markCopy(machine, to, start, values)
    const underway = to.underway!
    underway.by = arrivals
    // Others may not have touched it; but they may as soon as they have waited.
    to.lanes?.writer.fill(0, start, start + values.length)
    return () => bring(machine, to, start, values, group)
  }
}

/** Who touched what a group brought did so before leaving its place. */
function forget({ lanes, underway }: ArrayState, start: number, count: number, group: number): void {
  if (lanes === undefined) return
  const { writer, reader, adder } = lanes
  for (let at = start; at < start + count; at++)
    if (underway!.brought[at] === group + 1) writer[at] = reader[at] = adder[at] = 0
}

/** What a group of boxes has brought is there. */
function bring(machine: Machine, to: ArrayState, start: number, values: Float64Array, group: number): void {
  const { writer, brought } = to.underway!
  const end = start + values.length
  writer.fill(writers.nothing, start, end)
  to.stored.fill(machine.variables[machine.base + to.lifeSlot]!, start, end)
  for (const [i, x] of values.entries()) writeElement(to.memory, start + i, x)
  brought.fill(group + 1, start, end)
}

function elementAt(machine: Machine, from: ArrayState, at: number): number {
  checkRange(machine, from, at, 1)
  return readArray(machine, from, at)
}

export function addArrived(program: Compilation, s: StatementOf<"arrived">): void {
  const { machine, meetings } = program
  const arrivals = arrivalsOf(program, s.arrivals)
  const number = value(program, s.number)
  const slot = reserve(program, 1)
  const isBegun = (lane: number) => machine.variables[lane * program.slots + slot]! < arrivals.groups.length
  meetings.set(program.code.length, { kind: "arrival", isBegun })
  emit(program, (next) => () => {
    const n = number()
    const due = arrivals.passed[machine.lane]!
    if (n !== due) fault(machine, "pending", `group ${n} is waited for where ${due} comes next`)
    machine.variables[machine.base + slot] = n
    return n < arrivals.groups.length ? next : wait
  })
  emit(program, (next) => () => {
    const { lane, base } = machine
    const n = arrivals.passed[lane]!++
    if (n < arrivals.there) return next
    machine.lane = 0
    machine.base = 0
    for (const end of arrivals.groups[n]!) end()
    arrivals.there++
    machine.lane = lane
    machine.base = base
    return next
  })
}
