/**
 * Whether a tensor program is well formed: what the constructors guarantee, checked again, and what only a whole program shows.
 *
 *   verifyTensor(roots)   →   [{ code: "tensor/index", message: "%4 (reindex): axis 'seq' of 8 is read at 8, where seq = 7" }]
 *
 * Passes build through constructors, so an answer means that one went around them or that a rewrite is wrong. An index map is checked where all
 * extents are literals: every point of a small domain, the corners and middles of a large one.
 */

import { literalExtent, maximum } from "../dim.js"
import { freeVariables, operands, print, walk } from "../expression.js"
import { storageType } from "../loop.js"
import { componentCount, liftCount, monoidKey, monoidTypes } from "../monoid.js"
import type { Expression } from "../nodes.js"
import { type DType, roundTo } from "../operations.js"
import { topological } from "../tensor/walk.js"
import {
  type Axis,
  axisOf,
  type Call,
  type Input,
  type Map as MapNode,
  type Reduce,
  type Tensor,
  type Unit,
  type Update,
} from "../tensor.js"
import { outOfRange } from "./tensor-index.js"

export type TensorProblemCode =
  | "tensor/axes" /* an axis twice, missing, or not that of the sources */
  | "tensor/extent" /* one axis name, two extents */
  | "tensor/dtype" /* the dtype is not what the sources give */
  | "tensor/body" /* a scalar body or index map with something in it that may not be there */
  | "tensor/index" /* an index outside of the axis */
  | "tensor/arity" /* the wrong number of arguments, components or capacities */
  | "tensor/capacity" /* memory smaller than the extent may become */
  | "tensor/state" /* an update of what is no state */
  | "tensor/name" /* two inputs of one name */
  | "tensor/unit" /* a unit that uses inputs that are not its own, or a call that does not fit */

export interface TensorProblem {
  readonly code: TensorProblemCode
  readonly message: string
}

type Report = (code: TensorProblemCode, message: string) => void

/** The problems of a program and of the units that it calls; none when it is well formed. */
export function verifyTensor(roots: readonly Tensor[]): TensorProblem[] {
  const problems: TensorProblem[] = []
  const units = new Set<Unit>()
  verifyProgram(roots, "", undefined, units, problems)
  for (const unit of units) verifyProgram(unit.results, `${unit.name}: `, unit, units, problems)
  return problems
}

function verifyProgram(
  roots: readonly Tensor[],
  where: string,
  unit: Unit | undefined,
  units: Set<Unit>,
  problems: TensorProblem[],
): void {
  const names = new Map<string, Input>()
  topological(roots).forEach((t, i) => {
    const report: Report = (code, message) => problems.push({ code, message: `${where}%${i} (${t.kind}): ${message}` })
    verifyAxes(t, report)
    verifyNode(t, report)
    if (t.kind === "call") units.add(t.unit)
    if (t.kind !== "input") return
    const known = names.get(t.name)
    if (known !== undefined) report("tensor/name", `there are two inputs '${t.name}'`)
    names.set(t.name, t)
    if (unit === undefined) verifyCapacity(t, report)
    else if (!unit.inputs.includes(t)) report("tensor/unit", `'${t.name}' is no input of the unit`)
  })
}

/** Extents are equal when they are spelled alike: they may come from two tables. */
const alike = (a: Expression, b: Expression): boolean => a === b || print(a) === print(b)

function verifyAxes(t: Tensor, report: Report): void {
  const names = t.axes.map((a) => a.name)
  for (const name of new Set(names.filter((n, i) => names.indexOf(n) !== i)))
    report("tensor/axes", `axis '${name}' occurs twice`)
  for (const { name, extent } of t.axes) {
    const value = literalExtent(extent)
    if (extent.dtype !== "i32" || freeVariables(extent).size > 0 || (value !== undefined && value < 0))
      report("tensor/extent", `'${print(extent)}' is no extent for axis '${name}'`)
  }
}

/** The union of axes; reports names with two extents. */
function united(tensors: readonly Tensor[], report: Report): Map<string, Axis> {
  const found = new Map<string, Axis>()
  for (const a of tensors.flatMap((t) => t.axes)) {
    const known = found.get(a.name) ?? a
    if (!alike(known.extent, a.extent))
      report("tensor/extent", `axis '${a.name}' is ${print(known.extent)} and ${print(a.extent)}`)
    found.set(a.name, known)
  }
  return found
}

function expectAxes(t: Tensor, wanted: Iterable<Axis>, report: Report): void {
  const rest = new Map([...wanted].map((a) => [a.name, a]))
  for (const a of t.axes) {
    const other = rest.get(a.name)
    if (other === undefined) report("tensor/axes", `axis '${a.name}' comes from nowhere`)
    else if (!alike(other.extent, a.extent))
      report("tensor/extent", `axis '${a.name}' is ${print(a.extent)} but its source has ${print(other.extent)}`)
    rest.delete(a.name)
  }
  for (const name of rest.keys()) report("tensor/axes", `axis '${name}' is lost`)
}

function expectType(found: DType, wanted: DType, what: string, report: Report): void {
  if (found !== wanted) report("tensor/dtype", `${what} is ${found}, not ${wanted}`)
}

function verifyNode(t: Tensor, report: Report): void {
  switch (t.kind) {
    case "input":
      expectType(t.dtype, storageType(t.storage), "the value", report)
      return
    case "constant": {
      // Floats are rounded once where they are read; the others must be what they are.
      const fits = (x: number) => (t.dtype === "f32" ? Number.isFinite(Math.fround(x)) : roundTo(t.dtype, x) === x)
      const wrong = t.values.find((x) => !fits(x))
      if (wrong !== undefined) report("tensor/dtype", `${wrong} is no ${t.dtype}`)
      const size = t.axes.reduce((n, a) => n * (literalExtent(a.extent) ?? Number.NaN), 1)
      if (size !== t.values.length) report("tensor/arity", `${t.values.length} numbers for ${size} elements`)
      return
    }
    case "iota":
      if (t.axes.length !== 1) report("tensor/axes", "an iota has one axis")
      if (freeVariables(t.start).size > 0) report("tensor/body", `the start ${print(t.start)} is not fixed`)
      {
        expectType(t.dtype, "i32", "the value", report)
        return
      }
    case "map":
      verifyMap(t, report)
      return
    case "reduce":
      verifyReduce(t, report)
      return
    case "scan":
      if (componentCount(t.monoid) !== 1) report("tensor/arity", `a scan of ${monoidKey(t.monoid)}`)
      if (axisOf(t.arg, t.axis) === undefined) report("tensor/axes", `there is no axis '${t.axis}' to scan`)
      if (t.block !== undefined && !(Number.isInteger(t.block) && t.block > 0))
        report("tensor/arity", `a prefix cannot begin again at each multiple of ${t.block}`)
      expectType(t.dtype, t.arg.dtype, "the value", report)
      expectAxes(t, t.arg.axes, report)
      return
    case "reindex":
      expectType(t.dtype, t.arg.dtype, "the value", report)
      verifyIndex(t, report)
      return
    case "gather": {
      const rest = t.arg.axes.filter((a) => a.name !== t.axis)
      if (rest.length === t.arg.axes.length) report("tensor/axes", `there is no axis '${t.axis}' to index`)
      expectType(t.index.dtype, "i32", "the index", report)
      expectType(t.dtype, t.arg.dtype, "the value", report)
      const all = united([t.index, { ...t.arg, axes: rest }], report)
      expectAxes(t, all.values(), report)
      return
    }
    case "update":
      verifyUpdate(t, report)
      return
    case "call":
      verifyCall(t, report)
      return
    default:
      t satisfies never
  }
}

const scalar: ReadonlySet<Expression["kind"]> = new Set(["literal", "variable", "symbol", "operation"])

/** Names and symbols in operations only; the variables are among `names` and have their dtypes. */
function verifyBody(x: Expression, names: ReadonlyMap<string, DType>, report: Report): void {
  walk(x, (y) => {
    if (!scalar.has(y.kind) || y.width !== 1) report("tensor/body", `${y.kind} has no place in a scalar body`)
    if (y.kind !== "variable") return
    const wanted = names.get(y.name)
    if (wanted === undefined) report("tensor/body", `'${y.name}' is not bound`)
    else expectType(y.dtype, wanted, `'${y.name}'`, report)
  })
}

function verifyMap(t: MapNode, report: Report): void {
  verifyBody(t.body, new Map(t.args.map((a, i) => [`$${i}`, a.dtype])), report)
  expectType(t.dtype, t.body.dtype, "the value", report)
  expectAxes(t, united(t.args, report).values(), report)
}

function verifyReduce(t: Reduce, report: Report): void {
  const all = united(t.args, report)
  const ranked = t.monoid.kind === "argmax" || t.monoid.kind === "top"
  const expected = ranked ? 1 : liftCount(t.monoid)
  if (t.args.length !== expected)
    report("tensor/arity", `${monoidKey(t.monoid)} folds ${expected} values, not ${t.args.length}`)
  const types = monoidTypes(
    t.monoid,
    t.args.map((a) => a.dtype),
  )
  const wanted = types[t.component]
  if (wanted === undefined) report("tensor/arity", `${monoidKey(t.monoid)} has no component ${t.component}`)
  else expectType(t.dtype, wanted, "the value", report)
  if (t.monoid.kind === "online")
    for (const [i, a] of t.args.entries()) expectType(a.dtype, "f32", `argument ${i}`, report)
  if (!all.delete(t.axis)) report("tensor/axes", `there is no axis '${t.axis}' to reduce`)
  const slot = t.axes.find((a) => a.name === t.slot)
  if ((t.monoid.kind === "top") !== (slot !== undefined)) report("tensor/axes", "a top has a slot, others have none")
  if (t.monoid.kind === "top" && slot !== undefined) {
    if (all.has(slot.name)) report("tensor/axes", `the slot '${slot.name}' is an axis already`)
    if (literalExtent(slot.extent) !== t.monoid.k)
      report("tensor/extent", `${t.monoid.k} ranks in a slot of ${print(slot.extent)}`)
  }
  expectAxes({ ...t, axes: t.axes.filter((a) => a !== slot) }, all.values(), report)
}

function verifyIndex(t: Extract<Tensor, { kind: "reindex" }>, report: Report): void {
  const names = new Map(t.axes.map((a) => [a.name, "i32"] as const))
  for (const { name } of t.arg.axes) {
    const at = t.index.get(name)
    if (at === undefined) {
      report("tensor/index", `axis '${name}' has no index`)
      return
    }
    verifyBody(at, names, report)
    expectType(at.dtype, "i32", `the index of '${name}'`, report)
    if (!quasiAffine(at)) report("tensor/body", `the index ${print(at)} of '${name}' is not quasi-affine`)
  }
  if (t.valid !== undefined) {
    verifyBody(t.valid, names, report)
    expectType(t.valid.dtype, "bool", "the validity", report)
  }
  const witness = outOfRange(t)
  if (witness !== undefined) report("tensor/index", witness)
}

function quasiAffine(x: Expression): boolean {
  if (x.kind === "literal" || x.kind === "variable" || x.kind === "symbol") return true
  if (x.kind !== "operation" || !operands(x).every(quasiAffine)) return false
  if (x.operation === "mul") return x.args.some((a) => freeVariables(a).size === 0)
  if (x.operation === "floordiv" || x.operation === "floormod")
    return x.args[1]!.kind === "literal" && x.args[1].value > 0
  return x.operation === "add" || x.operation === "sub"
}

function verifyUpdate(t: Update, report: Report): void {
  if (t.state.kind !== "input" || t.state.role !== "state") report("tensor/state", "only a state can be updated")
  expectType(t.value.dtype, t.state.dtype, "the written value", report)
  expectType(t.dtype, t.state.dtype, "the value", report)
  const others = (axes: readonly Axis[]) => axes.filter((a) => a.name !== t.axis)
  if (t.axis !== undefined && [t, t.value, t.state].some((x) => axisOf(x, t.axis!) === undefined))
    report("tensor/axes", `there is no axis '${t.axis}' to write along`)
  if (freeVariables(t.at).size > 0) report("tensor/body", `the position ${print(t.at)} is not fixed`)
  for (const x of [t, t.value]) expectAxes({ ...x, axes: others(x.axes) }, others(t.state.axes), report)
}

function verifyCall(t: Call, report: Report): void {
  const { inputs, results, name } = t.unit
  const result = results[t.result]
  if (result === undefined) {
    report("tensor/unit", `'${name}' has no result ${t.result}`)
    return
  }
  if (inputs.length !== t.args.length) {
    report("tensor/unit", `'${name}' takes ${inputs.length} arguments, not ${t.args.length}`)
    return
  }
  expectType(t.dtype, result.dtype, "the value", report)
  expectAxes(t, result.axes, report)
  inputs.forEach((x, i) => {
    expectType(t.args[i]!.dtype, x.dtype, `argument ${i}`, report)
    expectAxes(t.args[i]!, x.axes, (_, message) => report("tensor/unit", `argument ${i}: ${message}`))
  })
}

function verifyCapacity(t: Input, report: Report): void {
  if (t.capacity.length !== t.axes.length) {
    report("tensor/arity", `${t.capacity.length} capacities for ${t.axes.length} axes`)
    return
  }
  t.axes.forEach((a, i) => {
    if (t.kept?.axis === a.name) {
      if (t.capacity[i]! < Math.min(t.kept.rows + 1, t.kept.most))
        report("tensor/capacity", `axis '${a.name}' keeps ${t.kept.rows} in memory for ${t.capacity[i]}`)
    } else if (t.capacity[i]! < maximum(a.extent))
      report("tensor/capacity", `axis '${a.name}' may grow to ${maximum(a.extent)} in memory for ${t.capacity[i]}`)
  })
}
