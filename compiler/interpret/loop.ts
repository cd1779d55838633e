/**
 * The interpreter of the loop language: runs a kernel as a device would, and fails where a device would only go wrong silently.
 *
 *   const y = allocateBuffer("f32", "f32", 8)
 *   interpretLoop(kernel, new Map([["x", memoryOf("f32", [1, 2, 3])], ["y", y]]), new Map([["length", 3]]))
 *   y.values   // what the kernel stored; or a LoopFault: "lane 1 and lane 0 touch tile[3] without a barrier between, in: tile[i] = …"
 *
 * Workgroups run one after the other. The lanes of a workgroup take turns of one statement to eight, in a random order that a seed repeats, and go
 * on into the next iteration of the grid without waiting for each other. What stands in front of a grid loop that is in the lane loop is run once
 * by each workgroup. A lane that comes to a barrier waits for all lanes, one that comes
 * to a shuffle waits for its partner, and one that comes to something a group does together for its group. The kernel is expected to pass `verifyLoop`.
 *
 * f32 is rounded after every operation, a product before its sum too. With `float64`
 * nothing is rounded but integers: then arrays are float64 too, and buffers should be allocated with the storage `f64`.
 */
import { extentAt, symbolsOf } from "../ir/dim.js"
import type { LoopBuffer, LoopKernel } from "../ir/loop.js"
import { type ArrayState, accesses, beforeCells, fault, type Machine } from "./loop-machine.js"
import { type Meeting, type Program, wait } from "./loop-program.js"
import { compileLoop } from "./loop-statements.js"
import { allocateBuffer, type Memory } from "./memory.js"
import { beginNoBoxes, checkNoBoxes } from "./underway/boxes.js"
import { beginNothing, checkNothingBegun } from "./underway/pending.js"
import type { Adder } from "./units.js"

export { LoopFault, type LoopFaultCode } from "./loop-machine.js"

export interface LoopOptions {
  /** Workgroups to run instead of `kernel.groups`; results must not depend on it. */
  readonly groups?: number
  /** f32 stays unrounded. */
  readonly float64?: boolean
  /** Another order of the lanes. */
  readonly seed?: number
  /** Lanes of a subgroup: a shuffle across more is a fault. */
  readonly subgroup?: number
  /** The contents of buffers with access `write` count as stored before the launch. */
  readonly trustWriteBuffers?: boolean
  /** How matrix units add; each sum of a product is rounded when left out, or with `float64`. */
  readonly adder?: Adder
}

const programs = { true: new WeakMap<LoopKernel, Program>(), false: new WeakMap<LoopKernel, Program>() }

/** Runs all workgroups of one launch. @throws LoopFault */
export function interpretLoop(
  kernel: LoopKernel,
  buffers: ReadonlyMap<string, Memory>,
  symbols: ReadonlyMap<string, number>,
  options: LoopOptions = {},
): void {
  const float64 = options.float64 ?? false
  const compiled = programs[`${float64}`]
  const program = compiled.get(kernel) ?? compileLoop(kernel, float64)
  compiled.set(kernel, program)
  const { machine } = program
  machine.at = -1
  bind(kernel, program, buffers, symbols, options)
  machine.groups = options.groups ?? kernel.groups
  machine.adder = float64 ? undefined : options.adder
  const random = randomNumbers(options.seed ?? 1)
  for (machine.group = 0; machine.group < machine.groups; machine.group++) {
    machine.phase++
    beginGroup(program, kernel.threads)
    beginNothing(machine, kernel.threads)
    beginNoBoxes(machine, kernel.threads)
    if (kernel.threads === 1) runAlone(program)
    else runTogether(program, kernel.threads, random, options.subgroup ?? kernel.threads)
    checkNothingBegun(machine)
    checkNoBoxes(machine)
  }
}

/** Its lanes know the number of their workgroup, and that they are in front of its cells. */
function beginGroup({ machine, slots, groupSlots }: Program, threads: number): void {
  const { variables, group, groups, gridSlot, awaitedSlot } = machine
  for (let base = 0; base < threads * slots; base += slots) {
    variables[base + groupSlots[0]] = group
    variables[base + groupSlots[1]] = groups
    variables[base + gridSlot] = beforeCells + group
    variables[base + awaitedSlot] = 0
  }
}

/** Gives arrays and symbols their contents for one launch. */
function bind(
  kernel: LoopKernel,
  { machine, arrays, symbols: names, slots }: Program,
  buffers: ReadonlyMap<string, Memory>,
  symbols: ReadonlyMap<string, number>,
  options: LoopOptions,
): void {
  const { threads } = kernel
  machine.variables = new Float64Array(threads * slots)
  machine.base = 0
  machine.lane = 0
  machine.symbols = Float64Array.from(
    names,
    (name) => symbols.get(name) ?? fault(machine, "binding", `the symbol ${name} has no value`),
  )
  for (const [i, array] of arrays.entries()) {
    const buffer = kernel.buffers[i]
    if (buffer !== undefined) bindBuffer(array, buffer, buffers.get(buffer.name), symbols, machine, options)
    else {
      const size = array.space === "register" ? array.size * threads : array.size
      array.memory = allocateBuffer(array.dtype, options.float64 && array.dtype === "f32" ? "f64" : array.storage, size)
      array.values = array.memory.values
      array.stored = new Float64Array(size)
    }
    const elements = array.memory.size
    array.underway = array.asynchronous
      ? {
          writer: new Uint8Array(elements),
          readers: new Uint16Array(elements),
          brought: new Int32Array(elements),
          by: undefined,
        }
      : undefined
    if (array.space === "register" || array.access === "read") continue
    array.lanes = threads > 1 ? accesses(array.size) : undefined
    if (array.space === "buffer") array.grid = accesses(array.size)
  }
}

function bindBuffer(
  array: ArrayState,
  { name, dtype, storage, size, access }: LoopBuffer,
  memory: Memory | undefined,
  symbols: ReadonlyMap<string, number>,
  machine: Machine,
  { trustWriteBuffers = false }: LoopOptions,
): void {
  if (memory === undefined) throw fault(machine, "binding", `the buffer ${name} has no memory`)
  if (memory.dtype !== dtype || (memory.storage !== storage && memory.storage !== "f64"))
    fault(machine, "binding", `the buffer ${name} is ${dtype} as ${storage}, not ${memory.dtype} as ${memory.storage}`)
  for (const symbol of symbolsOf(size))
    if (!symbols.has(symbol)) fault(machine, "binding", `the symbol ${symbol} has no value`)
  array.size = extentAt(size, symbols)
  if (memory.size < array.size)
    fault(machine, "binding", `the buffer ${name} needs ${array.size} elements, not ${memory.size}`)
  array.memory = memory
  array.values = memory.values
  array.stored = new Float64Array(access === "write" && !trustWriteBuffers ? array.size : 0)
}

/** A workgroup of one lane: nobody to wait for. */
function runAlone({ machine, code, meetings }: Program): void {
  let at = 0
  while (at < code.length) {
    machine.at = at
    machine.epoch++
    const next = code[at]!()
    if (next !== wait) at = next
    else {
      const meeting = meetings.get(at)
      if (meeting?.kind === "shuffle") exchange(machine, meeting, 1, 1, 0, 0)
      if (meeting?.kind === "group") fault(machine, "group", `a lane alone is no group of ${meeting.lanes}`)
      if (meeting?.kind === "arrival") fault(machine, "pending", "a lane waits for what it has not begun")
      at++
    }
  }
}

/** Statements of a lane's turn at most. */
const longestTurn = 8

function runTogether(program: Program, lanes: number, random: (below: number) => number, subgroup: number): void {
  const { machine, code, slots } = program
  const places = new Int32Array(lanes)
  const ready = Int32Array.from({ length: lanes }, (_, lane) => lane)
  let count = lanes
  while (count > 0) {
    while (count > 0) {
      const pick = random(count)
      const lane = ready[pick]!
      let at = places[lane]!
      machine.lane = lane
      machine.base = lane * slots
      let next = at
      for (let left = 1 + random(longestTurn); left > 0 && next === at && at < code.length; left--) {
        machine.at = at
        machine.epoch++
        next = code[at]!()
        if (next !== wait) at = next
      }
      places[lane] = at
      if (next === wait || at === code.length) ready[pick] = ready[--count]!
    }
    count = meet(program, places, ready, subgroup)
  }
}

/** All lanes wait or have ended: lets those go on who are complete, into `ready`, and answers how many. */
function meet({ machine, code, meetings, slots }: Program, places: Int32Array, ready: Int32Array, subgroup: number) {
  const waiting = [...places.keys()].filter((lane) => places[lane]! < code.length)
  const [first] = waiting
  if (first === undefined) return 0
  const point = (lane: number) => {
    machine.at = places[lane]!
    return meetings.get(machine.at)!
  }
  const released = waiting.filter((lane) => {
    const meeting = point(lane)
    if (meeting.kind === "arrival") return meeting.isBegun(lane)
    return meeting.kind === "shuffle" && exchange(machine, meeting, places.length, subgroup, lane, slots, places)
  })
  for (let lane = 0; lane < places.length; lane++) {
    const meeting = places[lane]! < code.length ? point(lane) : undefined
    if (meeting?.kind === "group" && gathered(machine, meeting, lane, places, slots)) {
      meeting.run(lane)
      for (let i = 0; i < meeting.lanes; i++) released.push(lane + i)
    }
  }
  if (released.length === 0) {
    const alone = waiting.find((lane) => point(lane).kind === "group")
    if (alone !== undefined) fault(machine, "group", `lane ${alone} waits for lanes of its group that do not come`)
    const vain = waiting.find((lane) => point(lane).kind === "arrival")
    if (vain !== undefined) fault(machine, "pending", `lane ${vain} waits for boxes that nobody has begun`)
    const lost = waiting.find((lane) => point(lane).kind === "shuffle")
    if (lost !== undefined) fault(machine, "shuffle", `lane ${lost} waits for a partner that does not take part`)
    const barrier = point(first) as Meeting & { kind: "barrier" }
    const other = [...places.keys()].find((lane) => places[lane] !== places[first])
    if (other !== undefined)
      fault(
        machine,
        "barrier",
        `lane ${first} waits at a barrier, lane ${other} ${places[other]! < code.length ? "at another" : "has ended"}`,
      )
    for (const slot of barrier.counters)
      for (const lane of waiting)
        if (machine.variables[lane * slots + slot] !== machine.variables[first * slots + slot])
          fault(machine, "barrier", `lanes ${first} and ${lane} meet at a barrier in different iterations of a loop`)
    machine.phase++
    released.push(...waiting)
  }
  for (const [i, lane] of released.entries()) {
    places[lane]!++
    ready[i] = lane
  }
  return released.length
}

/** Whether this is the first lane of a group all of which has come to the same. */
function gathered(
  machine: Machine,
  { lanes, from, count, counters }: Meeting & { kind: "group" },
  first: number,
  places: Int32Array,
  slots: number,
): boolean {
  if (first % lanes !== 0 || first + lanes > places.length) return false
  const { variables } = machine
  const differ = (slot: number, lane: number) => variables[lane * slots + slot] !== variables[first * slots + slot]
  for (let lane = first + 1; lane < first + lanes; lane++) if (places[lane] !== places[first]) return false
  for (let lane = first + 1; lane < first + lanes; lane++) {
    if (counters.some((slot) => differ(slot, lane)))
      fault(machine, "group", `lanes ${first} and ${lane} come in different iterations of a loop`)
    for (let i = 0; i < count; i++)
      if (differ(from + i, lane))
        fault(machine, "group", `lanes ${first} and ${lane} of a group give different offsets`)
  }
  return true
}

/** Takes the partner's value, if the partner has come to the same shuffle. */
function exchange(
  machine: Machine,
  { from, to, width, mask }: Meeting & { kind: "shuffle" },
  lanes: number,
  subgroup: number,
  lane: number,
  slots: number,
  places?: Int32Array,
): boolean {
  const partner = lane ^ mask
  if (mask >= subgroup && mask > 0) fault(machine, "shuffle", `lanes ${lane} and ${partner} are not in one subgroup`)
  if (partner >= lanes) fault(machine, "shuffle", `lane ${lane} has no partner: there are ${lanes} lanes`)
  if (places !== undefined && places[partner] !== places[lane]) return false
  for (let i = 0; i < width; i++)
    machine.variables[lane * slots + to + i] = machine.variables[partner * slots + from + i]!
  return true
}

/** Whole numbers below a bound: xorshift, so that a seed repeats a run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed | 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
