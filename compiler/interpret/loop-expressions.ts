/**
 * Expressions of the loop language as JavaScript closures, one for each lane of a vector.
 *
 *   splat4(a[i]) * b[j : 4]   →   4 closures () => fround(mul(…)) that share one `a[i]` and one `j`
 *
 * A node is compiled once. Splats, lanes and vectors leave no trace: they only choose which closures meet. A node with several parents in
 * one statement is computed once in each execution of that statement: its value carries the machine's epoch.
 */
import { isLiteral, operands, print, walk } from "../ir/expression.js"
import type { Statement } from "../ir/loop.js"
import { everyStatement, expressionsOf } from "../ir/loop-visit.js"
import type { Expression, Fetch, OperationNode } from "../ir/nodes.js"
import { type DType, operation, roundTo } from "../ir/operations.js"
import { type ArrayState, checkAwaited, checkRange, fault, type Machine, readArray } from "./loop-machine.js"

export type Value = () => number

/** Where names lead while compiling. */
export interface Names {
  readonly slotOf: (variable: string) => number
  readonly arrayOf: (name: string) => ArrayState
  readonly symbolOf: (name: string) => number
}

export interface ExpressionCompiler {
  readonly machine: Machine
  readonly names: Names
  /** Nodes that occur more than once in some statement. */
  readonly shared: ReadonlySet<Expression>
  /** Whether f32 results stay unrounded. */
  readonly float64: boolean
  /** What is compiled, lane by lane; to be cleared when an array's name gets a new meaning. */
  readonly compiled: Map<Expression, Value[]>
}

/** The value of lane `lane` of a vector; of a scalar, its value. */
export function compile(compiler: ExpressionCompiler, x: Expression, lane = 0): Value {
  const index = x.width === 1 ? 0 : lane
  let lanes = compiler.compiled.get(x)
  if (lanes === undefined) {
    lanes = []
    compiler.compiled.set(x, lanes)
  }
  lanes[index] ??= make(compiler, x, index)
  return lanes[index]
}

function make(compiler: ExpressionCompiler, x: Expression, lane: number): Value {
  const { machine, names } = compiler
  switch (x.kind) {
    case "literal": {
      const { value } = x
      return () => value
    }
    case "variable": {
      const slot = names.slotOf(x.name) + lane
      return () => machine.variables[machine.base + slot]!
    }
    case "symbol": {
      const index = names.symbolOf(x.name)
      return () => machine.symbols[index]!
    }
    case "operation":
      return cached(compiler, x, operationValue(compiler, x, lane))
    case "fetch":
      return cached(compiler, x, fetchValue(compiler, x, lane))
    case "splat":
      return compile(compiler, x.of)
    case "ramp": {
      const first = compile(compiler, x.of)
      return () => (first() + lane) | 0
    }
    case "lane":
      return compile(compiler, x.of, x.lane)
    case "vector":
      return compile(compiler, x.args[lane]!)
    case "load":
    case "localRead":
    case "reduce":
    case "scan":
    case "component":
      return fault(machine, "malformed", `a ${x.kind} is not of the loop language: ${print(x)}`)
    default:
      return x satisfies never
  }
}

function operationValue(compiler: ExpressionCompiler, x: OperationNode, lane: number): Value {
  const { machine, float64 } = compiler
  const { evaluate } = operation(x.operation)
  const of = x.args[0]!.dtype
  const [a, b, c] = x.args.map((arg) => compile(compiler, arg, lane)) as [Value, Value, Value]
  if (x.operation === "floordiv" || x.operation === "floormod") {
    const divisor = x.args[1]!
    if (!(isLiteral(divisor) && divisor.value > 0))
      return () => {
        const by = b()
        if (!(by > 0)) fault(machine, "division", `${x.operation} by ${by}`)
        return roundTo(of, evaluate(of, a(), by))
      }
  }
  const to = x.dtype
  const direct = x.args.length === 2 && !float64 ? directly(x.operation, of, a, b) : undefined
  if (direct !== undefined) return direct
  if (float64 && to === "f32") {
    if (x.args.length === 1) return () => evaluate(of, a())
    return x.args.length === 2 ? () => evaluate(of, a(), b()) : () => evaluate(of, a(), b(), c())
  }
  if (x.args.length === 1) return () => roundTo(to, evaluate(of, a()))
  return x.args.length === 2
    ? () => roundTo(to, evaluate(of, a(), b()))
    : () => roundTo(to, evaluate(of, a(), b(), c()))
}

function fetchValue(compiler: ExpressionCompiler, x: Fetch, lane: number): Value {
  const { machine, names } = compiler
  const array = names.arrayOf(x.array)
  const offset = compile(compiler, x.offset)
  const { width } = x
  if (array.waits)
    return () => {
      const at = offset()
      checkAwaited(machine, array)
      checkRange(machine, array, at, width)
      return readArray(machine, array, at + lane)
    }
  if (array.space === "buffer" && array.access === "read")
    return () => {
      const at = offset()
      checkRange(machine, array, at, width)
      return array.values[at + lane]!
    }
  return () => {
    const at = offset()
    checkRange(machine, array, at, width)
    return readArray(machine, array, at + lane)
  }
}

function cached(compiler: ExpressionCompiler, x: Expression, value: Value): Value {
  if (!compiler.shared.has(x)) return value
  const { machine } = compiler
  let epoch = -1
  let last = 0
  return () => {
    if (epoch !== machine.epoch) {
      last = value()
      epoch = machine.epoch
    }
    return last
  }
}

/** What most of a kernel consists of, without the table of operations between. */
function directly(name: OperationNode["operation"], of: DType, a: Value, b: Value): Value | undefined {
  switch (`${name} ${of}`) {
    case "add f32":
      return () => Math.fround(a() + b())
    case "mul f32":
      return () => Math.fround(a() * b())
    case "add i32":
      return () => (a() + b()) | 0
    case "sub i32":
      return () => (a() - b()) | 0
    case "mul i32":
      return () => Math.imul(a(), b())
    case "min i32":
      return () => Math.min(a(), b())
    case "floordiv i32":
      return () => Math.floor(a() / b())
    case "floormod i32":
      return () => {
        const [x, by] = [a(), b()]
        return x - by * Math.floor(x / by)
      }
    default:
      return undefined
  }
}

/** The nodes that occur more than once in one statement; an operand of which each lane takes the same value counts twice. */
export function sharedNodes(body: readonly Statement[]): ReadonlySet<Expression> {
  const shared = new Set<Expression>()
  for (const s of everyStatement(body)) {
    const once = new Set<Expression>()
    const use = (x: Expression) => (once.has(x) ? shared.add(x) : once.add(x))
    const seen = new Set<Expression>()
    for (const root of expressionsOf(s)) {
      use(root)
      walk(
        root,
        (x) => {
          for (const o of operands(x)) {
            use(o)
            if (x.width > 1 && o.width === 1) use(o)
          }
        },
        seen,
      )
    }
  }
  return shared
}
