/**
 * A program of the loop interpreter as it grows: instructions, slots of names, arrays.
 *
 *   let x = 1; let y = x + 2      slots   x: 3, y: 4      code   0: slot 3 = 1   1: slot 4 = slot 3 + 2
 */
import type { Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import { compile, type ExpressionCompiler, type Value } from "./loop-expressions.js"
import { type ArrayState, type Arrivals, fault, type Machine } from "./loop-machine.js"

/** Executes for the machine's current lane and answers which instruction is next. */
export type Instruction = () => number

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
  /** Waits until something is begun. */
  | { readonly kind: "arrival"; readonly isBegun: (lane: number) => boolean }
  /** Lanes of a group that do something together; what each has left in `count` slots from `from` on must agree. */
  | {
      readonly kind: "group"
      readonly lanes: number
      readonly from: number
      readonly count: number
      readonly counters: readonly number[]
      /** Does it for the group that begins with a lane. */
      readonly run: (first: number) => void
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
  /** Where among them the number of its workgroup is, and how many workgroups there are. */
  readonly groupSlots: readonly [number, number]
}

/** A program that grows by statements. */
export interface Compilation extends Program {
  readonly code: Instruction[]
  readonly meetings: Map<number, Meeting>
  readonly arrays: ArrayState[]
  readonly symbols: string[]
  slots: number
  /** A name has one slot for each width: scopes side by side share it, and expressions over it stay compiled. */
  readonly slotsByName: Map<string, number>
  /** What is in scope. */
  readonly variables: Map<string, number>
  readonly liveArrays: Map<string, ArrayState>
  readonly everArrays: Set<string>
  readonly liveArrivals: Map<string, Arrivals>
  /** Slots of the loops around. */
  readonly counters: number[]
  readonly expressions: ExpressionCompiler
  /** Where the next instructions come from. */
  statement: Statement
}

export function reserve(program: Compilation, width: number): number {
  program.slots += width
  return program.slots - width
}

export function declare(program: Compilation, name: string, width: number): number {
  if (program.variables.has(name)) fault(program.machine, "malformed", `'${name}' is declared twice`)
  const key = `${width} ${name}`
  const slot = program.slotsByName.get(key) ?? reserve(program, width)
  program.slotsByName.set(key, slot)
  program.variables.set(name, slot)
  return slot
}

export function declareArray(program: Compilation, array: ArrayState) {
  if (program.liveArrays.has(array.name)) fault(program.machine, "malformed", `'${array.name}' is declared twice`)
  if (program.everArrays.has(array.name)) program.expressions.compiled.clear()
  program.everArrays.add(array.name)
  program.liveArrays.set(array.name, array)
  program.arrays.push(array)
}

export const slotOf = (program: Compilation, name: string) =>
  program.variables.get(name) ?? fault(program.machine, "malformed", `'${name}' is not declared`)

export const arrayOf = (program: Compilation, name: string) =>
  program.liveArrays.get(name) ?? fault(program.machine, "malformed", `'${name}' is not an array`)

export function symbolOf(program: Compilation, name: string): number {
  if (!program.symbols.includes(name)) program.symbols.push(name)
  return program.symbols.indexOf(name)
}

export const value = (program: Compilation, x: Expression): Value => compile(program.expressions, x)

export const lanesOf = (program: Compilation, x: Expression): Value[] =>
  Array.from({ length: x.width }, (_, i) => compile(program.expressions, x, i))

export function emit(program: Compilation, make: (next: number) => Instruction): void {
  program.machine.statements[program.code.length] = program.statement
  program.code.push(make(program.code.length + 1))
}

export function setter(program: Compilation, slot: number, values: readonly Value[], next: number): Instruction {
  const { machine } = program
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

export const emitSet = (program: Compilation, slot: number, values: readonly Value[]): void =>
  emit(program, (next) => setter(program, slot, values, next))
