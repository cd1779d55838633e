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

import type { LoopKernel, Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import { type ExpressionCompiler, expressionCompiler, sharedNodes, type Value } from "./loop-expressions.js"
import { type ArrayState, checkRange, fault, type Machine, newArray, newMachine, writeArray } from "./loop-machine.js"

/** Executes for the machine's current lane and answers which instruction is next. */
type Instruction = () => number

export const wait = -1

/** What the scheduler must know of an instruction that waits. */
export type Meeting =
  /** `counters` are the slots of the loops around, which must agree. */
  | { readonly kind: "barrier"; readonly counters: readonly number[] }
  /** Each lane has left its value at `from` and finds its partner's at `to`. */
  | {
      readonly kind: "shuffle"
      readonly from: number
      readonly to: number
      readonly width: number
      readonly mask: number
    }

export interface Program {
  readonly machine: Machine
  readonly code: readonly Instruction[]
  readonly meetings: ReadonlyMap<number, Meeting>
  /** All arrays; the buffers first, in the kernel's order. */
  readonly arrays: readonly ArrayState[]
  readonly symbols: readonly string[]
  /** Numbers that a lane holds. */
  readonly slots: number
}

export function compileLoop(kernel: LoopKernel, float64: boolean): Program {
  const machine = newMachine()
  const code: Instruction[] = []
  const meetings = new Map<number, Meeting>()
  const arrays: ArrayState[] = []
  const symbols: string[] = []
  let slots = 0
  const slotsByName = new Map<string, number>()
  const variables = new Map<string, number>()
  const liveArrays = new Map<string, ArrayState>()
  const everArrays = new Set<string>()
  const counters: number[] = []

  const reserve = (width: number): number => {
    slots += width
    return slots - width
  }
  /** A name has one slot for each width: scopes side by side share it, and expressions over it stay compiled. */
  const declare = (name: string, width: number): number => {
    if (variables.has(name)) fault(machine, "malformed", `'${name}' is declared twice`)
    const key = `${width} ${name}`
    const slot = slotsByName.get(key) ?? reserve(width)
    slotsByName.set(key, slot)
    variables.set(name, slot)
    return slot
  }
  const declareArray = (array: ArrayState) => {
    if (liveArrays.has(array.name)) fault(machine, "malformed", `'${array.name}' is declared twice`)
    if (everArrays.has(array.name)) expressions.forget()
    everArrays.add(array.name)
    liveArrays.set(array.name, array)
    arrays.push(array)
  }
  const slotOf = (name: string) => variables.get(name) ?? fault(machine, "malformed", `'${name}' is not declared`)
  const arrayOf = (name: string) => liveArrays.get(name) ?? fault(machine, "malformed", `'${name}' is not an array`)
  const symbolOf = (name: string): number => {
    if (!symbols.includes(name)) symbols.push(name)
    return symbols.indexOf(name)
  }
  const expressions: ExpressionCompiler = expressionCompiler(
    machine,
    { slotOf, arrayOf, symbolOf },
    sharedNodes(kernel.body),
    float64,
  )
  const value = (x: Expression): Value => expressions.compile(x)
  const lanesOf = (x: Expression): Value[] => Array.from({ length: x.width }, (_, i) => expressions.compile(x, i))

  for (const b of kernel.buffers) declareArray(newArray(b.name, b.storage, "buffer", b.access, -1, 0))

  let statement: Statement
  const emit = (make: (next: number) => Instruction): void => {
    machine.statements[code.length] = statement
    code.push(make(code.length + 1))
  }
  const scope = (body: readonly Statement[]): void => {
    const [variablesBefore, arraysBefore] = [new Set(variables.keys()), new Set(liveArrays.keys())]
    for (const s of body) add(s)
    for (const name of variables.keys()) if (!variablesBefore.has(name)) variables.delete(name)
    for (const name of liveArrays.keys()) if (!arraysBefore.has(name)) liveArrays.delete(name)
  }

  const add = (s: Statement): void => {
    statement = s
    machine.at = code.length
    machine.statements[code.length] = s
    switch (s.kind) {
      case "for":
        addFor(s)
        break
      case "if":
        addIf(s)
        break
      case "block":
        scope(s.body)
        break
      case "let": {
        const values = lanesOf(s.value)
        emitSet(declare(s.name, s.value.width), values)
        break
      }
      case "assign":
        emitSet(slotOf(s.name), lanesOf(s.value))
        break
      case "alloc": {
        const life = reserve(1)
        declareArray(newArray(s.name, s.storage ?? s.dtype, s.space, "readwrite", life, s.size))
        const shared = s.space === "shared"
        emit((next) => () => {
          const { variables, base } = machine
          variables[base + life] = shared ? variables[base + machine.gridSlot]! + 1 : ++machine.lives
          return next
        })
        break
      }
      case "store": {
        const [array, offset, values] = [arrayOf(s.array), value(s.offset), lanesOf(s.value)]
        const made = new Float64Array(values.length)
        emit((next) => () => {
          const at = offset()
          for (let i = 0; i < values.length; i++) made[i] = values[i]!()
          checkRange(machine, array, at, values.length)
          for (let i = 0; i < values.length; i++) writeArray(machine, array, at + i, made[i]!)
          return next
        })
        break
      }
      case "shuffle": {
        const [values, from, to] = [lanesOf(s.value), reserve(s.value.width), declare(s.name, s.value.width)]
        meetings.set(code.length, { kind: "shuffle", from, to, width: s.value.width, mask: s.mask })
        emit(() => setter(from, values, wait))
        break
      }
      case "barrier":
        meetings.set(code.length, { kind: "barrier", counters: [...counters] })
        emit(() => () => wait)
        break
      default:
        s satisfies never
    }
  }

  const setter = (slot: number, values: readonly Value[], next: number): Instruction => {
    const [only] = values
    if (values.length === 1 && only !== undefined)
      return () => {
        machine.variables[machine.base + slot] = only()
        return next
      }
    const made = new Float64Array(values.length)
    return () => {
      for (let i = 0; i < values.length; i++) made[i] = values[i]!()
      machine.variables.set(made, machine.base + slot)
      return next
    }
  }
  const emitSet = (slot: number, values: readonly Value[]): void => emit((next) => setter(slot, values, next))

  const addFor = (s: Statement & { kind: "for" }): void => {
    const extent = value(s.extent)
    const limit = reserve(1)
    const slot = declare(s.variable, 1)
    if (s.bind === "lane")
      emit((next) => () => {
        machine.variables[machine.base + slot] = machine.lane
        return next
      })
    if (s.bind === "grid") machine.gridSlot = slot
    let end = 0
    const grid = s.bind === "grid"
    if (s.bind !== "lane") {
      counters.push(slot)
      emit((next) => () => {
        const { variables, base } = machine
        const first = grid ? machine.group : 0
        variables[base + slot] = first
        variables[base + limit] = extent()
        return first < variables[base + limit]! ? next : end
      })
    }
    const start = code.length
    scope(s.body)
    variables.delete(s.variable)
    if (s.bind === "lane") return
    counters.pop()
    statement = s
    emit(() => () => {
      const { variables, base } = machine
      const index = variables[base + slot]! + (grid ? machine.groups : 1)
      variables[base + slot] = index
      return index < variables[base + limit]! ? start : end
    })
    end = code.length
  }

  const addIf = (s: Statement & { kind: "if" }): void => {
    const condition = value(s.condition)
    let [otherwise, end] = [0, 0]
    emit((next) => () => (condition() ? next : otherwise))
    scope(s.body)
    if (s.otherwise.length > 0) {
      statement = s
      emit(() => () => end)
    }
    otherwise = code.length
    scope(s.otherwise)
    end = code.length
  }

  scope(kernel.body)
  return { machine, code, meetings, arrays, symbols, slots }
}
