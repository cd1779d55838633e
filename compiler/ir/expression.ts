/**
 * Scalar expressions, the one tree that all three languages share.
 *
 * Each language has its own leaves: the tensor language none, the kernel language loads and reductions, the loop language fetches by flat
 * offset and vectors; the verifiers say which may occur where. Constructors check types, fold constants and intern, so equal expressions are one object: `a === b` is structural
 * equality, and passes memoise on identity. Expressions are DAGs; never walk one without a memo.
 *
 * `width` is 1 but in the loop language, where an expression may be a vector of 2, 4 or 8 lanes.
 */
import { fault } from "../../runtime/errors.js"
import { fold } from "./fold.js"
import { identity, intern, internLiteral, internOperation, knownOperation, type Made, memoized } from "./memoized.js"
import { liftCount, type Monoid, monoidKey, monoidTypes } from "./monoid.js"
import type {
  Expression,
  Fetch,
  Literal,
  Load,
  LocalRead,
  Reduce,
  Scan,
  SizeSymbol,
  Variable,
  Vector,
} from "./nodes.js"
import { type DType, type Operation, operation, resultType, roundTo } from "./operations.js"

export { identity, intern, sameTable, withTable } from "./memoized.js"

/** A thing with a type problem; passes turn it into a diagnostic with a span. */
export class TypeProblem extends Error {}

export function literal(value: number, dtype: DType = "i32"): Literal {
  const rounded = roundTo(dtype, value)
  if (Number.isFinite(value) ? !Number.isFinite(rounded) : dtype !== "f32")
    throw new TypeProblem(`the literal ${value} is no value of ${dtype}`)
  return internLiteral(rounded, dtype)
}

export function variable(name: string, dtype: DType = "i32", width = 1): Variable {
  return intern(`variable ${name} ${dtype} ${width}`, () => ({ kind: "variable", dtype, width, name }))
}

export function symbol(name: string, max: number, hint: number): SizeSymbol {
  return intern(`symbol ${name} ${max} ${hint}`, () => ({ kind: "symbol", dtype: "i32", width: 1, name, max, hint }))
}

export const isLiteral = (x: { readonly kind: string }): x is Literal => x.kind === "literal"

/** Applies an operation: checks types, folds literals, drops neutral elements of integer arithmetic. */
export function apply(name: Operation, ...args: Expression[]): Expression {
  const known = knownOperation(name, args)
  if (known !== undefined) return known
  const dtype = resultType(
    name,
    args.map((a) => a.dtype),
  )
  if (typeof dtype === "object") throw new TypeProblem(dtype.problem)
  const divisor = name === "floordiv" || name === "floormod" ? args[1]! : undefined
  if (divisor?.kind === "literal" && divisor.value <= 0)
    throw new TypeProblem(`'${name}' by ${divisor.value}; a divisor is positive`)
  const width = Math.max(...args.map((a) => a.width))
  const folded = fold(name, args, { apply, literal })
  if (folded?.width === width) return folded
  // A scalar beside vectors stands for the same value in all lanes.
  const wide = args.map((a) => (a.width === width ? a : splat(a, width)))
  return internOperation({ kind: "operation", dtype, width, operation: name, args: wide })
}

/** Shorthands for index arithmetic. */
export const add = (a: Expression, b: Expression) => apply("add", a, b)
export const sub = (a: Expression, b: Expression) => apply("sub", a, b)
export const mul = (a: Expression, b: Expression) => apply("mul", a, b)
export const and = (a: Expression, b: Expression) => apply("and", a, b)

// Constructors of the leaves.

const ids = (xs: readonly Expression[]) => xs.map(identity).join(" ")

export function load(buffer: string, index: readonly Expression[], dtype: DType): Load {
  return intern(`load ${buffer} ${dtype} ${ids(index)}`, () => ({ kind: "load", dtype, width: 1, buffer, index }))
}

export function localRead(local: string, index: readonly Expression[], dtype: DType): LocalRead {
  return intern(`local ${local} ${dtype} ${ids(index)}`, () => ({ kind: "localRead", dtype, width: 1, local, index }))
}

export function reduce(axis: string, extent: Expression, monoid: Monoid, lift: readonly Expression[]): Reduce {
  const dtype = foldType(monoid, lift)
  const key = `reduce ${axis} ${identity(extent)} ${monoidKey(monoid)} ${ids(lift)}`
  return intern(key, () => ({ kind: "reduce", dtype, width: 1, axis, extent, monoid, lift }))
}

export function scan(axis: string, at: Expression, monoid: Monoid, lift: readonly Expression[]): Scan {
  if (monoid.kind === "online") throw new TypeProblem(`a prefix of ${monoidKey(monoid)} is not defined`)
  const dtype = foldType(monoid, lift)
  const key = `scan ${axis} ${identity(at)} ${monoidKey(monoid)} ${ids(lift)}`
  return intern(key, () => ({ kind: "scan", dtype, width: 1, axis, at, monoid, lift }))
}

function foldType(monoid: Monoid, lift: readonly Expression[]): DType {
  if (lift.length !== liftCount(monoid))
    throw new TypeProblem(`${monoid.kind} folds ${liftCount(monoid)} values, not ${lift.length}`)
  return foldTypes(monoid, lift)[0]!
}

const foldTypes = (monoid: Monoid, lift: readonly Expression[]): readonly DType[] =>
  monoidTypes(
    monoid,
    lift.map((x) => x.dtype),
  )

export function component(of: Reduce | Scan, index: number, slot?: Expression): Expression {
  const dtype = foldTypes(of.monoid, of.lift)[index]
  if (dtype === undefined) throw new TypeProblem(`${of.monoid.kind} has no component ${index}`)
  if (index === 0 && slot === undefined) return of
  const key = `component ${identity(of)} ${index} ${slot === undefined ? "" : identity(slot)}`
  return intern(key, () => ({ kind: "component", dtype, width: 1, of, index, slot }))
}

export function fetch(array: string, offset: Expression, dtype: DType, width = 1): Fetch {
  return intern(`fetch ${array} ${dtype} ${width} ${identity(offset)}`, () => ({
    kind: "fetch",
    dtype,
    width,
    array,
    offset,
  }))
}

/** What is a vector of that width already (a scalar that became one when it was translated) stays as it is. */
export function splat(of: Expression, width: number): Expression {
  if (width === 1 || of.width === width) return of
  return intern(`splat ${width} ${identity(of)}`, () => ({ kind: "splat", dtype: of.dtype, width, of }))
}

export function ramp(of: Expression, width: number): Expression {
  if (width === 1) return of
  return intern(`ramp ${width} ${identity(of)}`, () => ({ kind: "ramp", dtype: "i32", width, of }))
}

export function lane(of: Expression, index: number): Expression {
  if (of.width === 1) return of
  if (of.kind === "splat") return of.of
  if (of.kind === "vector") return of.args[index]!
  if (of.kind === "ramp") return add(of.of, literal(index))
  return intern(`lane ${index} ${identity(of)}`, () => ({ kind: "lane", dtype: of.dtype, width: 1, of, lane: index }))
}

export function vector(args: readonly Expression[]): Vector {
  return intern(`vector ${ids(args)}`, () => ({ kind: "vector", dtype: args[0]!.dtype, width: args.length, args }))
}

/** The operands of a node: what it is computed from. Extents count as operands. */
export function operands(x: Expression): readonly Expression[] {
  switch (x.kind) {
    case "literal":
    case "variable":
    case "symbol":
      return []
    case "operation":
    case "vector":
      return x.args
    case "load":
    case "localRead":
      return x.index
    case "reduce":
      return [x.extent, ...x.lift]
    case "scan":
      return [x.at, ...x.lift]
    case "component":
      return x.slot === undefined ? [x.of] : [x.of, x.slot]
    case "fetch":
      return [x.offset]
    case "splat":
    case "ramp":
    case "lane":
      return [x.of]
    default:
      return x satisfies never
  }
}

/** The same node over other operands (in the order of `operands`). */
export const rebuild = (x: Expression, made: readonly Expression[]): Expression => rebuilt(x, operands(x), made)

function rebuilt(x: Expression, before: readonly Expression[], made: readonly Expression[]): Expression {
  if (before.every((o, i) => o === made[i])) return x
  switch (x.kind) {
    case "literal":
    case "variable":
    case "symbol":
      return x
    case "operation":
      return apply(x.operation, ...made)
    case "vector":
      return vector(made)
    case "load":
      return load(x.buffer, made, x.dtype)
    case "localRead":
      return localRead(x.local, made, x.dtype)
    case "reduce":
      return reduce(x.axis, made[0]!, x.monoid, made.slice(1))
    case "scan":
      return scan(x.axis, made[0]!, x.monoid, made.slice(1))
    case "component":
      return component(made[0] as Reduce | Scan, x.index, made[1])
    case "fetch":
      return fetch(x.array, made[0]!, x.dtype, x.width)
    case "splat":
      return splat(made[0]!, x.width)
    case "ramp":
      return ramp(made[0]!, x.width)
    case "lane":
      return lane(made[0]!, x.lane)
    default:
      return x satisfies never
  }
}

/** What a rewriting makes of a node, if anything; `again` is the rewriting itself. */
export type Replace = (x: Expression, again: (x: Expression) => Expression) => Expression | undefined

/**
 * Rebuilds DAGs bottom-up. `replace` sees each node before its operands and may answer with a replacement, which is not visited again.
 * Memoised, so that a DAG stays one and roots share the work.
 */
export function rewriter(replace: Replace, made?: Made<Expression, Expression>): (x: Expression) => Expression {
  const again: (x: Expression) => Expression = memoized((x) => replace(x, again) ?? mapOperands(x, again), made)
  return again
}

/** The rewriting of one root. */
export const rewrite = (root: Expression, replace: Replace, made?: Made<Expression, Expression>): Expression =>
  rewriter(replace, made)(root)

/** The same node over changed operands. */
export function mapOperands(x: Expression, change: (x: Expression) => Expression): Expression {
  const before = operands(x)
  return before.length === 0 ? x : rebuilt(x, before, before.map(change))
}

/** Replaces variables by name. Bound axes are unique, so nothing is captured. */
export function substitute(root: Expression, values: ReadonlyMap<string, Expression>): Expression {
  return rewrite(root, (x) => (x.kind === "variable" ? (values.get(x.name) ?? x) : undefined))
}

/** Calls `see` once for every node below and at `root`, operands first. */
export function walk(root: Expression, see: (x: Expression) => void, seen: Set<Expression> = new Set()): void {
  if (seen.has(root)) return
  seen.add(root)
  for (const o of operands(root)) walk(o, see, seen)
  see(root)
}

/** The names of the free variables: those not bound by a reduction or scan inside. */
export const freeVariables: (x: Expression) => ReadonlySet<string> = memoized((root) => {
  const names = new Set<string>()
  if (root.kind === "variable") names.add(root.name)
  else {
    for (const o of operands(root)) for (const n of freeVariables(o)) names.add(n)
    if (root.kind === "reduce" || root.kind === "scan") {
      names.delete(root.axis)
      for (const n of freeVariables(root.kind === "reduce" ? root.extent : root.at)) names.add(n)
    }
  }
  return names
}, new WeakMap())

/** Whether an operation occurs in an expression. */
export function someOperation(root: Expression, name: Operation): boolean {
  let found = false
  walk(root, (x) => {
    if (x.kind === "operation" && x.operation === name) found = true
  })
  return found
}

/** Evaluates an expression of literals, variables, symbols and operations, in the arithmetic of its dtypes. */
export function evaluate(root: Expression, values: ReadonlyMap<string, number>): number {
  const visit: (x: Expression) => number = memoized((x) => {
    if (x.kind === "literal") return x.value
    if (x.kind === "operation")
      return roundTo(x.dtype, operation(x.operation).evaluate(x.args[0]!.dtype, ...x.args.map(visit)))
    const value = x.kind === "variable" || x.kind === "symbol" ? values.get(x.name) : undefined
    if (value === undefined) throw fault(`no value for ${print(x)}`)
    return value
  })
  return visit(root)
}

const infix: Partial<Record<Operation, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  eq: "==",
  ne: "!=",
  and: "&&",
  or: "||",
  bitand: "&",
  bitor: "|",
  bitxor: "^",
  shl: "<<",
  shr: ">>",
  floordiv: "//",
  floormod: "mod",
}

/** One-line text of an expression. */
export function print(x: Expression): string {
  const list = (xs: readonly Expression[]) => xs.map(print).join(", ")
  switch (x.kind) {
    case "literal":
      if (x.dtype === "bool") return String(x.value !== 0)
      if (x.dtype === "f32" && /^-?\d+$/.test(String(x.value))) return `${Object.is(x.value, -0) ? "-0" : x.value}.0`
      return String(x.value)
    case "variable":
    case "symbol":
      return x.name
    case "operation": {
      const sign = infix[x.operation]
      return sign === undefined ? `${x.operation}(${list(x.args)})` : `(${x.args.map(print).join(` ${sign} `)})`
    }
    case "load":
      return `${x.buffer}[${list(x.index)}]`
    case "localRead":
      return `${x.local}{${list(x.index)}}`
    case "reduce":
      return `${monoidKey(x.monoid)}_{${x.axis} < ${print(x.extent)}}(${list(x.lift)})`
    case "scan":
      return `${monoidKey(x.monoid)}_{${x.axis} <= ${print(x.at)}}(${list(x.lift)})`
    case "component":
      return `${print(x.of)}.${x.index}${x.slot === undefined ? "" : `[${print(x.slot)}]`}`
    case "fetch":
      return `${x.array}[${print(x.offset)}${x.width > 1 ? ` : ${x.width}` : ""}]`
    case "splat":
      return `splat${x.width}(${print(x.of)})`
    case "ramp":
      return `ramp${x.width}(${print(x.of)})`
    case "lane":
      return `${print(x.of)}.${x.lane}`
    case "vector":
      return `vector(${list(x.args)})`
    default:
      return x satisfies never
  }
}
