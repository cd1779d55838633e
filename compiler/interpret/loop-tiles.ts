/**
 * The two statements that touch many elements at once, as instructions.
 *
 *   copy 6 to tile[0] from x[12] by lane of 4     lane 1 copies x[13] to tile[1] and x[17] to tile[5]
 *   matrixMultiply 2x2x3 c[0; 2] += a[0; 3] * b[0; 2]
 *
 * Every element is checked and noted as if a statement of its own had touched it.
 */

import type { MatrixOperand, Statement } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import { operation, roundTo } from "../ir/operations.js"
import type { Value } from "./loop-expressions.js"
import { type ArrayState, checkRange, type Machine, readArray, writeArray } from "./loop-machine.js"

/** Executes for the machine's current lane and answers which instruction is next. */
export type Instruction = () => number

/** What an instruction is compiled with. */
export interface Context {
  readonly machine: Machine
  readonly arrayOf: (name: string) => ArrayState
  readonly value: (x: Expression) => Value
}

export function copyInstruction(s: Statement & { kind: "copy" }, context: Context, next: number): Instruction {
  const { machine, arrayOf, value } = context
  const [to, from] = [arrayOf(s.to), arrayOf(s.from)]
  const [toOffset, fromOffset, count, lane] = [value(s.toOffset), value(s.fromOffset), value(s.count), value(s.lane)]
  return () => {
    const [toAt, fromAt, end] = [toOffset(), fromOffset(), count()]
    for (let i = lane(); i < end; i += s.lanes) {
      checkRange(machine, from, fromAt + i, 1)
      checkRange(machine, to, toAt + i, 1)
      writeArray(machine, to, toAt + i, readArray(machine, from, fromAt + i), "write")
    }
    return next
  }
}

export function matrixInstruction(
  s: Statement & { kind: "matrixMultiply" },
  context: Context,
  float64: boolean,
  next: number,
): Instruction {
  const { m, n, k } = s
  const [a, b, c] = [operand(s.a, m, k, context), operand(s.b, k, n, context), operand(s.c, m, n, context)]
  const { dtype } = c.array
  const round = float64 && dtype === "f32" ? (x: number) => x : (x: number) => roundTo(dtype, x)
  const { evaluate: multiply } = operation("mul")
  return () => {
    a.read()
    b.read()
    c.read()
    for (let row = 0; row < m; row++)
      for (let column = 0; column < n; column++) {
        let total = c.values[row * n + column]!
        for (let i = 0; i < k; i++)
          total = round(total + round(multiply(dtype, a.values[row * k + i]!, b.values[i * n + column]!)))
        c.values[row * n + column] = total
      }
    c.write()
    return next
  }
}

/** A matrix in an array, and the numbers of it that the instruction works on. */
function operand(of: MatrixOperand, rows: number, columns: number, { machine, arrayOf, value }: Context) {
  const [array, offset] = [arrayOf(of.array), value(of.offset)]
  const values = new Float64Array(rows * columns)
  const each = (visit: (at: number, i: number) => void) => {
    const first = offset()
    for (let i = 0; i < values.length; i++) {
      const at = first + Math.floor(i / columns) * of.stride + (i % columns)
      checkRange(machine, array, at, 1)
      visit(at, i)
    }
  }
  const read = () =>
    each((at, i) => {
      values[i] = readArray(machine, array, at)
    })
  const write = () => each((at, i) => writeArray(machine, array, at, values[i]!, "write"))
  return { array, values, read, write }
}
