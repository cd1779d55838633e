/**
 * What a running loop kernel consists of: the lanes' variables, the arrays with their access records, and the faults.
 *
 * Lanes share one `Machine`; the scheduler points `lane` and `base` at the lane whose turn it is. Every name has a slot:
 *
 *   variables:  [ lane 0: row i total … | lane 1: row i total … | … ]        slot s of lane l is at l * slots + s
 *
 * An array element remembers who touched it since the last barrier (lanes) and in the whole launch (grid iterations), so that a race is
 * reported whatever the order of execution happens to be. Two iterations of the grid count as two workgroups, even when one workgroup runs
 * both: a kernel must be right for any number of groups. So what a workgroup does before its cells is an iteration of its own.
 */
import { type LoopBuffer, type Pending, type Statement, type Storage, storageType } from "../ir/loop.js"
import type { DType } from "../ir/operations.js"
import { printStatement } from "../ir/print/loop.js"
import { allocateBuffer, type Memory, writeElement } from "./memory.js"
import type { Adder } from "./units.js"

export type LoopFaultCode =
  | "uninitialised" /* an element is read before it is stored */
  | "race" /* two lanes touch an element, one of them writes, and no barrier lies between */
  | "grid-race" /* two iterations of the grid touch an element of a buffer and one of them writes */
  | "out-of-range" /* an offset outside of the array at the current symbols */
  | "misaligned" /* the offset of a vector access is not a multiple of its width */
  | "read-only" /* a store to a buffer with access `read` */
  | "division" /* floordiv or floormod by something that is not positive */
  | "barrier" /* lanes wait at different barriers, or some have ended */
  | "shuffle" /* the partner does not exist, is in another subgroup or does not take part */
  | "group" /* lanes of a group do not come together, or ask for different things */
  | "pending" /* what is under way is touched before it was waited for, or left behind */
  | "early" /* what earlier launches may write is touched before they are waited for */
  | "binding" /* a buffer or symbol is missing or does not fit */
  | "malformed" /* what the verifier would have refused */

/** A program did what no device may be asked to do. `statement` is the line of the loop text. */
export class LoopFault extends Error {
  readonly code: LoopFaultCode
  readonly statement: string

  constructor(code: LoopFaultCode, message: string, statement: string) {
    super(statement === "" ? message : `${message}, in: ${statement}`)
    this.name = "LoopFault"
    this.code = code
    this.statement = statement
  }
}

/** Who touched each element: the last writer, reader and adder of the current period, or `many` of them. */
export interface Accesses {
  readonly writer: Float64Array
  readonly reader: Float64Array
  /** The last who added to it. */
  readonly adder: Float64Array
}

export const accesses = (size: number): Accesses => ({
  writer: new Float64Array(size),
  reader: new Float64Array(size),
  adder: new Float64Array(size),
})

type Touch = "read" | "write" | "add"

/** An array of the kernel; one object per declaration, its contents replaced at each launch. */
export interface ArrayState {
  readonly name: string
  readonly dtype: DType
  readonly storage: Storage
  readonly space: "buffer" | "shared" | "register"
  readonly access: LoopBuffer["access"]
  /** Whether launches that have not ended may write it. */
  readonly waits: boolean
  /** The variable that holds the number of the current life of the contents; −1 for a buffer, which lives once. */
  readonly lifeSlot: number
  size: number
  memory: Memory
  values: Memory["values"]
  /** The life in which each element was stored last; empty when contents are defined from the start. */
  stored: Float64Array
  /** Between barriers, by lane; undefined when no other lane sees the array or nobody writes it. */
  lanes: Accesses | undefined
  /** In the launch, by grid iteration. */
  grid: Accesses | undefined
  /** Whether copies or asynchronous products touch it, and what they do to its elements at present. */
  asynchronous: boolean
  underway: Underway | undefined
}

/** Of each element: what will write it, and how many products may still read it. */
export interface Underway {
  readonly writer: Uint8Array
  readonly readers: Uint16Array
  /** 1 + the number of the group of boxes that brought an element, and where that arrived; 0: nobody but lanes. */
  readonly brought: Int32Array
  by: Arrivals | undefined
}

/** What will write an element. */
export const writers = { nothing: 0, copy: 1, product: 2 } as const

const nothing = new Float64Array(0)

/** An array before a launch gives it contents. */
export function newArray(
  name: string,
  storage: Storage,
  space: ArrayState["space"],
  access: ArrayState["access"],
  lifeSlot: number,
  size: number,
  waits = false,
): ArrayState {
  const dtype = storageType(storage)
  const memory = allocateBuffer(dtype, storage, 0)
  const { values } = memory
  return {
    name,
    dtype,
    storage,
    space,
    access,
    waits,
    lifeSlot,
    size,
    memory,
    values,
    stored: nothing,
    lanes: undefined,
    grid: undefined,
    asynchronous: false,
    underway: undefined,
  }
}

/** What a lane has begun and not waited for: each entry ends it. */
export interface Begun {
  /** Since the last `commit`. */
  open: (() => void)[]
  /** The oldest first. */
  groups: (() => void)[][]
}

/** Where groups of boxes arrive. */
export interface Arrivals {
  readonly places: number
  /** What ends each group that was begun, the oldest first. */
  readonly groups: (readonly (() => void)[])[]
  /** Groups that have arrived. */
  there: number
  /** Groups that each lane has waited for. */
  passed: Int32Array
  /** Groups whose places each lane has left. */
  left: Int32Array
}

export interface Machine {
  variables: Float64Array
  /** Where the current lane's variables start. */
  base: number
  lane: number
  /** Counts executed statements: values cached for sharing inside of one statement carry it. */
  epoch: number
  /** Counts barriers passed, over all workgroups. */
  phase: number
  /** Counts lives of register arrays. */
  lives: number
  /** The slot of the grid's variable, and that which is 1 when a lane has waited for earlier launches. */
  gridSlot: number
  awaitedSlot: number
  /** The values of the size symbols, in the order in which the compiled code numbered them. */
  symbols: Float64Array
  /** The workgroup that runs, and how many there are. */
  group: number
  groups: number
  /** How matrix units add; each sum of a product is rounded when undefined. */
  adder: Adder | undefined
  /** What each lane has begun. */
  begun: Readonly<Record<Pending, Begun[]>>
  readonly arrivals: Arrivals[]
  /** The instruction that the current lane executes, and the statement of each. */
  at: number
  statements: Statement[]
}

export const newMachine = (): Machine => ({
  variables: new Float64Array(0),
  base: 0,
  lane: 0,
  epoch: 0,
  phase: 1,
  lives: 0,
  gridSlot: 0,
  awaitedSlot: 0,
  symbols: new Float64Array(0),
  group: 0,
  groups: 1,
  adder: undefined,
  begun: { copies: [], products: [] },
  arrivals: [],
  at: 0,
  statements: [],
})

export function fault(machine: Machine, code: LoopFaultCode, message: string): never {
  const statement = machine.statements[machine.at]
  throw new LoopFault(code, message, statement === undefined ? "" : printStatement(statement))
}

/** More lanes than any device has in a workgroup; the last number stands for "more than one". */
const maximumLanes = 4096
/** The number of a lane for what all lanes of a group read together. */
export const manyLanes = maximumLanes - 1
const manyGrids = Number.MAX_SAFE_INTEGER
/** The iteration of the grid in which the first workgroup is before its cells; beyond all others. */
export const beforeCells = 2 ** 40
const spelledCell = (cell: number) => (cell < beforeCells ? `${cell}` : "what is before them")

/** Reads an element for the current lane. The caller has checked the range. */
export function readArray(machine: Machine, array: ArrayState, offset: number): number {
  const at = elementOf(machine, array, offset)
  if (array.underway !== undefined) {
    checkUnderway(machine, array, array.underway, at, "read")
    if (machine.lane !== manyLanes) checkArrived(machine, array, array.underway, at, machine.lane)
  }
  if (array.stored.length > 0) {
    const life = array.lifeSlot < 0 ? 1 : machine.variables[machine.base + array.lifeSlot]
    if (array.stored[at] !== life) {
      checkRaces(machine, array, at, "read")
      fault(machine, "uninitialised", `${array.name}[${offset}] is read before it is stored`)
    }
  }
  if (array.lanes !== undefined || array.grid !== undefined) checkRaces(machine, array, at, "read")
  return array.values[at]!
}

/** Writes an element for the current lane. The caller has checked the range. */
export function writeArray(machine: Machine, array: ArrayState, offset: number, value: number): void {
  if (array.access === "read") fault(machine, "read-only", `${array.name} is read-only`)
  const at = elementOf(machine, array, offset)
  if (array.underway !== undefined) {
    checkUnderway(machine, array, array.underway, at, "write")
    array.underway.brought[at] = 0
  }
  if (array.stored.length > 0)
    array.stored[at] = array.lifeSlot < 0 ? 1 : machine.variables[machine.base + array.lifeSlot]!
  if (array.lanes !== undefined || array.grid !== undefined) checkRaces(machine, array, at, "write")
  writeElement(array.memory, at, value)
}

/** Where in its memory the current lane finds an element. */
export const elementOf = (machine: Machine, array: ArrayState, offset: number): number =>
  array.space === "register" ? machine.lane * array.size + offset : offset

/** Faults when an element is touched that something under way writes, or stored to while a product may still read it. */
export function checkUnderway(machine: Machine, array: ArrayState, underway: Underway, at: number, touch: Touch): void {
  const writer = underway.writer[at]
  if (writer !== writers.nothing) {
    const what = writer === writers.copy ? "a copy to it" : "the product that it is part of"
    fault(machine, "pending", `${array.name}[${at}] is touched while ${what} is under way`)
  }
  if (touch === "write" && underway.readers[at] !== 0)
    fault(machine, "pending", `${array.name}[${at}] is stored to while a product that reads it is under way`)
}

/** Faults when a lane reads what a group of boxes brought for which it has not waited, or whose place it has left. */
export function checkArrived(machine: Machine, array: ArrayState, underway: Underway, at: number, lane: number): void {
  const group = underway.brought[at]!
  if (group === 0) return
  const { passed, left } = underway.by!
  const why = group > passed[lane]! ? "unwaited for" : group <= left[lane]! ? "whose place it has left" : undefined
  if (why === undefined) return
  const what = `${array.name}[${at}], which group ${group - 1} of boxes brought`
  fault(machine, "pending", `lane ${lane} reads ${what}, ${why}`)
}

/** Adds to an element for the current lane. The caller has checked the range. */
export function addToArray(machine: Machine, array: ArrayState, offset: number, value: number): void {
  const life = array.lifeSlot < 0 ? 1 : machine.variables[machine.base + array.lifeSlot]
  if (array.stored.length > 0 && array.stored[offset] !== life)
    fault(machine, "uninitialised", `${array.name}[${offset}] is added to before it is stored`)
  if (array.underway !== undefined) checkUnderway(machine, array, array.underway, offset, "write")
  if (array.lanes !== undefined) checkRaces(machine, array, offset, "add")
  writeElement(array.memory, offset, array.values[offset]! + value)
}

/** Faults unless `width` elements from `offset` lie in the array, aligned to their number. */
export function checkRange(machine: Machine, array: ArrayState, offset: number, width: number): void {
  if (!(offset >= 0 && offset + width <= array.size))
    fault(machine, "out-of-range", `${spelled(array, offset, width)} is outside of its ${array.size} elements`)
  if (width > 1 && offset % width !== 0)
    fault(machine, "misaligned", `${spelled(array, offset, width)} does not start at a multiple of ${width}`)
}

/** Faults when launches that may write the array have not been waited for. */
export function checkAwaited(machine: Machine, array: ArrayState): void {
  if (machine.variables[machine.base + machine.awaitedSlot] !== 1)
    fault(machine, "early", `${array.name} is touched before the launches that may write it have ended`)
}

const spelled = (array: ArrayState, offset: number, width: number) =>
  `${array.name}[${offset}${width > 1 ? ` : ${width}` : ""}]`

/** Notes that the current lane touches an element. Faults when others do, and no barrier lies between. */
export function checkRaces(machine: Machine, array: ArrayState, at: number, touch: Touch): void {
  if (array.lanes !== undefined) {
    const floor = machine.phase * maximumLanes
    const other = note(array.lanes, touch, at, floor, floor + machine.lane, floor + maximumLanes - 1)
    if (other >= 0) {
      const spelled = (lane: number) => (lane === manyLanes ? "other lanes" : `lane ${lane}`)
      const who = `${spelled(machine.lane)} and ${spelled(other - floor)}`
      fault(machine, "race", `${who} touch ${array.name}[${at}] without a barrier between`)
    }
  }
  if (array.grid !== undefined) {
    const me = machine.variables[machine.base + machine.gridSlot]! + 1
    const other = note(array.grid, touch, at, 1, me, manyGrids)
    if (other >= 0) {
      const who = other === manyGrids ? "others" : spelledCell(other - 1)
      fault(
        machine,
        "grid-race",
        `grid iterations ${spelledCell(me - 1)} and ${who} touch ${array.name}[${at}] in one launch`,
      )
    }
  }
}

/**
 * Notes that `me` touches an element and answers who else did in a way that conflicts, or −1. Entries below `floor` are of an earlier
 * period and count as empty. Readings go with readings, and additions with additions.
 */
function note(a: Accesses, touch: Touch, at: number, floor: number, me: number, many: number): number {
  const { writer, reader, adder } = a
  const other = (who: Float64Array) => (who[at]! >= floor && who[at] !== me ? who[at]! : -1)
  const w = other(writer)
  if (w >= 0) return w
  const r = touch === "read" ? -1 : other(reader)
  if (r >= 0) return r
  const s = touch === "add" ? -1 : other(adder)
  if (s >= 0) return s
  const mine = touch === "read" ? reader : touch === "write" ? writer : adder
  mine[at] = mine[at]! >= floor && mine[at] !== me ? many : me
  return -1
}
