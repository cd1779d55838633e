/**
 * Statements of the loop language as a flat list of instructions, so that a lane can stop and go on anywhere.
 *
 *   for i < 4 serial {      0: i = 0; limit = 4; 0 < limit ? 1 : 3
 *     y[i] = x[i]           1: store; 2
 *   }                       2: i = i + 1; i < limit ? 1 : 3
 *   barrier                 3: wait
 *
 * An instruction executes for the machine's current lane and answers which is next; `wait` leaves the lane where it is until the scheduler
 * has all whom it waits for.
 */

import { isOpaque } from "../ir/fragments/atoms.js"
import { type LoopKernel, type Statement, workgroupNames } from "../ir/loop.js"
import { everyStatement } from "../ir/loop-visit.js"
import { addDrain, addFill, addMultiply } from "./fragments.js"
import { sharedNodes } from "./loop-expressions.js"
import { addToArray, checkAwaited, checkRange, newArray, newMachine, writeArray } from "./loop-machine.js"
import {
  arrayOf,
  type Compilation,
  declare,
  declareArray,
  emit,
  emitSet,
  lanesOf,
  type Program,
  reserve,
  setter,
  slotOf,
  symbolOf,
  value,
  wait,
} from "./loop-program.js"
import { addArrivals, addArrived, addCopyBoxes } from "./underway/boxes.js"
import { addCommit, addCopy, addWait } from "./underway/pending.js"

export function compileLoop(kernel: LoopKernel, float64: boolean): Program {
  const machine = newMachine()
  const names = {
    slotOf: (name: string) => slotOf(program, name),
    arrayOf: (name: string) => arrayOf(program, name),
    symbolOf: (name: string) => symbolOf(program, name),
  }
  const program: Compilation = {
    machine,
    code: [],
    meetings: new Map(),
    arrays: [],
    symbols: [],
    slots: workgroupNames.length,
    groupSlots: [0, 1],
    slotsByName: new Map(),
    variables: new Map(workgroupNames.map((name, i) => [name, i])),
    liveArrays: new Map(),
    everArrays: new Set(),
    liveArrivals: new Map(),
    counters: [],
    expressions: { machine, names, shared: sharedNodes(kernel.body), float64, compiled: new Map() },
    statement: { kind: "barrier" },
  }
  const early = everyStatement(kernel.body).some((s) => s.kind === "await")
  machine.awaitedSlot = reserve(program, 1)
  for (const b of kernel.buffers)
    declareArray(program, newArray(b.name, b.storage, "buffer", b.access, -1, 0, early && b.steady !== true))
  scope(program, kernel.body)
  return program
}

function scope(program: Compilation, body: readonly Statement[]): void {
  const [variablesBefore, arraysBefore] = [new Set(program.variables.keys()), new Set(program.liveArrays.keys())]
  for (const s of body) add(program, s)
  for (const name of program.variables.keys()) if (!variablesBefore.has(name)) program.variables.delete(name)
  for (const name of program.liveArrays.keys()) if (!arraysBefore.has(name)) program.liveArrays.delete(name)
}

function add(program: Compilation, s: Statement): void {
  const { machine } = program
  program.statement = s
  machine.at = program.code.length
  machine.statements[program.code.length] = s
  switch (s.kind) {
    case "for":
      addFor(program, s)
      break
    case "if":
      addIf(program, s)
      break
    case "block":
      scope(program, s.body)
      break
    case "let": {
      const values = lanesOf(program, s.value)
      emitSet(program, declare(program, s.name, s.value.width), values)
      break
    }
    case "assign":
      emitSet(program, slotOf(program, s.name), lanesOf(program, s.value))
      break
    case "alloc": {
      const life = reserve(program, 1)
      declareArray(program, newArray(s.name, s.storage ?? s.dtype, s.space, "readwrite", life, s.size))
      const shared = s.space === "shared"
      emit(program, (next) => () => {
        const { variables, base } = machine
        variables[base + life] = shared ? variables[base + machine.gridSlot]! + 1 : ++machine.lives
        return next
      })
      if (s.layout?.operand === "c" && isOpaque(s.layout.atom, "c")) addZeros(program, s)
      break
    }
    case "store":
      addStore(program, s)
      break
    case "shuffle": {
      const [values, from, to] = [
        lanesOf(program, s.value),
        reserve(program, s.value.width),
        declare(program, s.name, s.value.width),
      ]
      program.meetings.set(program.code.length, { kind: "shuffle", from, to, width: s.value.width, mask: s.mask })
      emit(program, () => setter(program, from, values, wait))
      break
    }
    case "await":
      emitSet(program, machine.awaitedSlot, [() => 1])
      break
    case "release":
      break
    case "prefetch":
      addPrefetch(program, s)
      break
    case "barrier":
      program.meetings.set(program.code.length, { kind: "barrier", counters: [...program.counters] })
      emit(program, () => () => wait)
      break
    case "multiply":
      addMultiply(program, s)
      break
    case "fill":
      addFill(program, s)
      break
    case "drain":
      addDrain(program, s)
      break
    case "copy":
      addCopy(program, s)
      break
    case "arrivals":
      addArrivals(program, s)
      break
    case "copyBoxes":
      addCopyBoxes(program, s)
      break
    case "arrived":
      addArrived(program, s)
      break
    case "commit":
      addCommit(program, s)
      break
    case "wait":
      addWait(program, s)
      break
    default:
      s satisfies never
  }
}

function addFor(program: Compilation, s: Statement & { kind: "for" }): void {
  const { machine } = program
  const extent = value(program, s.extent)
  const limit = reserve(program, 1)
  const slot = declare(program, s.variable, 1)
  if (s.bind === "lane")
    emit(program, (next) => () => {
      machine.variables[machine.base + slot] = machine.lane
      return next
    })
  if (s.bind === "grid") machine.gridSlot = slot
  let end = 0
  const grid = s.bind === "grid"
  if (s.bind !== "lane") {
    program.counters.push(slot)
    emit(program, (next) => () => {
      const { variables, base } = machine
      const first = grid ? machine.group : 0
      variables[base + slot] = first
      variables[base + limit] = extent()
      return first < variables[base + limit]! ? next : end
    })
  }
  const start = program.code.length
  scope(program, s.body)
  program.variables.delete(s.variable)
  if (s.bind === "lane") return
  program.counters.pop()
  program.statement = s
  emit(program, () => () => {
    const { variables, base } = machine
    const index = variables[base + slot]! + (grid ? machine.groups : 1)
    variables[base + slot] = index
    return index < variables[base + limit]! ? start : end
  })
  end = program.code.length
}

function addIf(program: Compilation, s: Statement & { kind: "if" }): void {
  const condition = value(program, s.condition)
  let [otherwise, end] = [0, 0]
  emit(program, (next) => () => (condition() ? next : otherwise))
  scope(program, s.body)
  if (s.otherwise.length > 0) {
    program.statement = s
    emit(program, () => () => end)
  }
  otherwise = program.code.length
  scope(program, s.otherwise)
  end = program.code.length
}

/** Nothing is read, but what is asked for has to be there. */
function addPrefetch(program: Compilation, s: Statement & { kind: "prefetch" }): void {
  const { machine } = program
  const [array, offset] = [arrayOf(program, s.array), value(program, s.offset)]
  emit(program, (next) => () => {
    if (array.waits) checkAwaited(machine, array)
    checkRange(machine, array, offset(), s.width)
    return next
  })
}

/** Results that no statement can store to. */
function addZeros(program: Compilation, s: Statement & { kind: "alloc" }): void {
  const array = arrayOf(program, s.name)
  emit(program, (next) => () => {
    for (let at = 0; at < s.size; at++) writeArray(program.machine, array, at, 0)
    return next
  })
}

function addStore(program: Compilation, s: Statement & { kind: "store" }): void {
  const { machine } = program
  const [array, offset, values] = [arrayOf(program, s.array), value(program, s.offset), lanesOf(program, s.value)]
  const made = new Float64Array(values.length)
  emit(program, (next) => () => {
    const at = offset()
    for (let i = 0; i < values.length; i++) made[i] = values[i]!()
    if (array.waits) checkAwaited(machine, array)
    checkRange(machine, array, at, values.length)
    if (s.adds === true) addToArray(machine, array, at, made[0]!)
    else for (let i = 0; i < values.length; i++) writeArray(machine, array, at + i, made[i]!)
    return next
  })
}
